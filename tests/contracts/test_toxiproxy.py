"""The contract of a Toxiproxy server, held to by the embedded one and by the Go server.

Each test measures through the proxy what a client or an upstream feels. Where the two servers differ, the `Server`
says so, and the test asserts both sides of the difference. Bounds on time are one-sided: a busy machine makes
things later, never earlier.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import pytest
import requests

from harness.clients.toxiproxy import Toxiproxy
from harness.clients.toxiproxy_model import LinkBytes, Proxy, ToxiproxyError
from harness.clients.toxiproxy_server import ServerProcess, start_embedded, start_server
from tests.proxy.upstream import WAIT_S, Upstream, connect, exchange, quickest, rest, rest_or_reset

Stream = Literal["upstream", "downstream"]
STREAMS: tuple[Stream, ...] = ("upstream", "downstream")
NAME = "harness-contract"


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A running server and what it does otherwise than the other one."""

    client: Toxiproxy
    address: str
    resets_live_connections: bool  # Go: reset_peer on a connection that was there before ends it with FIN
    keeps_half_open: bool  # Go: the end of one direction closes both
    counts_live_bytes: bool  # Go: bytes are counted when the connection ends
    error_type: str  # Go: errors are JSON sent as text/plain


def _start(kind: str) -> tuple[ServerProcess, Server]:
    ours = kind == "embedded"
    process = start_embedded(seed=7) if ours else start_server()
    return process, Server(
        client=Toxiproxy(process.address),
        address=process.address,
        resets_live_connections=ours,
        keeps_half_open=ours,
        counts_live_bytes=ours,
        error_type="application/json" if ours else "text/plain; charset=utf-8",
    )


@pytest.fixture(
    scope="module",
    params=["embedded", pytest.param("server", marks=pytest.mark.needs("toxiproxy"))],
)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """One server process for all tests of the module."""
    process, running = _start(request.param)
    yield running
    process.stop()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """What stands behind the proxy."""
    with Upstream() as running:
        yield running


@pytest.fixture
def proxy(server: Server, upstream: Upstream) -> Iterator[Proxy]:
    """A proxy without a toxic."""
    yield server.client.create_proxy(NAME, "127.0.0.1:0", upstream.address)
    server.client.delete_proxy(NAME)


class Link:
    """A client's side of the proxy: put a toxic on, and get a connection that it acts on."""

    def __init__(self, server: Server, proxy: Proxy) -> None:
        self.client = server.client
        self.proxy = proxy
        self._open: list[socket.socket] = []

    def connect(self) -> socket.socket:
        """A connection that has carried data."""
        connection = connect(self.proxy.listen)
        self._open.append(connection)
        return connection

    def toxic(self, kind: str, stream: Stream, *, toxicity: float = 1.0, **attributes: int) -> str:
        """Put a toxic on the proxy; its name."""
        name = f"{kind}-{stream}"
        self.client.add_toxic(NAME, name, kind, stream=stream, toxicity=toxicity, attributes=attributes)
        return name

    def hit(self, age: str, kind: str, stream: Stream, **attributes: int) -> socket.socket:
        """A connection under a toxic: `held`, it was in use before the toxic came, or `new`."""
        if age == "held":
            connection = self.connect()
            exchange(connection)
            self.toxic(kind, stream, **attributes)
        else:
            self.toxic(kind, stream, **attributes)
            connection = self.connect()
        return connection

    def close(self) -> None:
        """Close all connections."""
        for each in self._open:
            each.close()


@pytest.fixture
def link(server: Server, proxy: Proxy) -> Iterator[Link]:
    """The client's side."""
    made = Link(server, proxy)
    yield made
    made.close()


both_streams = pytest.mark.parametrize("stream", STREAMS)
both_ages = pytest.mark.parametrize("age", ["new", "held"])


def is_silent(connection: socket.socket, seconds: float = 0.3) -> bool:
    """Whether nothing comes for a while, neither data nor an end."""
    connection.settimeout(seconds)
    try:
        connection.recv(1)
    except TimeoutError:
        return True
    finally:
        connection.settimeout(WAIT_S)
    return False


