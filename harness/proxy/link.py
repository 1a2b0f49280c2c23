"""A proxied connection: a link for each direction, from a socket through its stages to the other."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from time import monotonic
from typing import Protocol, cast

from harness.proxy.toxic import Toxic
from harness.proxy.toxics.stage import Holding, Outlet, Stage

HALF_OPEN_S = 30.0
"""Silence after which a half-closed connection is closed: a client that has gone looks just like that."""
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


class Nowhere:
    """The outlet of a stream that has been cut: everything falls into it."""

    def feed(self, data: bytes, stamp: float) -> None:
        """Drop."""

    def eof(self) -> None:
        """Drop."""


def _drop(data: bytes) -> None:
    """Write to a socket that has gone."""


class Link(asyncio.Protocol):
    """One direction. It is the protocol of the socket it reads from, and the last outlet of its chain.

    `head` is None when no toxic is in the way: then what is read is written, which is the fast path.
    """

    def __init__(self, connection: Connection, stream: str) -> None:
        self.connection = connection
        self.stream = stream
        self.peer: Link
        self.source: asyncio.Transport | None = None
        self.write: Callable[[bytes], None] = _drop
        self.head: Outlet | None = None
        self.stages: list[tuple[Toxic | None, Stage]] = []
        self.received = 0
        self.sent = 0
        self.sink_full = False
        self.ended = False  # the source will send no more
        self.done = False  # the sink will get no more
        self.cut = False  # a toxic ended the stream: close all when the end arrives
        self.watchdog: asyncio.TimerHandle | None = None

    # asyncio.Protocol: the source

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The source is connected."""
        self.source = cast(asyncio.Transport, transport)  # uvloop's does not derive from it
        self.connection.joined(self)

    def data_received(self, data: bytes) -> None:
        """The hot path: about every request passes here twice."""
        size = len(data)
        self.received += size
        if self.head is None:
            self.sent += size
            self.write(data)
        else:
            self.head.feed(data, monotonic())

    def eof_received(self) -> bool:
        """The source has closed its half; ours stays open (True) until the other direction has ended too."""
        self.ended = True
        (self.head or self).eof()
        return True

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """The source has gone: what it said is still delivered, what it should have got is dropped."""
        self.connection.lost(self)

    def pause_writing(self) -> None:
        """The *source* takes no more of what the peer link writes to it."""
        self.peer.sink_full = True
        self.peer.regulate()

    def resume_writing(self) -> None:
        """The source takes data again."""
        self.peer.sink_full = False
        self.peer.regulate()

    # Outlet: the end of the chain

    def feed(self, data: bytes, stamp: float) -> None:  # noqa: ARG002
        """Write what came through all stages."""
        self.sent += len(data)
        self.write(data)

    def eof(self) -> None:
        """The end came through: pass it on, or close all when both directions ended or a toxic cut this one."""
        if self.done:
            return
        self.done = True
        sink = self.peer.source
        if self.cut or self.peer.done or sink is None or sink.is_closing():
            self.connection.close()
            return
        with suppress(OSError, RuntimeError):  # it may be closing under us, and then that is what comes next
            sink.write_eof()
        self.watch(self.peer.received)

    def watch(self, received: int) -> None:
        """Close a half-closed connection when nothing has come the other way since last time."""
        quiet = self.peer.received == received and not any(stage.held for _, stage in self.peer.stages)
        if self.watchdog is not None and quiet:
            self.connection.close()
        else:
            loop = asyncio.get_running_loop()
            self.watchdog = loop.call_later(HALF_OPEN_S, self.watch, self.peer.received)

    # Line: what a stage may ask

    def regulate(self) -> None:
        """Read from the source only while the sink and every stage can take more: this bounds the memory."""
        source = self.source
        if source is None or source.is_closing():
            return
        full = self.done or self.sink_full or any(s.held > s.buffer_bytes for _, s in self.stages)
        if full and source.is_reading():
            source.pause_reading()
        elif not full and not source.is_reading():
            source.resume_reading()

    def end(self, outlet: Outlet) -> None:
        """Cut the stream before `outlet`: stages up to there stop, the rest deliver, then all closes."""
        if self.cut:
            return
        self.cut = True
        at = next(i for i, (_, stage) in enumerate(self.stages) if stage.next is outlet)
        for _, stage in self.stages[: at + 1]:
            stage.stop()
        del self.stages[: at + 1]
        self.head = Nowhere()
        outlet.eof()

    def reset(self) -> None:
        """Break the connection."""
        self.connection.reset()

    # the chain

    def place(self, toxic: Toxic | None, stage: Stage, index: int) -> None:
        """Put a stage into the chain; what its neighbours hold stays where it is."""
        self.stages.insert(index, (toxic, stage))
        self.rewire()
        stage.start()

    def remove(self, toxic: Toxic | None) -> None:
        """Take a stage out; it hands on what it holds first, so the order is kept."""
        for index, (owner, stage) in enumerate(self.stages):
            if owner is toxic:
                stage.release()
                if (owner, stage) in self.stages:  # release may have ended the connection
                    del self.stages[index]
                    self.rewire()
                self.regulate()
                return

    def refresh(self) -> None:
        """Make the chain what the proxy's toxics ask for: called when one was added, changed or removed."""
        if self.done or self.cut:
            return
        wanted = [t for t in self.connection.owner.toxics_of(self.stream) if t.hits(self.connection.number)]
        for toxic in [t for t, _ in self.stages if t is not None and t not in wanted]:
            self.remove(toxic)
        if self.cut or self.done:
            return
        first = len(self.stages) - sum(t is not None for t, _ in self.stages)  # behind `Dialling`
        for index, toxic in enumerate(wanted, first):
            if index >= len(self.stages) or self.stages[index][0] is not toxic:
                self.place(toxic, toxic.stage(self, self.connection.number), index)

    def updated(self, toxic: Toxic) -> None:
        """The attributes of a toxic have changed."""
        for _, stage in [pair for pair in self.stages if pair[0] is toxic]:
            stage.updated()

    def rewire(self) -> None:
        """Connect each stage to the next; without any, go back to the fast path."""
        following: Outlet = self
        for _, stage in reversed(self.stages):
            stage.next = following
            following = stage
        if not self.cut:
            self.head = following if self.stages else None

    def discard(self) -> None:
        """Nobody is there to get what this link carries."""
        self.done = True
        self.write = _drop
        for _, stage in self.stages:
            stage.stop()
        self.stages.clear()
        self.head = Nowhere()
        if self.watchdog is not None:
            self.watchdog.cancel()
        if self.source is not None and not self.source.is_closing() and self.source.is_reading():
            self.source.pause_reading()


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
