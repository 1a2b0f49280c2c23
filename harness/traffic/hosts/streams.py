"""ZeroMQ's connections between a worker process and the master, carried over a host's link, each under a number."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time

from harness.traffic.hosts.frames import PIECE, Kind
from harness.traffic.hosts.link import Link

_NUMBER = struct.Struct("!I")
MOST_STREAMS = 64


class Streams:
    """The connections of one end. What comes from a socket goes into the link, in a thread for each."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._lock = threading.Lock()
        self._open: dict[int, socket.socket] = {}
        self._pumps: list[threading.Thread] = []

    def add(self, number: int, sock: socket.socket) -> None:
        """Carry this connection."""
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._open[number] = sock
        pump = threading.Thread(target=self._pump, args=(number, sock), name=f"stream-{number}", daemon=True)
        self._pumps.append(pump)
        pump.start()

    def knows(self, number: int) -> bool:
        """Whether the connection of that number is open here."""
        with self._lock:
            return number in self._open

    def full(self) -> bool:
        """Whether there are as many as anybody needs."""
        return len(self._pumps) >= MOST_STREAMS

    def write(self, number: int, data: bytes) -> None:
        """Write what came over the link; a connection that has gone takes nothing."""
        with self._lock:
            sock = self._open.get(number)
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.sendall(data)

    def ended(self, number: int) -> None:
        """The other end has written its last. What was written is still read: no reset."""
        with self._lock:
            sock = self._open.get(number)
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_WR)

    def wait(self, limit_s: float) -> None:
        """Wait until all that the connections still had to say is in the link."""
        deadline_s = time.monotonic() + limit_s
        for pump in tuple(self._pumps):
            pump.join(max(0.0, deadline_s - time.monotonic()))

    def close(self) -> None:
        """End them all."""
        with self._lock:
            left = tuple(self._open.values())
        for sock in left:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _pump(self, number: int, sock: socket.socket) -> None:
        head = _NUMBER.pack(number)
        with contextlib.suppress(OSError):
            while data := sock.recv(PIECE):
                self._link.send(Kind.STREAM, head + data)
        with contextlib.suppress(OSError):
            self._link.send(Kind.STREAM_END, head)
        with self._lock:
            self._open.pop(number, None)
        sock.close()


def number_of(payload: bytes) -> tuple[int, bytes]:
    """The stream's number and the data of a message. Raises ValueError."""
    if len(payload) < _NUMBER.size:
        raise ValueError("a message of no stream")
    return int(_NUMBER.unpack_from(payload)[0]), payload[_NUMBER.size :]
