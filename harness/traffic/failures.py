"""Why a request failed, in one word: timeout, connect, reset, 5xx, 4xx, assertion or other.

What happened on the wire wins: a scenario that calls `answer.failure(...)` on a refused connection has still met a
refused connection. `assertion` is left for answers that were fine on the wire and not fine for the scenario.
Clients wrap the real error many times over, so the chain of causes is read by class names and errno, which needs no
client library here.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator

from harness.traffic.status_codes import status_failure

FAILURE_CLASSES = ("timeout", "connect", "reset", "5xx", "4xx", "assertion", "other")
MAX_MESSAGE = 300

_TIMEOUT = {
    "Timeout", "TimeoutError", "ReadTimeout", "ConnectTimeout", "ReadTimeoutError", "ConnectTimeoutError",
    "ConnectionTimeout", "WebSocketTimeoutException",
}  # fmt: skip
_RESET = {
    "ConnectionResetError", "ConnectionAbortedError", "BrokenPipeError", "HTTPConnectionClosed", "RemoteDisconnected",
    "IncompleteRead", "ProtocolError", "ChunkedEncodingError", "WebSocketConnectionClosedException",
}  # fmt: skip
_CONNECT = {
    "ConnectionRefusedError", "gaierror", "NewConnectionError", "NameResolutionError", "SSLError", "ProxyError",
    "WebSocketAddressException", "WebSocketProxyException", "AuthenticationError",
}  # fmt: skip
_SPEAK_FOR_THEMSELVES = {"CatchResponseError", "LocustBadStatusCode"}
_BY_ERRNO = {
    errno.ETIMEDOUT: "timeout",
    errno.ECONNREFUSED: "connect",
    errno.EHOSTUNREACH: "connect",
    errno.ENETUNREACH: "connect",
    errno.EADDRNOTAVAIL: "connect",
    errno.EMFILE: "connect",
    errno.ECONNRESET: "reset",
    errno.ECONNABORTED: "reset",
    errno.EPIPE: "reset",
}


def chain(error: BaseException) -> Iterator[BaseException]:
    """The error and everything it wraps: causes, contexts, `original` and `reason` attributes, arguments."""
    seen: set[int] = set()
    stack = [error]
    while stack and len(seen) < 20:
        current = stack.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        attributes = (getattr(current, name, None) for name in ("__context__", "__cause__", "reason", "original"))
        wrapped = (*attributes, *current.args)
        stack.extend(inner for inner in wrapped if isinstance(inner, BaseException))


def transport_failure(error: BaseException) -> str:
    """timeout, connect or reset for an error of the connection, else the empty string."""
    found = set()
    for inner in chain(error):
        names = {kind.__name__ for kind in type(inner).__mro__}
        if "NewConnectionError" in names:  # urllib3 derives it from its timeout, which it is not
            names -= _TIMEOUT
        if names & _TIMEOUT:
            found.add("timeout")
        if names & _CONNECT:
            found.add("connect")
        if names & _RESET:
            found.add("reset")
        if isinstance(inner, OSError) and inner.errno in _BY_ERRNO:
            found.add(_BY_ERRNO[inner.errno])
    return next((name for name in ("timeout", "connect", "reset") if name in found), "")


def classify(exception: BaseException | str, status: int, transport_error: BaseException | None = None) -> str:
    """The class of a failed request: `status` is 0 when no answer came; `transport_error` what the client met."""
    for error in (transport_error, exception):
        if isinstance(error, BaseException) and (status == 0 or error is exception):
            failure = transport_failure(error)
            if failure:
                return failure
    if status == 0 and isinstance(exception, BaseException) and (failure := status_failure(exception)):
        return failure
    if status >= 500:
        return "5xx"
    if status >= 400:
        return "4xx"
    if status > 0 or isinstance(exception, AssertionError) or type(exception).__name__ == "CatchResponseError":
        return "assertion"
    return "other"


def message_of(exception: BaseException | str) -> str:
    """What to show of a failure: its own words, bounded."""
    text = str(exception) or repr(exception)
    if isinstance(exception, BaseException) and type(exception).__name__ not in _SPEAK_FOR_THEMSELVES:
        text = f"{type(exception).__name__}: {text}"
    return bounded(text)


def bounded(text: str) -> str:
    """Foreign text made fit for a journal line: at most MAX_MESSAGE characters, all of which can be encoded."""
    text = text.encode(errors="replace").decode()
    return text if len(text) <= MAX_MESSAGE else text[: MAX_MESSAGE - 1] + "…"
