"""TCP on this host: does somebody listen, which port is free, who is connected."""

from __future__ import annotations

import secrets
import socket
from pathlib import Path

from harness.errors import EnvironmentBroke

# Below the range from which Linux (32768) and macOS (49152) give ports to outgoing connections: a service that is
# killed and started again would otherwise find its port taken by one of the load's own connections.
FIRST_PORT, LAST_PORT = 20_000, 32_000
_TRIES = 200
_LISTEN = "0A"
_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))


def reserve_port(host: str = "127.0.0.1") -> socket.socket:
    """A bound socket on a free port: while it is open nobody else gets the port. Raises EnvironmentBroke."""
    for _ in range(_TRIES):
        reserved = socket.socket()
        try:
            reserved.bind((host, FIRST_PORT + secrets.randbelow(LAST_PORT - FIRST_PORT)))
        except OSError:
            reserved.close()
        else:
            return reserved
    raise EnvironmentBroke(
        f"no free port found between {FIRST_PORT} and {LAST_PORT} of {host}", hint="look at: ss -tln"
    )


def free_port(host: str = "127.0.0.1") -> int:
    """A port that is free now, outside the range of outgoing connections."""
    with reserve_port(host) as reserved:
        return int(reserved.getsockname()[1])


def refusal(host: str, port: int, *, timeout_s: float, stays_open_s: float = 0.0) -> str:
    """Why a connection cannot be made; the empty string when it can.

    With `stays_open_s` it must also not be closed by the other side at once: Docker's port forwarder accepts for
    containers in which nobody listens yet, and then hangs up.
    """
    try:
        with socket.create_connection((host, port), timeout=timeout_s) as connection:
            return _hang_up(connection, stays_open_s) if stays_open_s else ""
    except TimeoutError:
        return f"no answer within {timeout_s:g} s"
    except OSError as error:
        return error.strerror or str(error)


def _hang_up(connection: socket.socket, within_s: float) -> str:
    connection.settimeout(within_s)
    try:
        return "" if connection.recv(1) else "the connection was closed at once"
    except TimeoutError:
        return ""


def connections_at(port: int) -> int | None:
    """How many connections a local port has, those just closed included; None where the kernel does not tell."""
    hexadecimal = f"{port:04X}"
    count = 0
    try:
        for table in _TABLES:
            rows = (line.split(maxsplit=4) for line in table.read_text().splitlines()[1:])
            count += sum(1 for row in rows if row[1].endswith(f":{hexadecimal}") and row[3] != _LISTEN)
    except OSError:
        return None
    return count
