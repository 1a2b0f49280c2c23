"""Link faults on real servers in trouble: hung, dialling for ever, dead; and several toxics on one link.

The bounds on time are the driver's own and are far above what a busy machine adds.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import dataclass

import pytest

from harness.clients.poll import poll
from harness.clients.tcp import free_port
from harness.clients.toxiproxy import Toxiproxy
from harness.clients.toxiproxy_model import ToxiproxyError
from harness.clients.toxiproxy_server import ServerProcess, start_embedded, start_server
from harness.experiment import Fault, Scalar
from harness.faults import Before
from harness.faults.toxiproxy import ToxiproxyFaults, healer
from tests.proxy.upstream import Upstream, connect, exchange

HEAL_S = 12.0
IN_TIME_NS = 5_000_000_000
# A latency toxic holds 1,024 chunks of 32 KiB for each of 20 clients: some 640 MB until nothing more goes in.
FULL_NS = 30_000_000_000
LATENCY: Mapping[str, Scalar] = {"latency": 50, "jitter": 0, "stream": "both", "toxicity": 1.0}
BANDWIDTH: Mapping[str, Scalar] = {"rate": 1000, "stream": "both", "toxicity": 1.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A server and a driver of run r1 on its proxy `db`."""

    process: ServerProcess
    client: Toxiproxy
    driver: ToxiproxyFaults
    keeps_draws: bool  # Go: a toxicity is drawn again when a toxic beside it comes or goes


def place(kind: str, *, ours: bool = True) -> Place:
    """A server as the run that started it sees it, or as a run that was given its address."""
    process = start_embedded(seed=7) if kind == "embedded" else start_server()
    client = Toxiproxy(process.address, serving=process.serving if ours else None)
    return Place(
        process=process,
        client=client,
        driver=ToxiproxyFaults(client, run="r1", proxy_of=lambda name: name),
        keeps_draws=kind == "embedded",
    )


SERVERS = ["embedded", pytest.param("server", marks=pytest.mark.needs("toxiproxy"))]
both_servers = pytest.mark.parametrize("kind", SERVERS)


@pytest.fixture(params=SERVERS)
def at(request: pytest.FixtureRequest) -> Iterator[Place]:
    """A server of ours, ended after the test whatever became of it."""
    made = place(request.param)
    yield made
    end(made)


def end(made: Place) -> None:
    """End a server, hung or not."""
    made.process.serving.kill()
    made.process.stop()


def fault(name: str = "lag", kind: str = "latency", params: Mapping[str, Scalar] = LATENCY) -> Fault:
    """A fault on the link `db`."""
    return Fault(name=name, driver="toxiproxy", kind=kind, on="db", params=params, stage="s", after_ns=0, hold_ns=1)


def begin(at: Place, wanted: Fault) -> Before:
    """Put it in force."""
    before = at.driver.before(wanted)
    at.driver.inject(wanted, before)
    return before


def names(at: Place, stream: str) -> list[str]:
    """The toxics of one direction, in their order on the link."""
    return [toxic.name.removeprefix("harness-r1-") for toxic in at.client.toxics("db") if toxic.stream == stream]


# several on one link


def test_toxics_are_on_the_link_in_the_order_of_coming(at: Place) -> None:
    """In each direction by itself; healing one leaves the others, and their order."""
    with Upstream() as upstream:
        at.client.create_proxy("db", "127.0.0.1:0", upstream.address)
        first, second, third = fault("a"), fault("b", "bandwidth", BANDWIDTH), fault("c", "latency", LATENCY)
        up = fault("d", "slicer", {"average_size": 500, "size_variation": 0, "delay": 0, "stream": "upstream"})
        begin(at, first)
        before = begin(at, second)
        begin(at, up)
        begin(at, third)
        assert names(at, "upstream") == ["a-up", "b-up", "d", "c-up"]
        assert names(at, "downstream") == ["a-down", "b-down", "c-down"]
        at.driver.heal(second, before)
        assert names(at, "upstream") == ["a-up", "d", "c-up"]
        assert names(at, "downstream") == ["a-down", "c-down"]


