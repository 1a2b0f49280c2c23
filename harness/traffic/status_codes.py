"""Failures of protocols other than HTTP, read from the codes that their errors carry, by class names and attributes.

gRPC: its codes as HTTP statuses, as google/rpc/code.proto has them. PostgreSQL: SQLSTATE classes (its manual,
appendix A). No client library is needed here.
"""

from __future__ import annotations

from typing import Any

_GRPC = {
    "DEADLINE_EXCEEDED": "timeout",
    **dict.fromkeys(("UNKNOWN", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"), "5xx"),
    **dict.fromkeys(("INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "UNAUTHENTICATED"), "4xx"),
    **dict.fromkeys(("RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "CANCELLED"), "4xx"),
}
# UNAVAILABLE is what the client says of a connection, and what a server may say of itself: the words tell which.
_GRPC_CONNECT = ("failed to connect", "DNS resolution failed", "Connection refused")
_GRPC_RESET = ("Socket closed", "Connection reset", "Broken pipe", "GOAWAY", "recvmsg")
_SQLSTATE = {
    "57014": "timeout",  # canceled: statement_timeout
    "55P03": "timeout",  # lock_timeout
    "25P03": "timeout",  # idle_in_transaction_session_timeout
    "57P01": "reset",  # the administrator ends the session
    "57P02": "reset",  # crash of another session
    "57P03": "connect",  # the server starts or stops
}
_SQLSTATE_CLASSES = {"08": "reset", **dict.fromkeys(("53", "54", "55", "57", "58", "F0", "XX"), "5xx")}
_LIBPQ_CONNECT = ("connection failed", "failed to resolve host")


def status_failure(error: BaseException) -> str:
    """The failure class that an error's own code stands for, else the empty string."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if "RpcError" in names:
        return _grpc(error)
    if hasattr(error, "sqlstate"):
        return _postgres(error, names)
    status = getattr(error, "status_code", None)
    if isinstance(status, int) and status >= 400:  # a handshake that was refused
        return "5xx" if status >= 500 else "4xx"
    return "reset" if "ConnectionError" in names else ""


def _grpc(error: Any) -> str:
    code = getattr(error.code(), "name", "") if hasattr(error, "code") else ""
    if code == "UNAVAILABLE":
        details = str(error.details())
        for failure, words in (("connect", _GRPC_CONNECT), ("reset", _GRPC_RESET)):
            if any(word in details for word in words):
                return failure
    return _GRPC.get(code, "")


def _postgres(error: Any, names: set[str]) -> str:
    state = error.sqlstate
    if isinstance(state, str):
        return _SQLSTATE.get(state) or _SQLSTATE_CLASSES.get(state[:2], "4xx")
    if "OperationalError" not in names:
        return ""
    # libpq met it, not the server: a connection that could not be made, or one that broke.
    return "connect" if str(error).startswith(_LIBPQ_CONNECT) else "reset"
