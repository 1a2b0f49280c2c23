"""Keeping the books of requests: each client call opens one, Locust's request event (or a with-block's end) closes it.

request() called ── open ──► event fires ── close            the usual way
                      ├────► with-block: event at its end, or an exception of the scenario ── close
                      ├────► never entered with-block: closed by its status when the iteration ends
                      └────► user killed, run over: lost
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

import gevent
import requests
from gevent import getcurrent
from locust.clients import HttpSession
from locust.clients import ResponseContextManager as HttpAnswer
from locust.contrib.fasthttp import FastHttpSession, FastHttpUser
from locust.contrib.fasthttp import ResponseContextManager as FastAnswer

from harness.traffic.child.hooks import CONTROL_FLOW, PACE, replace
from harness.traffic.child.measured import Measured
from harness.traffic.failures import bounded, classify, message_of
from harness.traffic.fast.answer import Response
from harness.traffic.fast.session import Session
from harness.traffic.fast.user import FastUser
from harness.traffic.pacing import Pace
from harness.traffic.recorder import OpenRequest, Recorder

_TOKEN = "_harness_request"  # noqa: S105 - an attribute's name
_PLAIN_PATH = re.compile(r"/[A-Za-z0-9/_.~-]*")
# Socket time limits fire first and leave the connection pool tidy; the total only catches what drips.
_TOTAL_GRACE_S = 0.02
_PRUNE_AT = 16

Now = Callable[[], int]


class Books:
    """Joins the clients' calls with the request event. `timeout_ns` limits requests that say no limit of their own.

    The two clients of Locust are wrapped; FastUser's calls us itself (`open` to `leave_block`).
    """

    def __init__(self, recorder: Recorder, now: Now, timeout_ns: int) -> None:
        self._recorder = recorder
        self._now = now
        self._timeout_s = timeout_ns / 1e9
        self._names: dict[tuple[str, str], str] = {}
        self._unjudged: dict[Pace, list[OpenRequest]] = {}
        self.listener = self._on_request

    def install(self, events: Any) -> None:
        """Wrap both clients and listen, before any listener of the scenario, to the request event."""
        FastHttpUser.network_timeout = FastHttpUser.connection_timeout = self._timeout_s
        fast = self._wrap_request(FastHttpSession.request, _fast_name, self._fast_limit)
        replace(FastHttpSession, "request", fast)
        replace(HttpSession, "request", self._wrap_request(HttpSession.request, _requests_name, self._requests_limit))
        limited = _keep_total_limit(HttpSession._send_request_safe_mode)
        replace(HttpSession, "_send_request_safe_mode", limited)
        for answer in (FastAnswer, HttpAnswer):
            replace(answer, "_report_request", self._wrap_report(answer._report_request))
            replace(answer, "__exit__", self._wrap_exit(answer.__exit__))
        Measured(event=events.request, books=self, limit_s=self._timeout_s).install()
        FastUser.timeout = self._timeout_s
        Session.recording = self
        events.request._handlers.insert(0, self.listener)

    def open(self, user: Any, method: str, name: str) -> OpenRequest:
        """FastUser sends a request now."""
        endpoint = self._names.get((method, name)) or self._endpoint(method, name)
        pace = getattr(user, PACE, None)
        return self._recorder.open(endpoint, self._now(), pace.lag_ns if pace is not None else 0)

    def close(self, token: OpenRequest, exception: BaseException | None, response: Response) -> None:
        """It is over, and nobody listens but we."""
        if exception is None:
            self._recorder.close(token, token.endpoint, response.service_us)
        else:
            failure, message = _failure(exception, response)
            self._recorder.close(token, token.endpoint, response.service_us, failure, message)

    def fire(self, token: OpenRequest, event: Any, meta: dict[str, Any]) -> None:
        """It is over: Locust's event tells us and everybody else."""
        greenlet = getcurrent()
        outer = getattr(greenlet, _TOKEN, None)
        setattr(greenlet, _TOKEN, token)
        try:
            event.fire(**meta)
        finally:
            setattr(greenlet, _TOKEN, outer)

    def abandon(self, token: OpenRequest, error: BaseException) -> None:
        """Its user was killed, or something was raised that is not a failed request."""
        self._close_raised(token, error)

    def await_judgement(self, token: OpenRequest, response: Response) -> None:
        """A with-block is to judge it."""
        token.answer = response
        pace = getattr(response.session.user, PACE, None)
        if pace is not None:
            self._await_judgement(pace, token)

    def leave_block(self, token: OpenRequest, error: BaseException | None) -> None:
        """Not closed yet, it counts by the wire, or as failed by what the scenario raised."""
        if not token.closed:
            self._close_by_wire(token, None if isinstance(error, CONTROL_FLOW) else error)

    def leave_iteration(self, pace: Pace) -> None:
        """The iteration is over: with-blocks that were never entered count by what the wire said."""
        for token in self._unjudged.pop(pace, ()):
            self._close_by_wire(token)

    def lose_all(self) -> int:
        """The run ends: answered requests that nobody judged count by the wire, the rest is lost."""
        for pace in list(self._unjudged):
            self.leave_iteration(pace)
        return self._recorder.lose_all()

    def _await_judgement(self, pace: Pace, token: OpenRequest) -> None:
        waiting = self._unjudged.setdefault(pace, [])
        if len(waiting) >= _PRUNE_AT:
            waiting[:] = [earlier for earlier in waiting if not earlier.closed]
        waiting.append(token)

    def _fast_limit(self, session: Any, kwargs: dict[str, Any]) -> float | None:  # noqa: ARG002 - one shape for both
        user = session.user
        stated = user is not None and type(user).network_timeout != self._timeout_s
        return None if stated else self._timeout_s + _TOTAL_GRACE_S

    def _requests_limit(self, session: Any, kwargs: dict[str, Any]) -> float | None:  # noqa: ARG002
        if kwargs.get("timeout") is not None:
            return None
        kwargs["timeout"] = self._timeout_s
        return self._timeout_s + _TOTAL_GRACE_S

    def _wrap_request(self, original: Any, name_of: Any, limit_of: Any) -> Any:
        recorder, now = self._recorder, self._now

        @functools.wraps(original)
        def request(session: Any, method: Any, url: Any, name: Any = None, *args: Any, **kwargs: Any) -> Any:
            greenlet = getcurrent()
            pace = getattr(session.user, PACE, None) or getattr(greenlet, PACE, None)
            limit_s = limit_of(session, kwargs)
            endpoint = self._endpoint(method, name or session.request_name or name_of(session, method, url, kwargs))
            token = recorder.open(endpoint, now(), pace.lag_ns if pace is not None else 0)
            outer = getattr(greenlet, _TOKEN, None)
            setattr(greenlet, _TOKEN, token)
            timer = gevent.Timeout.start_new(limit_s) if limit_s else None
            token.timer = timer
            try:
                answer = original(session, method, url, name, *args, **kwargs)
            except BaseException as error:
                self._close_raised(token, error)
                raise
            finally:
                setattr(greenlet, _TOKEN, outer)
                if timer is not None:
                    timer.close()
            if not token.closed:  # a with-block that is to judge it
                token.answer = answer
                setattr(answer, _TOKEN, token)
                if pace is not None:
                    self._await_judgement(pace, token)
            return answer

        return request

    def _wrap_report(self, original: Any) -> Any:
        @functools.wraps(original)
        def report(answer: Any, *args: Any) -> None:
            greenlet = getcurrent()
            outer = getattr(greenlet, _TOKEN, None)
            setattr(greenlet, _TOKEN, getattr(answer, _TOKEN, outer))
            try:
                original(answer, *args)
            finally:
                setattr(greenlet, _TOKEN, outer)

        return report

    def _wrap_exit(self, original: Any) -> Any:
        @functools.wraps(original)
        def leave(answer: Any, kind: Any, error: Any, trace: Any) -> Any:
            handled = original(answer, kind, error, trace)
            token = getattr(answer, _TOKEN, None)
            if token is not None and not token.closed:
                # Locust fires no event when a scenario raises inside its with-block: for us it is a failed request.
                raised = None if kind is None or issubclass(kind, CONTROL_FLOW) else error
                self._close_by_wire(token, raised)
            return handled

        return leave

    def _on_request(
        self, request_type: Any, name: Any, response_time: Any, exception: Any = None, response: Any = None, **_: Any
    ) -> None:
        greenlet = getcurrent()
        endpoint = self._endpoint(request_type, name)
        service_us = round((response_time or 0.0) * 1000)
        token = getattr(greenlet, _TOKEN, None)
        if token is None or token.closed:  # a client of the scenario's own, which only fires the event
            pace = getattr(greenlet, PACE, None)
            start_ns = self._now() - service_us * 1000
            token = self._recorder.open(endpoint, start_ns, pace.lag_ns if pace is not None else 0)
        elif token.timer is not None:
            token.timer.close()  # the listeners that follow are not the request
        if exception:
            failure, message = _failure(exception, response)
            self._recorder.close(token, endpoint, service_us, failure, message)
        else:
            self._recorder.close(token, endpoint, service_us)

    def _close_by_wire(self, token: OpenRequest, raised: BaseException | None = None) -> None:
        answer: Any = token.answer
        meta = answer.request_meta
        error = raised or meta.get("exception") or getattr(answer, "error", None)
        if error is None and answer.status_code >= 400:
            error = f"status {answer.status_code}"
        failure, message = _failure(error, answer) if error else ("", "")
        if raised is not None and failure == "other":
            failure = "assertion"
        endpoint = self._endpoint(meta["request_type"], meta["name"])
        self._recorder.close(token, endpoint, round(meta["response_time"] * 1000), failure, message)

    def _close_raised(self, token: OpenRequest, error: BaseException) -> None:
        """The client raised instead of answering: killed (lost), or refused the call itself."""
        if isinstance(error, CONTROL_FLOW):
            self._recorder.lose(token)
            return
        service_us = max(0, (self._now() - token.due_ns) // 1000 - token.lag_us)
        self._recorder.close(token, token.endpoint, service_us, classify(error, 0), message_of(error))

    def _endpoint(self, method: Any, name: Any) -> str:
        key = (method, name)
        endpoint = self._names.get(key)
        if endpoint is None:
            endpoint = bounded(f"{_text(method)} {_text(name)}")
            if len(self._names) < 2000:  # names made of ids must not grow for ever
                self._names[key] = endpoint
        return endpoint


def _failure(exception: Any, response: Any) -> tuple[str, str]:
    status = getattr(response, "status_code", 0) or 0
    failure = classify(exception, status, getattr(response, "error", None))
    return failure, message_of(exception)


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _fast_name(session: Any, method: Any, url: Any, kwargs: dict[str, Any]) -> Any:  # noqa: ARG001 - one shape for both
    return url


def _requests_name(session: Any, method: Any, url: Any, kwargs: dict[str, Any]) -> str:
    """The name that HttpSession will give a request without one: its path and query, as sent."""
    full = session._build_url(_text(url))
    start = full.find("/", full.find("://") + 3)
    path = full[start:] if start >= 0 else "/"
    if not kwargs.get("params") and _PLAIN_PATH.fullmatch(path):
        return path
    try:
        return str(requests.Request(_text(method), full, params=kwargs.get("params")).prepare().path_url)
    except (requests.RequestException, ValueError):
        return _text(url)


def _keep_total_limit(original: Any) -> Any:
    """HttpUser's client knows no total limit: turn ours, when it strikes, into the answer Locust gives on a timeout."""

    @functools.wraps(original)
    def send(session: Any, method: Any, url: Any, **kwargs: Any) -> Any:
        try:
            return original(session, method, url, **kwargs)
        except gevent.Timeout as limit:
            token = getattr(getcurrent(), _TOKEN, None)
            if token is None or token.timer is not limit:
                raise
            error = requests.exceptions.Timeout(f"no whole answer within {limit.seconds:.3g} s")
            error.request = requests.Request(method, url, params=kwargs.get("params")).prepare()
            return HttpAnswer(error)

    return send