def test_latencies_with_jitter_on_one_link_add_up(at: Place) -> None:
    """Two faults, each in both directions: an exchange takes at least four times latency minus jitter, then none."""
    params: Mapping[str, Scalar] = {"latency": 40, "jitter": 10, "stream": "both", "toxicity": 1.0}
    with Upstream() as upstream:
        proxy = at.client.create_proxy("db", "127.0.0.1:0", upstream.address)
        with connect(proxy.listen) as held:
            exchange(held)
            begun = [(one, begin(at, one)) for one in (fault("a", params=params), fault("b", params=params))]
            assert min(exchange(held) for _ in range(5)) >= 0.118
            for one, before in begun:
                at.driver.heal(one, before)
            assert min(exchange(held) for _ in range(5)) < 0.118


def hit(connections: list[socket.socket], within_s: float) -> frozenset[int]:
    """Which connections do not answer at once; returns when all have answered."""
    for one in connections:
        one.sendall(b"x")
    deadline = time.monotonic() + within_s
    waiting = set(connections)
    while waiting and (left := deadline - time.monotonic()) > 0:
        for one in select.select(list(waiting), [], [], left)[0]:
            one.recv(1)
            waiting.discard(one)
    slow = frozenset(number for number, one in enumerate(connections) if one in waiting)
    for one in waiting:
        assert one.recv(1)
    return slow


def test_a_neighbour_that_comes_draws_toxicity_again_on_the_go_server_only(at: Place) -> None:
    """Of 32 held connections half are hit. A toxic beside it: the same ones are (embedded), or others (Go)."""
    params: Mapping[str, Scalar] = {"latency": 1500, "jitter": 0, "stream": "downstream", "toxicity": 0.5}
    with Upstream() as upstream, ExitStack() as held:
        proxy = at.client.create_proxy("db", "127.0.0.1:0", upstream.address)
        connections = [held.enter_context(connect(proxy.listen)) for _ in range(32)]
        assert hit(connections, 5) == frozenset()
        begin(at, fault(params=params))
        first = hit(connections, 0.7)
        assert 2 <= len(first) <= 30
        begin(at, fault("wide", "bandwidth", {"rate": 100_000, "stream": "downstream", "toxicity": 1.0}))
        assert (hit(connections, 0.7) == first) is at.keeps_draws


# servers in trouble


@both_servers
def test_a_frozen_server_of_the_user_costs_no_more_than_the_limit(kind: str) -> None:
    """It takes connections and answers nothing: healing ends with what to type, and heals once it answers again."""
    at = place(kind, ours=False)
    try:
        at.client.create_proxy("db", f"127.0.0.1:{free_port()}", "127.0.0.1:9")
        before = begin(at, fault())
        os.kill(at.process.pid, signal.SIGSTOP)
        started = time.monotonic()
        with pytest.raises(ToxiproxyError, match=r"no answer within .* not ours to restart"):
            healer().heal(fault(), before)
        with pytest.raises(ToxiproxyError, match="no answer"):
            at.driver.felt(fault(), before)
        assert time.monotonic() - started < HEAL_S
        os.kill(at.process.pid, signal.SIGCONT)
        assert poll(lambda: _healed(fault(), before), IN_TIME_NS)
        proxy = at.client.proxy("db")
        assert proxy is not None
        assert (proxy.enabled, proxy.toxics) == (True, ())
    finally:
        os.kill(at.process.pid, signal.SIGCONT)
        end(at)


def _healed(wanted: Fault, before: Before) -> bool:
    """Whether healing works."""
    try:
        healer().heal(wanted, before)
    except ToxiproxyError:
        return False
    return True


def test_a_frozen_server_of_ours_is_ended(at: Place) -> None:
    """Within the limit; then nothing is left, and healing again needs nothing."""
    at.client.create_proxy("db", f"127.0.0.1:{free_port()}", "127.0.0.1:9")
    before = begin(at, fault())
    os.kill(at.process.pid, signal.SIGSTOP)
    started = time.monotonic()
    at.driver.heal(fault(), before)
    assert time.monotonic() - started < HEAL_S
    assert at.process.serving.gone()
    assert "was ended" in at.driver.notes()[-1]
    assert poll(lambda: not at.process.running(), IN_TIME_NS), "the links' own watch sees it too"
    at.driver.heal(fault(), before)
    assert at.driver.residue(((fault(), before),)) == ()


