"""A joined host's connection: lines while strangers may be at the other end, signed messages from then on."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any

from harness.journal import Json
from harness.traffic.hosts.frames import HEAD, Forged, Kind, Seal, length_of
from harness.traffic.hosts.handshake import MOST_LINE

SILENCE_S = 10.0
"""The harness pings each second: whoever hears nothing for so long is alone."""


class LinkLost(OSError):
    """The connection has ended, or cannot be trusted any more; the message says how."""


class Link:
    """Messages both ways. Any thread may send; one receives. Every wait is bounded."""

    def __init__(self, sock: socket.socket, *, out: bytes, back: bytes) -> None:
        self._sock = sock
        self._out = Seal(out)
        self._back = Seal(back)
        self._sending = threading.Lock()
        sock.settimeout(SILENCE_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, kind: Kind, payload: bytes) -> None:
        """Send one message. Raises LinkLost."""
        with self._sending:
            try:
                self._sock.sendall(self._out.message(kind, payload))
            except OSError as error:
                raise _lost(error) from error

    def tell(self, record: Mapping[str, Json]) -> None:
        """Send a record. Raises LinkLost."""
        self.send(Kind.RECORD, json.dumps(record, separators=(",", ":")).encode())

    def receive(self) -> tuple[Kind, bytes]:
        """The next message. Raises LinkLost."""
        try:
            return self._back.open(self._exactly(length_of(self._exactly(HEAD.size))))
        except Forged as error:
            raise LinkLost(f"the connection was tampered with: {error}") from error
        except OSError as error:
            raise _lost(error) from error

    def record(self) -> dict[str, Any]:
        """The next message, which must be a record. Raises LinkLost."""
        kind, payload = self.receive()
        if kind is not Kind.RECORD:
            raise LinkLost(f"expected a record, got {kind.name}")
        return read_record(payload)

    def close(self) -> None:
        """End the connection both ways; whoever waits on it wakes."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()

    def _exactly(self, count: int) -> bytes:
        parts = bytearray()
        while len(parts) < count:
            part = self._sock.recv(count - len(parts))
            if not part:
                raise LinkLost("the connection was closed")
            parts += part
        return bytes(parts)


def read_record(payload: bytes) -> dict[str, Any]:
    """A record of a message or a line. Raises LinkLost when it is none."""
    try:
        record = json.loads(payload)
    except (ValueError, RecursionError) as error:  # [[[[... of a stranger
        raise LinkLost("no record") from error
    if not isinstance(record, dict):
        raise LinkLost("no record")
    return record


def send_line(sock: socket.socket, record: Mapping[str, Json]) -> None:
    """Send an unsigned record. Raises OSError."""
    sock.sendall(json.dumps(record, separators=(",", ":")).encode() + b"\n")


def read_line(sock: socket.socket, deadline_s: float) -> dict[str, Any]:
    """An unsigned record: bounded in bytes and, by time.monotonic(), in time, however slowly it drips. Raises LinkLost.

    Read byte by byte, since what follows the line belongs to the signed messages.
    """
    line = bytearray()
    while not line.endswith(b"\n"):
        left_s = deadline_s - time.monotonic()
        if left_s <= 0 or len(line) > MOST_LINE:
            raise LinkLost("it said nothing in time" if left_s <= 0 else "its line is too long")
        sock.settimeout(left_s)
        try:
            byte = sock.recv(1)
        except OSError as error:
            raise _lost(error) from error
        if not byte:
            raise LinkLost("the connection was closed")
        line += byte
    return read_record(bytes(line))


def _lost(error: OSError) -> LinkLost:
    if isinstance(error, LinkLost):
        return error
    if isinstance(error, TimeoutError):
        return LinkLost(f"nothing came over the connection for {SILENCE_S:.0f} s")
    return LinkLost(f"the connection broke: {error.strerror or error}")
