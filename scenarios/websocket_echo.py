"""Users of a WebSocket: each keeps one open, sends a message, and waits for the same message to come back.

Run alone: locust -f scenarios/websocket_echo.py --headless -H ws://127.0.0.1:8765 -u 100 -r 10 -t 30s
PACING_S (10) is the time from one request of a user to the next. A server to try it on: python -m fixtures.echo
Needs websocket-client: pip install 'chaos-load-harness[protocols]'
"""

import os
import random
from urllib.parse import urlsplit

import websocket
from locust import User, constant_pacing, task

PACING_S = float(os.environ.get("PACING_S", "10"))
TIMEOUT_S = 10.0


class Talker(User):
    """Its connection is made before its first message, and anew before the message after one that failed."""

    host = "ws://127.0.0.1:8765"
    wait_time = constant_pacing(PACING_S)
    socket: websocket.WebSocket | None = None

    @task
    def say(self) -> None:
        """One message there and back."""
        if self.socket is None and not self.connect():
            return
        message = f"hello {random.randrange(1_000_000)}"
        with self.environment.events.request.measure("WS", "echo", len(message)) as request:
            self.socket.send(message)
            answer = self.socket.recv()
            if not answer:  # what recv() makes of the server's word that it closes
                raise websocket.WebSocketConnectionClosedException("closed by the server")
            if answer != message:
                raise AssertionError("another message came back")
        if request["exception"]:  # the answer to this message may still come, and would be taken for the next one's
            self.socket.shutdown()
            self.socket = None

    def on_stop(self) -> None:
        """Leave the server."""
        if self.socket is not None:
            self.socket.close(timeout=1)

    def connect(self) -> bool:
        """Whether there is a connection now: TCP and the handshake are a request called CONNECT."""
        server = urlsplit(self.host)
        url = f"{'wss' if server.scheme in ('https', 'wss') else 'ws'}://{server.netloc}{server.path}"
        with self.environment.events.request.measure("WS", "CONNECT"):
            self.socket = websocket.create_connection(url, timeout=TIMEOUT_S)
        return self.socket is not None