def poll(condition: Callable[[], bool]) -> bool:
    """Whether a condition comes true in time."""
    deadline = time.monotonic() + WAIT_S
    while not condition():
        if time.monotonic() > deadline:
            return False
    return True


# the way through


def test_a_proxy_without_toxics_passes_everything(link: Link, upstream: Upstream) -> None:
    """A megabyte goes there and comes back whole."""
    connection = link.connect()
    connection.setblocking(True)
    sent = bytes(range(256)) * 4096
    got = bytearray()
    connection.settimeout(WAIT_S)
    for start in range(0, len(sent), 65536):
        connection.sendall(sent[start : start + 65536])
        while len(got) < start + 65536:
            got += connection.recv(65536)
    assert bytes(got) == sent
    assert upstream.received == len(sent)


def test_an_upstream_that_refuses_ends_the_client(server: Server, link: Link) -> None:
    """With nobody behind the proxy, a client connects and is then closed, not left hanging."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    made = server.client.create_proxy(f"{NAME}-refused", "127.0.0.1:0", f"127.0.0.1:{port}")
    with connect(made.listen) as connection:
        assert rest_or_reset(connection) == b""
    server.client.delete_proxy(made.name)


def test_the_end_of_one_direction(server: Server, link: Link, upstream: Upstream) -> None:
    """After a client's half-close the answer still comes (embedded), or the connection ends (Go)."""
    connection = link.connect()
    exchange(connection)
    name = link.toxic("latency", "downstream", latency=300)
    connection.sendall(b"last words")
    upstream.wait_for(received=20)
    connection.shutdown(socket.SHUT_WR)
    upstream.wait_for(ends=1)
    if server.keeps_half_open:
        assert rest(connection) == b"last words"
    else:
        assert len(rest_or_reset(connection)) in {0, 10}
    link.client.remove_toxic(NAME, name)


def test_bytes_are_counted(server: Server, link: Link) -> None:
    """The metrics show what passed in each direction: at once (embedded), or when the connection ended (Go)."""
    connection = link.connect()
    exchange(connection, 1000)
    if not server.counts_live_bytes:
        connection.close()

    def counted() -> set[tuple[str, int, int]]:
        found: tuple[LinkBytes, ...] = server.client.metrics() or ()
        ours = [link for link in found if link.proxy == NAME]
        return {(each.stream, each.received_bytes, each.sent_bytes) for each in ours}

    before = {stream: counts for stream, *counts in counted()}
    assert poll(lambda: {stream for stream, *_ in counted()} == set(STREAMS)), before
    assert poll(lambda: all(received >= 1000 <= sent for _, received, sent in counted())), counted()


# the toxics


@both_ages
@both_streams
def test_latency_delays_each_exchange(link: Link, age: str, stream: Stream) -> None:
    """Every exchange takes the latency, on connections old and new."""
    connection = link.hit(age, "latency", stream, latency=100)
    assert all(exchange(connection) >= 0.095 for _ in range(3))


def test_latency_in_both_directions_adds_up(link: Link) -> None:
    """One toxic in each direction delays an exchange twice."""
    link.toxic("latency", "upstream", latency=80)
    assert exchange(link.hit("new", "latency", "downstream", latency=80)) >= 0.155


def test_jitter_spreads_the_delay(link: Link) -> None:
    """Delays vary by the jitter and never fall below latency minus jitter."""
    connection = link.hit("new", "latency", "downstream", latency=60, jitter=50)
    delays = [exchange(connection) for _ in range(15)]
    assert min(delays) >= 0.009
    assert max(delays) - min(delays) >= 0.02


def test_latency_keeps_the_order(link: Link) -> None:
    """Jitter never reorders a stream."""
    connection = link.hit("new", "latency", "downstream", latency=20, jitter=19)
    sent = b"".join(b"%05d" % number for number in range(200))
    for start in range(0, len(sent), 50):
        connection.sendall(sent[start : start + 50])
    got = bytearray()
    while len(got) < len(sent):
        got += connection.recv(65536)
    assert bytes(got) == sent


