"""A server of feature flags, for faults by HTTP."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread


class Flags:
    """The server: POST /flags/x sets a flag, DELETE clears it, GET tells; /status/N answers N, /hang never."""

    def __init__(self) -> None:
        self.on: set[str] = set()
        self.asked: list[tuple[str, str, str, dict[str, str]]] = []
        self.go_on = Event()
        flags = self

        class Handler(BaseHTTPRequestHandler):
            """Answers from `flags`."""

            def answer(self) -> None:
                """Record, act, answer."""
                body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
                flags.asked.append((self.command, self.path, body, dict(self.headers)))
                if self.path == "/hang":
                    flags.go_on.wait(10)
                status = (
                    int(self.path.rpartition("/")[2]) if "/status/" in self.path else flags.act(self.command, self.path)
                )
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", "http://192.0.2.1/elsewhere")
                text = f"flags: {' '.join(sorted(flags.on)) or 'none'}, password=hunter2".encode()
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 - names of the standard library

            def log_message(self, *_: object) -> None:  # type: ignore[override]
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_port}"
        Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def act(self, method: str, path: str) -> int:
        """Change or tell one flag; the status."""
        if method == "POST":
            self.on.add(path)
        elif method == "DELETE":
            self.on.discard(path)
        return 200 if path in self.on or method != "GET" or path == "/all" else 404

    def close(self) -> None:
        """End it."""
        self.go_on.set()
        self.server.shutdown()
        self.server.server_close()
