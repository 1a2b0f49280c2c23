"""A server that answers as its path says, also in ways that no server should; it keeps what it was asked."""

from __future__ import annotations

import contextlib
import gzip
import socket
import struct
import threading
import time
import zlib
from collections import Counter
from types import TracebackType


def _bomb(megabytes: int) -> bytes:
    """An answer with a body of zeros in gzip, a thousandth of them on the wire."""
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = squeezer.compress(bytes(1 << 20)) + squeezer.flush(zlib.Z_FULL_FLUSH)
    body = b"\x1f\x8b\x08" + bytes(7) + block * megabytes
    return b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
# Whole answers, after which the connection stays.
ANSWERS: dict[str, bytes] = {
    "/ok": OK,
    "/interim": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK,
    "/chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n"
    b"3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\n",
    "/204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "/304": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    "/404": b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnope",
    "/503": b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
    "/case": b"HTTP/1.1 200 OK\r\ncOnTeNt-LeNgTh: 2\r\nX-A: 1\r\nx-a: 2\r\n\r\nok",
    "/huge-head": b"HTTP/1.1 200 OK\r\nX-Huge: " + b"h" * 200_000 + b"\r\nContent-Length: 2\r\n\r\nok",
    "/latin": b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=latin-1\r\nContent-Length: 1\r\n\r\n\xe9",
    "/json": b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n{"a":1}',
    "/set": b"HTTP/1.1 200 OK\r\nSet-Cookie: id=7; Path=/; HttpOnly\r\nSet-Cookie: deep=1; Path=/deep\r\n"
    b"Content-Length: 0\r\n\r\n",
    "/unset": b"HTTP/1.1 200 OK\r\nSet-Cookie: id=; Path=/; Max-Age=0\r\nContent-Length: 0\r\n\r\n",
    "/302": b"HTTP/1.1 302 Found\r\nLocation: /echo\r\nContent-Length: 0\r\n\r\n",
    "/307": b"HTTP/1.1 307 Again\r\nLocation: /echo\r\nContent-Length: 0\r\n\r\n",
    "/loop": b"HTTP/1.1 302 Found\r\nLocation: /loop\r\nContent-Length: 0\r\n\r\n",
    "/two-answers": OK + b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong",
    "/too-much": OK + b"surplus",
    "/bad-gzip": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nno",
    "/gzip": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b"
    % (len(gzip.compress(b"squeezed", mtime=0)), gzip.compress(b"squeezed", mtime=0)),
    "/charset": b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf8mb4\r\nContent-Length: 2\r\n\r\nok",
    "/charset-idna": b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=idna\r\nContent-Length: 2\r\n\r\nok",
    "/ages": b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Max-Age=" + b"9" * 400 + b"\r\n"
    b"Set-Cookie: b=1; Expires=Thu, 01 Jan 0001 00:00:00 -0000\r\nContent-Length: 2\r\n\r\nok",
    "/bomb": _bomb(257),
    "/no-host": b"HTTP/1.1 302 Found\r\nLocation: http://a..b/\r\nContent-Length: 0\r\n\r\n",
}
# What comes before the connection is closed.
LAST_WORDS: dict[str, bytes] = {
    "/close": b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
    "/until-close": b"HTTP/1.1 200 OK\r\n\r\nall of it",
    "/http10": b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "/silent": b"",
    "/half": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this",
    "/half-chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
    "/half-head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "/garbage": b"\x00\x01\x02 what is this\r\n\r\n",
    "/endless-head": b"HTTP/1.1 200 OK\r\n" + b"X-More: and more\r\n" * 100_000,
    "/endless-interim": b"HTTP/1.1 100 Continue\r\n\r\n" * 100_000,
    "/two-lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
}


class OddServer:
    """Listens on a free port of 127.0.0.1. `seen` counts "METHOD /path"; `connections` how many were made."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self._listener.getsockname()[1]
        self._clients: list[socket.socket] = []

    def __enter__(self) -> OddServer:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        for client in self._clients:
            client.close()

    @property
    def address(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self.port}"

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                self._clients.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError), client, client.makefile("rb") as incoming:
            for served in range(10_000):
                head = b"".join(iter(incoming.readline, b"\r\n"))
                if not head:
                    return
                method, path, _ = head.decode("latin-1").split(" ", 2)
                self.seen[f"{method} {path}"] += 1
                if path == "/early":
                    client.sendall(b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
                    return
                if path == "/never-read":
                    time.sleep(5)
                    return
                length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                body = incoming.read(int(length[0].split(b":")[1])) if length else b""
                if not self._answer(client, method, path, head, body, served):
                    return

    def _answer(self, client: socket.socket, method: str, path: str, head: bytes, body: bytes, served: int) -> bool:
        """Answer; False when the connection is to be closed then."""
        if path.startswith(("/echo", "/deep")):
            said = head + b"\r\n" + body
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(said), said))
        elif method == "HEAD":
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        elif path in ANSWERS:
            client.sendall(ANSWERS[path])
        elif path in LAST_WORDS:
            client.sendall(LAST_WORDS[path])
            return False
        else:
            return self._be_strange(client, path, served)
        return True

    def _be_strange(self, client: socket.socket, path: str, served: int) -> bool:
        if path == "/reset":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif path == "/never":
            time.sleep(5)
        elif path == "/drip":
            _drip(client, b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        elif path == "/drip-head":
            _drip(client, b"HTTP/1.1 200 OK\r\nX-Long: ")
        elif path == "/kept-then-closed" or (path == "/closed-if-kept" and not served):
            client.sendall(OK)
            return path == "/closed-if-kept"
        elif path == "/bytewise":
            for byte in b"HTTP/1.1 100 Continue\r\n\r\n" + ANSWERS["/chunked"]:
                client.sendall(bytes([byte]))
            return True
        elif path == "/big":
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n" + b"b" * 3_000_000)
            return True
        return False


def _drip(client: socket.socket, beginning: bytes) -> None:
    client.sendall(beginning)
    for _ in range(100):
        client.sendall(b"X")
        time.sleep(0.02)