@both_ages
@both_streams
def test_bandwidth_limits_the_rate(link: Link, age: str, stream: Stream) -> None:
    """50 KB at 100 KB/s take half a second."""
    connection = link.hit(age, "bandwidth", stream, rate=100)
    assert exchange(connection, 50_000) >= 0.45


@both_streams
def test_bandwidth_zero_lets_nothing_pass(link: Link, stream: Stream) -> None:
    """A rate of 0 is a blackhole; what it held comes when it is removed."""
    connection = link.hit("new", "bandwidth", stream, rate=0)
    connection.sendall(b"held back")
    assert is_silent(connection)
    link.client.remove_toxic(NAME, f"bandwidth-{stream}")
    assert connection.recv(100) == b"held back"


@both_ages
def test_slow_close_delays_the_end_to_the_client(link: Link, age: str) -> None:
    """The upstream closes; the client hears of it later."""
    connection = link.hit(age, "slow_close", "downstream", delay=300)
    started = time.monotonic()
    connection.sendall(b"bye")
    assert rest(connection) == b"bye"
    assert time.monotonic() - started >= 0.28


@both_ages
def test_slow_close_delays_the_end_to_the_upstream(link: Link, upstream: Upstream, age: str) -> None:
    """The client closes; the upstream hears of it later."""
    connection = link.hit(age, "slow_close", "upstream", delay=300)
    exchange(connection)
    started = time.monotonic()
    connection.close()
    upstream.wait_for(ends=1)
    assert upstream.ended_at[0] - started >= 0.28


@both_ages
@both_streams
def test_timeout_drops_data_and_then_closes(link: Link, age: str, stream: Stream) -> None:
    """No byte comes through, and the connection ends after the timeout."""
    connection = link.hit(age, "timeout", stream, timeout=300)
    started = time.monotonic()
    connection.sendall(b"into the void")
    assert rest_or_reset(connection) == b""
    assert time.monotonic() - started >= 0.25


@both_ages
@both_streams
def test_timeout_zero_is_a_blackhole_until_removed(link: Link, age: str, stream: Stream) -> None:
    """Nothing comes and nothing ends; removal closes the connection, because data is missing from it."""
    connection = link.hit(age, "timeout", stream, timeout=0)
    connection.sendall(b"into the void")
    assert is_silent(connection)
    link.client.remove_toxic(NAME, f"timeout-{stream}")
    assert rest_or_reset(connection) == b""


@both_ages
@both_streams
def test_reset_peer_resets(server: Server, link: Link, age: str, stream: Stream) -> None:
    """The client gets RST; on a connection that was there before only from the embedded server (Go: FIN)."""
    connection = link.hit(age, "reset_peer", stream, timeout=0)
    connection.sendall(b"x")
    if age == "new" or server.resets_live_connections:
        with pytest.raises(ConnectionResetError):
            rest(connection)
    else:
        assert rest_or_reset(connection) == b""


def test_reset_peer_waits_for_its_timeout(link: Link) -> None:
    """The reset comes after the timeout, not at once."""
    connection = link.hit("new", "reset_peer", "downstream", timeout=200)
    started = time.monotonic()
    connection.sendall(b"x")
    with pytest.raises(ConnectionResetError):
        rest(connection)
    assert time.monotonic() - started >= 0.18


def test_reset_peer_resets_the_upstream(link: Link, upstream: Upstream) -> None:
    """The upstream gets RST as well."""
    link.hit("new", "reset_peer", "upstream", timeout=0).sendall(b"x")
    upstream.wait_for(ends=1)
    assert upstream.resets == 1


@both_ages
@both_streams
def test_slicer_cuts_and_spaces(link: Link, age: str, stream: Stream) -> None:
    """100 bytes in pieces of at most 10, 10 ms apart: at least ten pieces, so at least 90 ms."""
    connection = link.hit(age, "slicer", stream, average_size=10, delay=10_000)
    assert exchange(connection, 100) >= 0.085


