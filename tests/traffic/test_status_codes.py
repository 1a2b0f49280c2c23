"""What gRPC's codes, SQLSTATEs and refused handshakes count as."""

from __future__ import annotations

import pytest

from harness.traffic.failures import classify


class Code:
    """Named as grpc.StatusCode's members."""

    def __init__(self, name: str) -> None:
        self.name = name


class RpcError(Exception):
    """Named as grpc's."""

    def __init__(self, code: str, details: str = "") -> None:
        super().__init__(f"<RPC that terminated with {code}>")
        self.code = lambda: Code(code)
        self.details = lambda: details


class OperationalError(Exception):
    """Named as psycopg's: its SQLSTATE is None where the server did not speak."""

    sqlstate: str | None = None


class SqlError(Exception):
    """An error of the server."""

    def __init__(self, sqlstate: str) -> None:
        super().__init__("the server's words")
        self.sqlstate = sqlstate


class WebSocketBadStatusException(Exception):
    """Named as websocket-client's."""

    def __init__(self, status_code: int) -> None:
        super().__init__(f"Handshake status {status_code}")
        self.status_code = status_code


class RedisConnectionError(Exception):
    """As redis-py's when the server has closed the connection: no cause, no errno."""


RedisConnectionError.__name__ = "ConnectionError"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RpcError("DEADLINE_EXCEEDED"), "timeout"),
        (RpcError("UNAVAILABLE", "failed to connect to all addresses; last error: recvmsg"), "connect"),
        (RpcError("UNAVAILABLE", "recvmsg:Connection reset by peer"), "reset"),
        (RpcError("UNAVAILABLE", "down for maintenance"), "5xx"),
        (RpcError("INTERNAL"), "5xx"),
        (RpcError("NOT_FOUND"), "4xx"),
        (RpcError("RESOURCE_EXHAUSTED"), "4xx"),
        (OperationalError("connection failed: Connection refused"), "connect"),
        (OperationalError("consuming input failed: server closed the connection unexpectedly"), "reset"),
        (SqlError("57014"), "timeout"),
        (SqlError("57P01"), "reset"),
        (SqlError("57P03"), "connect"),
        (SqlError("53300"), "5xx"),
        (SqlError("23505"), "4xx"),
        (WebSocketBadStatusException(503), "5xx"),
        (WebSocketBadStatusException(403), "4xx"),
        (RedisConnectionError("Connection closed by server."), "reset"),
        (ValueError("odd"), "other"),
    ],
    ids=str,
)
def test_an_error_s_own_code_says_what_failed(error: Exception, expected: str) -> None:
    """Without an HTTP status, the protocol's own code decides."""
    assert classify(error, 0) == expected


def test_an_http_status_goes_before() -> None:
    """The code of an error is asked only where no answer of HTTP came."""
    assert classify(RpcError("NOT_FOUND"), 500) == "5xx"
