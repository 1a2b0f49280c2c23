"""A proxied connection: a client's socket, its upstream's, and a link for each direction."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import Protocol, cast

from harness.proxy.link import Link
from harness.proxy.toxic import Toxic
from harness.proxy.toxics.stage import Holding

FLUSH_S = 10.0
"""Time for the last bytes to leave when a connection closes; a peer that does not read does not keep us."""


class Owner(Protocol):
    """What a connection needs from its proxy."""

    def opened(self, connection: Connection) -> None:
        """A client is there: dial the upstream for it."""

    def closed(self, connection: Connection) -> None:
        """Both sockets are gone."""

    def toxics_of(self, stream: str) -> Iterator[Toxic]:
        """The toxics of one direction, in order."""


class Dialling(Holding):
    """Holds what the client says until the upstream is there: it is released, never due."""

    def due_at(self, data: bytes | None, stamp: float) -> float | None:  # noqa: ARG002
        """Not by itself."""
        return None


class Connection:
    """One client with its upstream. `number` counts the clients of a proxy; toxicity is drawn from it."""

    def __init__(self, owner: Owner, number: int) -> None:
        self.owner = owner
        self.number = number
        self.up = Link(self, "upstream")
        self.down = Link(self, "downstream")
        self.up.peer, self.down.peer = self.down, self.up
        self.dialling: asyncio.Task[None] | None = None
        self.sockets = 0
        self.shutting = False

    def toxics_of(self, stream: str) -> Iterator[Toxic]:
        """The toxics of one direction, in order."""
        return self.owner.toxics_of(stream)

    def joined(self, link: Link) -> None:
        """A socket is connected: first the client's, then the upstream's."""
        source = cast(asyncio.Transport, link.source)
        self.sockets += 1
        if self.shutting:  # the proxy went down while we dialled
            source.abort()
            return
        link.peer.write = source.write
        if link is self.up:
            link.place(None, Dialling(link, {}, 0), 0)
            self.down.refresh()
            self.up.refresh()
            self.owner.opened(self)
        else:
            self.up.remove(None)

    def lost(self, link: Link) -> None:
        """A socket is gone; the last one out tells the proxy."""
        self.sockets -= 1
        link.peer.discard()
        if not link.ended:
            link.ended = True
            (link.head or link).eof()
        elif link.done:
            self.close()
        if self.sockets == 0:
            self.finish()

    def close(self) -> None:
        """Flush and close both sockets."""
        self.shut(flush=True)

    def abort(self) -> None:
        """Close both sockets now."""
        self.shut(flush=False)

    def reset(self) -> None:
        """RST to both ends: with a linger time of 0, closing drops what is unsent and resets."""
        for link in (self.up, self.down):
            sock = link.source.get_extra_info("socket") if link.source is not None else None
            if sock is not None:
                with suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.shut(flush=False)

    def shut(self, *, flush: bool) -> None:
        """End both links and their sockets; with `flush`, unsent bytes have FLUSH_S to leave."""
        self.shutting = True
        if self.dialling is not None:
            self.dialling.cancel()
        for link in (self.up, self.down):
            link.discard()
            if link.source is None:
                continue
            if not flush:
                link.source.abort()
            elif not link.source.is_closing():
                unsent = link.source.get_write_buffer_size()
                link.source.close()
                if unsent:
                    asyncio.get_running_loop().call_later(FLUSH_S, link.source.abort)

    def finish(self) -> None:
        """No socket is left."""
        if self.dialling is not None:
            self.dialling.cancel()
        self.owner.closed(self)