@both_ages
def test_limit_data_ends_the_answer(link: Link, age: str) -> None:
    """The client gets so many bytes, counted from when the toxic came, and then the end."""
    connection = link.hit(age, "limit_data", "downstream", bytes=1000)
    connection.sendall(b"x" * 3000)
    assert len(rest_or_reset(connection)) == 1000


@both_ages
def test_limit_data_ends_the_request(link: Link, upstream: Upstream, age: str) -> None:
    """The upstream gets so many bytes, counted from when the toxic came, and then the end."""
    before = 10 if age == "held" else 0
    connection = link.hit(age, "limit_data", "upstream", bytes=1000)
    connection.sendall(b"x" * 3000)
    upstream.wait_for(ends=1)
    assert upstream.received - before == 1000


def test_toxics_on_one_link_all_act(link: Link) -> None:
    """Latency and bandwidth on one stream: the exchange takes what both take."""
    link.toxic("latency", "downstream", latency=100)
    connection = link.hit("new", "bandwidth", "downstream", rate=100)
    assert exchange(connection, 20_000) >= 0.19


# toxicity


def _cut_connections(link: Link, toxicity: float, count: int) -> int:
    """How many of `count` new connections the toxic hits: those end after one byte of five."""
    link.toxic("limit_data", "downstream", toxicity=toxicity, bytes=1)
    connections = [link.connect() for _ in range(count)]
    for connection in connections:
        connection.sendall(b"hello"[:2])
        connection.sendall(b"bye")
    return sum(len(rest_or_reset(connection)) == 1 for connection in connections)


@pytest.mark.parametrize(("toxicity", "least", "most"), [(0.0, 0, 0), (0.5, 20, 80), (1.0, 100, 100)])
def test_toxicity_is_the_share_of_connections(link: Link, toxicity: float, least: int, most: int) -> None:
    """None, about half or all of 100 connections are hit (a fair coin leaves 20..80 once in a billion times)."""
    assert least <= _cut_connections(link, toxicity, 100) <= most


# down, removal, reset


def test_down_drops_and_refuses(server: Server, link: Link) -> None:
    """A disabled proxy ends what is open and refuses what is new; enabled, it is back on the same port."""
    connection = link.connect()
    exchange(connection)
    server.client.set_enabled(NAME, False)
    assert rest_or_reset(connection) == b""
    with pytest.raises(ConnectionRefusedError):
        link.connect()
    server.client.set_enabled(NAME, True)
    assert exchange(link.connect()) > 0


GENTLE: dict[str, dict[str, int]] = {
    "latency": {"latency": 250},
    "bandwidth": {"rate": 1},
    "slow_close": {"delay": 250},
    "slicer": {"average_size": 1, "delay": 50_000},
}


@pytest.mark.parametrize("kind", GENTLE)
@both_streams
def test_removal_restores_a_held_connection(link: Link, kind: str, stream: Stream) -> None:
    """Toxics that lose nothing leave the connection as quick as it was."""
    connection = link.hit("held", kind, stream, **GENTLE[kind])
    link.client.remove_toxic(NAME, f"{kind}-{stream}")
    assert quickest(connection) < 0.2


HARSH: dict[str, dict[str, int]] = {
    "timeout": {"timeout": 0},
    "reset_peer": {"timeout": 0},
    "limit_data": {"bytes": 0},
}


@pytest.mark.parametrize("kind", [*GENTLE, *HARSH])
@both_streams
def test_removal_restores_new_connections(link: Link, kind: str, stream: Stream) -> None:
    """After any toxic, a new connection is as if there had been none."""
    name = link.toxic(kind, stream, **(GENTLE | HARSH)[kind])
    link.client.remove_toxic(NAME, name)
    assert quickest(link.connect()) < 0.2


def test_removing_latency_releases_what_it_held(link: Link) -> None:
    """What waits for a long delay comes at once when the toxic goes."""
    connection = link.hit("new", "latency", "downstream", latency=60_000)
    connection.sendall(b"held back")
    assert is_silent(connection)
    link.client.remove_toxic(NAME, "latency-downstream")
    assert connection.recv(100) == b"held back"


