"""The Toxiproxy client against servers that misbehave; the contract suite has the ones that do not."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

import pytest

from harness.clients.toxiproxy import Toxiproxy
from harness.clients.toxiproxy_model import (
    LinkBytes,
    Proxy,
    Toxic,
    ToxiproxyError,
    ToxiproxySilent,
    link_bytes_of,
    proxy_of,
    toxic_of,
)
from harness.errors import BadInput, EnvironmentBroke

PROXY = {"name": "db", "listen": "127.0.0.1:1", "upstream": "127.0.0.1:2", "enabled": True, "toxics": []}


class ScriptedServer:
    """Answers from a table and remembers what it was asked. A body of None never answers."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, str | None]] = {}
        self.asked: list[tuple[str, object]] = []
        self.released = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                route = f"{self.command} {self.path}"
                outer.asked.append((route, json.loads(body) if body else None))
                status, text = outer.answers.get(route, (404, '{"error": "not found", "status": 404}'))
                if text is None:
                    outer.released.wait(10)
                    return
                self.send_response(status)
                self.end_headers()
                self.wfile.write(text.encode())

            do_GET = do_POST = do_DELETE = answer  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Say nothing."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.http.server_address[1]}"

    def says(self, route: str, value: object, status: int = 200) -> None:
        """Script an answer in JSON."""
        self.answers[route] = (status, json.dumps(value))


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """A server that says what a test wants."""
    made = ScriptedServer()
    thread = threading.Thread(target=made.http.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield made
    made.released.set()
    made.http.shutdown()
    made.http.server_close()


def test_a_server_error_is_an_error(server: ScriptedServer) -> None:
    """toxiproxy-python takes 500 for success; here it is an error with the server's words."""
    server.says("GET /proxies", {"error": "listen tcp: oops", "status": 500}, status=500)
    with pytest.raises(ToxiproxyError, match="500 listen tcp: oops") as error:
        Toxiproxy(server.address).proxies()
    assert error.value.status == 500


def test_an_error_that_is_not_json_is_quoted(server: ScriptedServer) -> None:
    """Some gateway's HTML in between is shown as it came."""
    server.answers["GET /proxies"] = (502, "<h1>Bad Gateway</h1>")
    with pytest.raises(ToxiproxyError, match="502 <h1>Bad Gateway"):
        Toxiproxy(server.address).proxies()


def test_a_server_that_hangs_costs_the_time_limit(server: ScriptedServer) -> None:
    """The control API of the Go server can hang (its issue 558): a call ends after the limit and says so."""
    server.answers["DELETE /proxies/db/toxics/lag"] = (200, None)
    started = time.monotonic()
    with pytest.raises(ToxiproxySilent, match=r"DELETE /proxies/db/toxics/lag: no answer within 0.2 s"):
        Toxiproxy(server.address, timeout_s=0.2).remove_toxic("db", "lag")
    assert time.monotonic() - started < 5


def test_a_server_that_drips_costs_the_time_limit() -> None:
    """A byte now and then keeps the limit of an HTTP library from ever passing; ours is for the whole call."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        over = threading.Event()

        def drip() -> None:
            connection, _ = listener.accept()
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            with suppress(OSError):
                while not over.wait(0.02):
                    connection.sendall(b" ")

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        with pytest.raises(ToxiproxySilent, match=r"no answer within 0.2 s"):
            Toxiproxy(f"127.0.0.1:{listener.getsockname()[1]}", timeout_s=0.2).version()
        over.set()
        thread.join()


def test_all_calls_together_have_a_limit(server: ScriptedServer) -> None:
    """Healing takes several calls and may not take longer than its fault's time limit."""
    server.answers["GET /version"] = (200, None)
    client = Toxiproxy(server.address, timeout_s=5, in_all_s=0.2)
    started = time.monotonic()
    with pytest.raises(ToxiproxySilent, match="no answer within"):
        client.version()
    with pytest.raises(ToxiproxySilent, match=r"not asked, its answers have taken 0.2 s already"):
        client.version()
    assert time.monotonic() - started < 4


def test_nobody_there_is_said(server: ScriptedServer) -> None:
    """A refused connection is no traceback of an HTTP library."""
    with pytest.raises(ToxiproxySilent, match="no connection") as error:
        Toxiproxy("127.0.0.1:1").version()
    assert "8474" in error.value.hint
    assert isinstance(error.value, EnvironmentBroke)


def test_something_else_than_toxiproxy_is_said(server: ScriptedServer) -> None:
    """A web server at the address is recognised as none."""
    server.answers["GET /version"] = (200, "<html>hello</html>")
    with pytest.raises(ToxiproxyError, match="is no Toxiproxy"):
        Toxiproxy(server.address).version()


def test_a_proxy_of_the_environment_is_not_asked(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTP_PROXY does not send control calls through somebody's gateway."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    server.says("GET /version", {"version": "2.12.0"})
    assert Toxiproxy(f"http://{server.address}").version() == "2.12.0"


CHANGES: list[tuple[str, Callable[[Toxiproxy], object]]] = [
    ("creating", lambda client: client.create_proxy("harness-x", "127.0.0.1:0", "127.0.0.1:2")),
    ("deleting", lambda client: client.delete_proxy("db")),
    ("disabling", lambda client: client.set_enabled("db", False)),
    ("removing", lambda client: client.remove_toxic("db", "lag")),
    ("adding", lambda client: client.add_toxic("db", "lag", "latency", attributes={"latency": 9})),
    ("reset", lambda client: client.reset()),
]


@pytest.mark.parametrize(("what", "change"), CHANGES)
def test_a_change_that_did_not_take_is_an_error(
    server: ScriptedServer, what: str, change: Callable[[Toxiproxy], object]
) -> None:
    """The server says yes to everything and changes nothing: reading back finds out each time."""
    toxic = {
        "name": "lag", "type": "latency", "stream": "downstream", "toxicity": 1, "attributes": {"latency": 1}
    }  # fmt: skip
    stuck = PROXY | {"toxics": [toxic]}
    for route in ("POST /proxies", "POST /proxies/db", "POST /proxies/db/toxics", "POST /reset"):
        server.says(route, {})
    for route in ("DELETE /proxies/db", "DELETE /proxies/db/toxics/lag"):
        server.says(route, {})
    server.says("GET /proxies", {"db": stuck})
    server.says("GET /proxies/db", stuck)
    server.says("GET /proxies/db/toxics/lag", toxic)
    with pytest.raises(ToxiproxyError, match=f"{what}.*was accepted, but reads back as"):
        change(Toxiproxy(server.address))


def test_names_are_quoted(server: ScriptedServer) -> None:
    """A name with a slash does not reach another resource."""
    Toxiproxy(server.address).remove_toxic("a/b", "c d")
    assert server.asked[0][0] == "DELETE /proxies/a%2Fb/toxics/c%20d"


def test_metrics_may_be_missing(server: ScriptedServer) -> None:
    """A server without metrics gives None, not zero."""
    assert Toxiproxy(server.address).metrics() is None


def test_metrics_are_added_up_by_proxy_and_direction() -> None:
    """A proxy that moved has several rows; other metrics and comments are passed over."""
    lines = [
        "# TYPE toxiproxy_proxy_sent_bytes_total counter",
        'toxiproxy_proxy_received_bytes_total{direction="upstream",listener="a",proxy="d\\"b",upstream="x"} 10',
        'toxiproxy_proxy_received_bytes_total{direction="upstream",listener="b",proxy="d\\"b",upstream="x"} 1e+06',
        'toxiproxy_proxy_sent_bytes_total{direction="upstream",listener="a",proxy="d\\"b",upstream="x"} 9',
        "go_goroutines 5",
    ]
    assert link_bytes_of(lines) == (LinkBytes(proxy='d"b', stream="upstream", received_bytes=1_000_010, sent_bytes=9),)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1:99", "127.0.0.1:99"),
        ("http://chaos.local:8474/", "chaos.local:8474"),
        ("chaos.local", "chaos.local:8474"),
        ("[::1]:99", "[::1]:99"),
    ],
)
def test_addresses(address: str, expected: str) -> None:
    """Host and port, with or without http://."""
    assert Toxiproxy(address).address == expected


