"""One toxic at work on one direction of one connection: the contract, and the queue that most toxics need."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from functools import cached_property
from random import Random
from time import monotonic
from typing import ClassVar, Protocol

EARLY_S = 0.0005
"""Timers are good to a millisecond (libuv), so what is due within half of one is due now."""


class Outlet(Protocol):
    """Where a stage hands on to: the next stage, or the link's far socket."""

    def feed(self, data: bytes, stamp: float) -> None:
        """Take bytes; `stamp` is the monotonic second at which they arrived, or left the last stage."""

    def eof(self) -> None:
        """Take the end of the stream; nothing is fed after it."""


class Line(Protocol):
    """What a stage may ask of its link."""

    def regulate(self) -> None:
        """Look again whether reading must pause, because what a stage holds has changed."""

    def end(self, outlet: Outlet) -> None:
        """End the stream before `outlet`: what lies beyond is delivered, then the connection closes."""

    def reset(self) -> None:
        """Break the connection at once, with RST to both ends."""


class Stage:
    """The contract of a toxic, and the `noop`: everything passes at once.

    A toxic overrides what it disturbs. `words` are its attributes (integers, 0 when not given); they are read
    from `attributes` at each use, because an update changes them in place and then calls `updated`.
    """

    words: ClassVar[tuple[str, ...]] = ()
    buffer_bytes: ClassVar[int] = 64 * 1024
    """Held bytes at which the link stops reading, so that memory stays bounded and the sender feels it."""

    def __init__(self, line: Line, attributes: Mapping[str, int], seed: int) -> None:
        self.line = line
        self.attributes = attributes
        self.seed = seed
        self.next: Outlet
        self.held = 0

    @cached_property
    def random(self) -> Random:
        """The connection's own source for this toxic: the same seed gives the same jitter and sizes."""
        return Random(self.seed)  # noqa: S311 - reproducible on purpose

    def start(self) -> None:
        """The stage is in its place; `next` is set."""

    def feed(self, data: bytes, stamp: float) -> None:
        """Take bytes and hand them on, now or later."""
        self.next.feed(data, stamp)

    def eof(self) -> None:
        """Take the end of the stream and hand it on, now or later."""
        self.next.eof()

    def updated(self) -> None:
        """The attributes have changed: look again at what is held and at running timers."""

    def release(self) -> None:
        """The toxic is taken away: hand on at once whatever is held back, in order."""

    def stop(self) -> None:
        """The connection is gone: cancel timers and forget what is held."""


class Holding(Stage):
    """A stage that keeps pieces back, in order, each until its subclass lets it go."""

    def __init__(self, line: Line, attributes: Mapping[str, int], seed: int) -> None:
        super().__init__(line, attributes, seed)
        self.queue: deque[tuple[bytes | None, float]] = deque()  # None is the end of the stream
        self.timer: asyncio.Handle | None = None
        self.due: float | None = None  # of the head of the queue; None while it has not been looked at

    def due_at(self, data: bytes | None, stamp: float) -> float | None:
        """The monotonic second at which the head may go; None is never. Asked once for each head."""
        raise NotImplementedError

    def take(self) -> tuple[bytes | None, float]:
        """Remove what goes now from the head of the queue; a subclass may cut a piece off instead."""
        return self.queue.popleft()

    def feed(self, data: bytes, stamp: float) -> None:
        """Queue the bytes behind what waits already."""
        self.held += len(data)
        self.queue.append((data, stamp))
        if self.timer is None and len(self.queue) == 1:
            self.turn()
        self.line.regulate()

    def eof(self) -> None:
        """Queue the end behind what waits already."""
        self.queue.append((None, monotonic()))
        if self.timer is None and len(self.queue) == 1:
            self.turn()

    def turn(self) -> None:
        """Let everything go that is due, then sleep until the next is."""
        self.timer = None
        while self.queue:
            if self.due is None:
                self.due = self.due_at(*self.queue[0])
                if self.due is None:
                    return
            wait_s = self.due - monotonic()
            if wait_s > EARLY_S:
                self.timer = asyncio.get_running_loop().call_later(wait_s, self.wake)
                return
            self.emit()

    def wake(self) -> None:
        """A timer rang."""
        self.turn()
        self.line.regulate()

    def emit(self) -> None:
        """Hand on what goes from the head of the queue, stamped with the moment at which it was due."""
        due, self.due = self.due, None
        data, stamp = self.take()
        if data is None:
            self.next.eof()
        else:
            self.held -= len(data)
            self.next.feed(data, stamp if due is None else max(due, stamp))

    def updated(self) -> None:
        """Ask again when the head may go."""
        self.cancel()
        self.turn()
        self.line.regulate()

    def release(self) -> None:
        """Hand on the whole queue now."""
        self.cancel()
        queue, self.queue, self.held = self.queue, deque(), 0
        for data, stamp in queue:
            if data is None:
                self.next.eof()
            else:
                self.next.feed(data, stamp)

    def cancel(self) -> None:
        """Forget the running timer and what it waited for."""
        if self.timer is not None:
            self.timer.cancel()
        self.timer = self.due = None

    def stop(self) -> None:
        """Cancel the timer and drop the queue."""
        self.cancel()
        self.queue.clear()
        self.held = 0
