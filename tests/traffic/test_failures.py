"""Failure classes: the wire's word first, then the status, then the scenario's opinion."""

import errno
import socket

import pytest

from harness.traffic.failures import MAX_MESSAGE, classify, message_of


class CatchResponseError(Exception):
    """Named as Locust's: what answer.failure() makes."""


class HTTPConnectionClosed(Exception):
    """Named as geventhttpclient's."""


class RetriesExceeded(Exception):
    """Named as geventhttpclient's: it wraps the real error."""

    def __init__(self, original: Exception) -> None:
        super().__init__("0 retries exceeded")
        self.original = original


class ConnectTimeoutError(Exception):
    """Named as urllib3's."""


class NewConnectionError(ConnectTimeoutError):
    """Named as urllib3's, and oddly derived as there."""


def wrapped(inner: Exception) -> Exception:
    """An error whose real cause is in its arguments, as urllib3 and requests do."""
    return OSError("HTTPConnectionPool failed", inner)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (TimeoutError("timed out"), "timeout"),
        (RetriesExceeded(TimeoutError()), "timeout"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), "connect"),
        (OSError(errno.EHOSTUNREACH, "no route"), "connect"),
        (socket.gaierror(-2, "unknown host"), "connect"),
        (wrapped(ConnectionRefusedError()), "connect"),
        (NewConnectionError("refused"), "connect"),
        (ConnectTimeoutError("too long"), "timeout"),
        (ConnectionResetError(errno.ECONNRESET, "reset"), "reset"),
        (HTTPConnectionClosed("connection closed."), "reset"),
        (wrapped(BrokenPipeError()), "reset"),
        (ValueError("odd"), "other"),
    ],
)
def test_transport_errors_are_found_inside_their_wrappers(error: Exception, expected: str) -> None:
    """Without an answer, the error decides, however deep the client has wrapped it."""
    assert classify(error, 0) == expected


@pytest.mark.parametrize(
    ("status", "expected"), [(503, "5xx"), (404, "4xx"), (200, "assertion"), (201, "assertion"), (302, "assertion")]
)
def test_a_scenario_s_failure_counts_by_the_wire_first(status: int, expected: str) -> None:
    """answer.failure() on a 503 is still a 503; on a good answer it is an assertion."""
    assert classify(CatchResponseError("no order number"), status) == expected


def test_a_scenario_s_failure_on_a_refused_connection_is_a_refused_connection() -> None:
    """The client's own error wins over what the scenario said about it."""
    assert classify(CatchResponseError("status 0"), 0, ConnectionRefusedError()) == "connect"


def test_an_assertion_needs_no_status() -> None:
    """A check of a client without HTTP statuses is an assertion too."""
    assert classify(AssertionError("wrong"), 0) == "assertion"


def test_messages_are_bounded_and_name_the_error() -> None:
    """An exemplar says what was raised, in at most 300 characters."""
    assert message_of(ValueError("boom")) == "ValueError: boom"
    assert message_of("status 404") == "status 404"
    assert len(message_of(ValueError("x" * 1000))) == MAX_MESSAGE
    assert message_of("lone \udc80 surrogate") == "lone ? surrogate"
