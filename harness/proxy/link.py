"""One direction of a proxied connection: from one socket through the stages of its toxics to the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from time import monotonic
from typing import Protocol, cast

from harness.proxy.toxic import Toxic
from harness.proxy.toxics.stage import Outlet, Stage

HALF_OPEN_S = 30.0
"""Silence after which a half-closed connection is closed: a client that has gone looks just like that."""


class Pair(Protocol):
    """What a link asks of the connection that it is one direction of."""

    number: int

    def toxics_of(self, stream: str) -> Iterator[Toxic]:
        """The toxics of one direction, in order."""

    def joined(self, link: Link) -> None:
        """The link's source is connected."""

    def lost(self, link: Link) -> None:
        """The link's source is gone."""

    def close(self) -> None:
        """Flush and close both sockets."""

    def reset(self) -> None:
        """RST to both."""


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

    def __init__(self, connection: Pair, stream: str) -> None:
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
        if self.done:
            return
        wanted = [t for t in self.connection.toxics_of(self.stream) if t.hits(self.connection.number)]
        for toxic in [t for t, _ in self.stages if t is not None and t not in wanted]:
            self.remove(toxic)
        if self.cut or self.done:  # the stream has ended: what lies beyond the cut drains, nothing is added
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