def test_a_server_that_has_died_needs_no_healing(at: Place) -> None:
    """Also in the eyes of another process, by pid and start time."""
    at.client.create_proxy("db", f"127.0.0.1:{free_port()}", "127.0.0.1:9")
    before = begin(at, fault())
    at.process.serving.kill()
    healer().heal(fault(), before)


@pytest.fixture
def blackhole() -> Iterator[str]:
    """An address that answers no handshake: its queue of waiting connections is full."""
    with socket.socket() as listener, ExitStack() as held:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = held.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("what", ["latency", "down"])
def test_an_upstream_that_swallows_connections_stops_no_healing(at: Place, blackhole: str, what: str) -> None:
    """The Go server dials it in its accept loop. Felt and heal keep their limits, and nothing is left."""
    proxy = at.client.create_proxy("db", f"127.0.0.1:{free_port()}", blackhole)
    wanted = fault(kind=what, params=LATENCY if what == "latency" else {})
    with ExitStack() as held:
        for _ in range(2):
            held.enter_context(connect(proxy.listen)).sendall(b"x")
        before = at.driver.before(wanted)
        started = time.monotonic()
        try:
            at.driver.inject(wanted, before)
            at.driver.felt(wanted, before)
        except ToxiproxyError as error:
            assert what == "down", error
        told = time.monotonic()
        at.driver.heal(wanted, before)
        assert told - started < 15
        assert time.monotonic() - told < HEAL_S
    if not at.process.serving.gone():
        now = at.client.proxy("db")
        assert now is not None
        assert (now.enabled, now.toxics) == (True, ())


class Flood:
    """An upstream that sends without end, so that clients who do not read fill every buffer on the way."""

    def __init__(self, held: ExitStack) -> None:
        self._held = held
        self._listener = held.enter_context(socket.create_server(("127.0.0.1", 0), backlog=64))
        self._sent = 0
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def is_stuck(self) -> bool:
        """Whether nothing has been sent for a while, since all is full."""
        sent = self._sent
        return not poll(lambda: self._sent != sent, 200_000_000) and sent > 0

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection = self._held.enter_context(self._listener.accept()[0])
                threading.Thread(target=self._pour, args=(connection,), daemon=True).start()

    def _pour(self, connection: socket.socket) -> None:
        with suppress(OSError):
            while True:
                self._sent += connection.send(b"x" * 65536)


@pytest.fixture
def flood() -> Iterator[Flood]:
    """Such an upstream."""
    with ExitStack() as held:
        yield Flood(held)


@both_servers
@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize("ours", [True, False])
def test_clients_that_do_not_read_stop_no_healing(kind: str, flood: Flood, early: bool, ours: bool) -> None:
    """Toxiproxy's issue 558 as it is: a toxic that comes (late) or goes (early) hangs the Go server for good.

    The proxy is itself again within the limit, and so is its server, also one of the user's; the embedded one never
    hangs.
    """
    at = place(kind, ours=ours)
    try:
        proxy = at.client.create_proxy("db", f"127.0.0.1:{free_port()}", flood.address)
        before = at.driver.before(fault())
        with ExitStack() as held:
            if early:
                at.driver.inject(fault(), before)
            for _ in range(20):
                held.enter_context(connect(proxy.listen))
            assert poll(flood.is_stuck, FULL_NS)
            if not early:
                with suppress(ToxiproxyError) if kind == "server" else nullcontext():
                    at.driver.inject(fault(), before)
            started = time.monotonic()
            healer().heal(fault(), before)
            assert time.monotonic() - started < HEAL_S
        assert at.client.proxy("db") == proxy
        assert not at.process.serving.gone()
    finally:
        end(at)