def test_reset_clears_everything(server: Server, link: Link) -> None:
    """A reset enables proxies and removes toxics."""
    link.toxic("latency", "downstream", latency=1000)
    server.client.set_enabled(NAME, False)
    server.client.reset()
    assert quickest(link.connect()) < 0.9


# the client against the API


def test_creating_a_proxy_twice_keeps_it(server: Server, proxy: Proxy) -> None:
    """The same proxy is kept, with its port, whichever free port was asked for."""
    assert server.client.create_proxy(NAME, "127.0.0.1:0", proxy.upstream) == proxy


def test_our_proxy_is_replaced_when_it_differs(server: Server, proxy: Proxy) -> None:
    """A proxy of ours that leads elsewhere gives way."""
    assert server.client.create_proxy(NAME, "127.0.0.1:0", "127.0.0.1:9").upstream == "127.0.0.1:9"


def test_a_foreign_proxy_is_refused(server: Server, proxy: Proxy) -> None:
    """A proxy of somebody else's is left alone, and the error says what to do."""
    server.client.create_proxy("theirs", "127.0.0.1:0", proxy.upstream)
    with pytest.raises(ToxiproxyError) as refusal:
        server.client.create_proxy("theirs", "127.0.0.1:0", "127.0.0.1:9")
    assert refusal.value.status == 409
    assert "another name" in refusal.value.hint
    assert server.client.proxies()["theirs"].upstream == proxy.upstream
    server.client.delete_proxy("theirs")


def test_a_taken_port_is_said(server: Server, proxy: Proxy, upstream: Upstream) -> None:
    """A proxy on a port that is in use is an error in the server's words."""
    with pytest.raises(ToxiproxyError, match="address already in use"):
        server.client.create_proxy(f"{NAME}-2", upstream.address, "127.0.0.1:9")


def test_errors_of_toxics(server: Server, proxy: Proxy) -> None:
    """A proxy that is not there is 404, a name twice 409, an unknown kind 400; removal of nothing is fine."""
    client = server.client
    with pytest.raises(ToxiproxyError) as missing:
        client.add_toxic("nowhere", "t", "latency", attributes={})
    client.add_toxic(NAME, "t", "latency", attributes={"latency": 1})
    with pytest.raises(ToxiproxyError) as twice:
        client.add_toxic(NAME, "t", "slicer", stream="upstream", attributes={})
    with pytest.raises(ToxiproxyError) as unknown:
        client.add_toxic(NAME, "u", "magic", attributes={})
    assert [each.value.status for each in (missing, twice, unknown)] == [404, 409, 400]
    client.remove_toxic(NAME, "t")
    client.remove_toxic(NAME, "t")
    client.remove_toxic("nowhere", "t")
    assert client.toxics(NAME) == ()


def test_an_attribute_that_the_server_does_not_know_is_seen(server: Server, proxy: Proxy) -> None:
    """Servers drop unknown attributes in silence; reading back finds out."""
    with pytest.raises(ToxiproxyError, match="reads back as"):
        server.client.add_toxic(NAME, "t", "latency", attributes={"latency": 1, "jiter": 5})


# the wire


def _call(server: Server, method: str, path: str, body: object = None) -> requests.Response:
    return requests.request(method, f"http://{server.address}{path}", json=body, timeout=WAIT_S)


WIRE_ERRORS = [
    ("GET", "/proxies/nowhere", None, 404, "proxy not found"),
    ("DELETE", f"/proxies/{NAME}/toxics/none", None, 404, "toxic not found"),
    ("POST", "/proxies", {"name": NAME, "upstream": "127.0.0.1:9"}, 409, "proxy already exists"),
    ("POST", "/proxies", {"name": "x"}, 400, "missing required field: upstream"),
    ("POST", "/proxies", {"upstream": "x"}, 400, "missing required field: name"),
    ("POST", "/populate", [{"name": "x"}], 400, "missing required field: upstream at proxy 1"),
    ("POST", f"/proxies/{NAME}/toxics", {"type": "magic"}, 400, "invalid toxic type"),
    (
        "POST",
        f"/proxies/{NAME}/toxics",
        {"type": "latency", "stream": "sideways"},
        400,
        "stream was invalid, can be either upstream or downstream",
    ),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "words"), WIRE_ERRORS)