@pytest.mark.parametrize("address", ["", "https://x:1", "http://x:port", "http://x/base", "x:99999"])
def test_bad_addresses_are_refused(address: str) -> None:
    """What cannot be an address is bad input, before anything is called."""
    with pytest.raises(BadInput, match="expected the address of a Toxiproxy server"):
        Toxiproxy(address)


@pytest.mark.parametrize(
    ("listen", "serves"),
    [("127.0.0.1:1", True), ("localhost:1", True), ("127.0.0.1:0", True), ("127.0.0.1:2", False), ("0.0.0.0:0", False)],
)
def test_a_proxy_knows_what_it_serves(listen: str, serves: bool) -> None:
    """Port 0 stands for any port; another host does not."""
    proxy = Proxy(name="db", listen="127.0.0.1:1", upstream="127.0.0.1:2", enabled=True)
    assert proxy.serves(listen, "127.0.0.1:2") is serves
    assert not proxy.serves(listen, "127.0.0.1:3")


@pytest.mark.parametrize("value", [None, {}, PROXY | {"enabled": "yes"}, PROXY | {"toxics": None}])
def test_a_malformed_proxy_is_refused(value: object) -> None:
    """JSON of another shape is an error, not an AttributeError later."""
    with pytest.raises(ToxiproxyError, match="the server sent this for a proxy"):
        proxy_of(value)


def test_a_malformed_toxic_is_refused() -> None:
    """The same for toxics."""
    with pytest.raises(ToxiproxyError, match="the server sent this for a toxic"):
        toxic_of({"name": "lag", "attributes": []})


@pytest.mark.parametrize("listen", ["0.0.0.0:1", ":1", "[::]:1"])
def test_all_addresses_have_several_names(listen: str) -> None:
    """The Go server says [::] when it was told 0.0.0.0."""
    assert Proxy(name="db", listen="[::]:1", upstream="127.0.0.1:2", enabled=True).serves(listen, "127.0.0.1:2")


def _toxic(toxicity: float = 1.0, stream: Literal["upstream", "downstream"] = "upstream", latency: int = 5) -> Toxic:
    return Toxic(
        name="lag", kind="latency", stream=stream, toxicity=toxicity, attributes={"latency": latency, "jitter": 0}
    )


def test_a_toxic_is_compared_with_what_was_wanted() -> None:
    """Toxicity loses digits on the wire; attributes that were not asked for do not matter."""
    wanted = Toxic(name="lag", kind="latency", stream="upstream", toxicity=0.3, attributes={"latency": 5})
    assert _toxic(0.30000001192).is_as(wanted)
    assert not _toxic(0.31).is_as(wanted)
    assert not _toxic(0.3, stream="downstream").is_as(wanted)
    assert not _toxic(0.3, latency=6).is_as(wanted)
