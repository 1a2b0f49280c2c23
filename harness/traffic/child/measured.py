"""Locust's `events.request.measure(type, name)`, by which a scenario records a protocol of its own, kept in our books.

Locust's own fires the event however the block ends, so that a user killed in it counts as answered, and knows nothing
of a request before its end. Here the request is open from the block's first line: lost when its user is killed or the
run ends, and a failure when the experiment's time limit strikes. As with Locust, the block swallows its errors.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import gevent
from gevent import getcurrent
from locust.event import EventHook

from harness.traffic.child.hooks import replace
from harness.traffic.recorder import OpenRequest


class Keeper(Protocol):
    """What we ask of the books."""

    def open(self, user: Any, method: str, name: str) -> OpenRequest:
        """A request is sent now; `user` is whoever has the pace: a user or its greenlet."""

    def fire(self, token: OpenRequest, event: Any, meta: dict[str, Any]) -> None:
        """It is over: tell everybody by the event."""

    def abandon(self, token: OpenRequest, error: BaseException) -> None:
        """Its user was killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The blocks of one request `event`; `limit_s` is the time limit of each request."""

    event: EventHook
    books: Keeper
    limit_s: float

    def install(self) -> None:
        """Take the place of EventHook.measure, for our event alone."""
        stock, ours = EventHook.measure, self._block

        def measure(hook: EventHook, *args: Any, **kwargs: Any) -> Any:
            return ours(*args, **kwargs) if hook is self.event else stock(hook, *args, **kwargs)

        replace(EventHook, "measure", measure)

    @contextlib.contextmanager
    def _block(
        self, request_type: str, name: str, response_length: int = 0, context: Any = None
    ) -> Iterator[dict[str, Any]]:
        meta: dict[str, Any] = {
            "request_type": request_type,
            "name": name,
            "response_length": response_length,
            "context": context or {},
            "exception": None,
            "start_time": time.time(),
        }
        begun_ns = time.monotonic_ns()
        request = self.books.open(getcurrent(), request_type, name)
        request.timer = timer = gevent.Timeout.start_new(self.limit_s)
        try:
            yield meta
        except gevent.GreenletExit as error:
            self.books.abandon(request, error)
            raise
        except BaseException as error:
            limit_struck = error is timer
            meta["exception"] = TimeoutError(f"no answer within {self.limit_s:.3g} s") if limit_struck else error
            self._fire(request, meta, begun_ns)
            if not limit_struck and not isinstance(error, Exception):
                raise
        else:
            self._fire(request, meta, begun_ns)
        finally:
            timer.close()

    def _fire(self, request: OpenRequest, meta: dict[str, Any], begun_ns: int) -> None:
        if not request.closed:  # else the run was over before the answer came: lost, and counted so
            meta["response_time"] = (time.monotonic_ns() - begun_ns) / 1e6
            self.books.fire(request, self.event, meta)