def test_errors_on_the_wire(
    server: Server, proxy: Proxy, method: str, path: str, body: object, status: int, words: str
) -> None:
    """Status and body are those that Toxiproxy's clients know."""
    answer = _call(server, method, path, body)
    assert answer.status_code == status
    assert {key: value for key, value in answer.json().items() if key != "proxies"} == {
        "error": words,
        "status": status,
    }


@pytest.mark.parametrize("body", [{"type": 5}, {"type": "latency", "attributes": {"latency": "long"}}, []])
def test_a_malformed_toxic_is_a_bad_request(server: Server, proxy: Proxy, body: object) -> None:
    """Wrong JSON types are 400 with the reason, and leave no toxic behind."""
    answer = _call(server, "POST", f"/proxies/{NAME}/toxics", body)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("bad request body: ")
    assert answer.headers["Content-Type"] == server.error_type
    assert server.client.toxics(NAME) == ()


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nothing", 404), ("PUT", "/proxies", 405)])
def test_unknown_routes(server: Server, method: str, path: str, status: int) -> None:
    """Unknown paths and methods have their statuses."""
    assert _call(server, method, path).status_code == status


def test_a_browser_is_refused(server: Server) -> None:
    """A web page must not be able to break a network."""
    answer = requests.get(f"http://{server.address}/proxies", headers={"User-Agent": "Mozilla/5.0"}, timeout=WAIT_S)
    assert answer.status_code == 403


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_toxic_can_be_updated(server: Server, link: Link, method: str) -> None:
    """A changed latency is felt on a held connection, and what was not named stays."""
    connection = link.hit("held", "latency", "downstream", latency=1, jitter=0)
    answer = _call(server, method, f"/proxies/{NAME}/toxics/latency-downstream", {"attributes": {"latency": 150}})
    assert answer.json() == {
        "name": "latency-downstream",
        "type": "latency",
        "stream": "downstream",
        "toxicity": 1,
        "attributes": {"latency": 150, "jitter": 0},
    }
    assert exchange(connection) >= 0.145


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_proxy_can_be_moved(server: Server, link: Link, method: str) -> None:
    """A new upstream drops the old connections and serves the new ones, on the same port."""
    connection = link.connect()
    exchange(connection)
    with Upstream() as other:
        answer = _call(server, method, f"/proxies/{NAME}", {"upstream": other.address})
        assert answer.status_code == 200
        assert answer.json()["listen"] == link.proxy.listen
        assert rest_or_reset(connection) == b""
        exchange(link.connect())
        assert other.received == 10


def test_populate_adds_replaces_and_keeps(server: Server, proxy: Proxy) -> None:
    """The list comes back whole: a proxy that is the same is kept with its toxics, others are made."""
    server.client.add_toxic(NAME, "t", "latency", attributes={"latency": 1})
    wanted = [
        {"name": NAME, "listen": proxy.listen, "upstream": proxy.upstream},
        {"name": f"{NAME}-2", "listen": "127.0.0.1:0", "upstream": proxy.upstream, "enabled": False},
    ]
    answer = _call(server, "POST", "/populate", wanted)
    assert answer.status_code == 201
    first, second = answer.json()["proxies"]
    assert (first["name"], first["enabled"], len(first["toxics"])) == (NAME, True, 1)
    assert (second["name"], second["enabled"]) == (f"{NAME}-2", False)
    server.client.delete_proxy(f"{NAME}-2")


def test_defaults_of_a_toxic(server: Server, proxy: Proxy) -> None:
    """Only the type is needed: downstream, toxicity 1, named after both."""
    answer = _call(server, "POST", f"/proxies/{NAME}/toxics", {"type": "bandwidth"})
    assert answer.json() == {
        "name": "bandwidth_downstream",
        "type": "bandwidth",
        "stream": "downstream",
        "toxicity": 1,
        "attributes": {"rate": 0},
    }
