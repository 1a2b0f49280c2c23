"""Locust's `events.request.measure(type, name)`, by which a scenario records a protocol of its own, kept in our books.

Locust's own fires the event however the block ends, so that a user killed in it counts as answered, and knows nothing
of a request before its end. Here the request is open from the block's first line: lost when its user is killed or the
run ends, and a failure when the experiment's time limit strikes. As with Locust, the block swallows its errors.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import gevent
from gevent import getcurrent
from locust.event import EventHook

from harness.traffic.child.hooks import PACE, replace
from harness.traffic.recorder import OpenRequest, Recorder


def install(
    event: EventHook,
    recorder: Recorder,
    now: Callable[[], int],
    limit_s: float,
    endpoint_of: Callable[[Any, Any], str],
    token: str,
) -> None:
    """Replace EventHook.measure for the request `event`. `token` names the greenlet's attribute that holds its open
    request, which the books' listener of the event closes; `limit_s` is the time limit of each request."""
    stock = EventHook.measure

    def begin(request_type: Any, name: Any) -> OpenRequest:
        pace = getattr(getcurrent(), PACE, None)
        return recorder.open(endpoint_of(request_type, name), now(), pace.lag_ns if pace is not None else 0)

    def end(request: OpenRequest, meta: dict[str, Any], begun_ns: int) -> None:
        if request.closed:  # the run was over before the answer came: lost, and counted so
            return
        meta["response_time"] = (now() - begun_ns) / 1e6
        greenlet = getcurrent()
        outer = getattr(greenlet, token, None)
        setattr(greenlet, token, request)
        try:
            event.fire(**meta)
        finally:
            setattr(greenlet, token, outer)

    @contextlib.contextmanager
    def measure(
        hook: EventHook, request_type: str, name: str, response_length: int = 0, context: Any = None
    ) -> Iterator[dict[str, Any]]:
        if hook is not event:
            with stock(hook, request_type, name, response_length, context) as other:
                yield other
            return
        meta: dict[str, Any] = {
            "request_type": request_type,
            "name": name,
            "response_length": response_length,
            "context": context or {},
            "exception": None,
            "start_time": time.time(),
        }
        begun_ns = now()
        request = begin(request_type, name)
        request.timer = timer = gevent.Timeout.start_new(limit_s)
        try:
            yield meta
        except gevent.GreenletExit:
            recorder.lose(request)
            raise
        except BaseException as error:
            limit_struck = error is timer
            meta["exception"] = TimeoutError(f"no answer within {limit_s:.3g} s") if limit_struck else error
            end(request, meta, begun_ns)
            if not limit_struck and not isinstance(error, Exception):
                raise
        else:
            end(request, meta, begun_ns)
        finally:
            timer.close()

    replace(EventHook, "measure", measure)
