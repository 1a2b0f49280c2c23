"""A TCP server to put behind a proxy: it echoes, and remembers what reached it and when."""

from __future__ import annotations

import socket
import threading
import time
from types import TracebackType

WAIT_S = 10.0
"""How long a test waits for what must come; a passing test never waits so long."""


class Upstream:
    """Echoes what it gets, on any number of connections. `bye` makes it close the connection."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.received = 0
        self.ended_at: list[float] = []  # monotonic seconds at which connections ended from the other side
        self.resets = 0
        self._changed = threading.Condition()
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> Upstream:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.listener.close()
        for each in self._sockets:
            each.close()

    def wait_for(self, received: int = 0, ends: int = 0) -> None:
        """Return when that many bytes have come and that many connections have ended; fail when they do not."""
        with self._changed:
            came = self._changed.wait_for(lambda: self.received >= received and len(self.ended_at) >= ends, WAIT_S)
        assert came, f"{self.received} bytes and {len(self.ended_at)} ends came"

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self._sockets.append(connection)
            threading.Thread(target=self._echo, args=(connection,), daemon=True).start()

    def _echo(self, connection: socket.socket) -> None:
        try:
            while data := connection.recv(65536):
                self._note(len(data))
                connection.sendall(data)
                if data.endswith(b"bye"):
                    break
            else:
                self._note_end()
        except ConnectionResetError:
            self._note_end(reset=True)
        except OSError:
            return
        connection.close()

    def _note(self, size: int) -> None:
        with self._changed:
            self.received += size
            self._changed.notify_all()

    def _note_end(self, *, reset: bool = False) -> None:
        with self._changed:
            self.ended_at.append(time.monotonic())
            self.resets += reset
            self._changed.notify_all()


def connect(address: str) -> socket.socket:
    """A connection to `host:port`, every call on it bounded."""
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), WAIT_S)


def exchange(connection: socket.socket, size: int = 10) -> float:
    """Send `size` bytes and take back as many; the seconds that it took. Raises EOFError when the stream ends."""
    started = time.monotonic()
    connection.sendall(b"x" * size)
    left = size
    while left:
        data = connection.recv(left)
        if not data:
            raise EOFError
        left -= len(data)
    return time.monotonic() - started


def quickest(connection: socket.socket, times: int = 5) -> float:
    """The shortest of some exchanges: what the link takes when the machine is not in the way."""
    return min(exchange(connection) for _ in range(times))


def rest(connection: socket.socket) -> bytes:
    """Everything up to the end of the stream; ConnectionResetError when it ends with RST."""
    parts = []
    while data := connection.recv(65536):
        parts.append(data)
    return b"".join(parts)


def rest_or_reset(connection: socket.socket) -> bytes:
    """Everything up to the end, whichever end it is: closing with unread data behind it is a RST in TCP."""
    parts = []
    try:
        while data := connection.recv(65536):
            parts.append(data)
    except ConnectionResetError:
        pass
    return b"".join(parts)
