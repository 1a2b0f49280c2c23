"""The contract of fault drivers: one suite, on every driver, on fakes and on the real thing."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import psutil
import pytest

from harness.clients.docker import Docker
from harness.clients.hogs import Hogs
from harness.clients.poll import poll
from harness.clients.tcp import free_port
from harness.clients.toxiproxy import Toxiproxy
from harness.clients.toxiproxy_server import start_embedded, start_server
from harness.errors import BadInput
from harness.experiment import Fault, ProcessStack, Ready, Scalar, Service
from harness.faults import FaultDriver, Feels, Felt, Tells
from harness.faults.command import CommandFaults
from harness.faults.container import ContainerFaults
from harness.faults.http import HttpFaults
from harness.faults.process import ProcessFaults
from harness.faults.toxiproxy import ToxiproxyFaults
from harness.journal import Json
from harness.ledger import Intended, Undo, decode, encode
from harness.stacks.process import ProcessDriver
from tests.contracts.containers import running
from tests.faults.engine import FakeDocker, document
from tests.faults.flags import Flags

IN_TIME_NS = 10_000_000_000

CONTAINER_FAULTS: Mapping[str, Mapping[str, Scalar]] = {
    "kill": {"signal": "KILL"},
    "stop": {},
    "restart": {},
    "pause": {},
    "disconnect": {"network": ""},
    "cpu": {"cpus": 0.05},
    "memory": {"limit": 64 << 20},
}
PROCESS_FAULTS: Mapping[str, Mapping[str, Scalar]] = {
    "kill": {"signal": "KILL"},
    "stop": {},
    "restart": {},
    "pause": {},
}
COMMANDS: Mapping[str, Mapping[str, Scalar]] = {
    "run": {"inject": "touch flag", "heal": "rm -f flag", "confirm": "test -e flag", "timeout": 5000},
}
CALLS: Mapping[str, Mapping[str, Scalar]] = {
    "call": {
        "inject": "POST http://{flags}/flags/x",
        "heal": "DELETE http://{flags}/flags/x",
        "confirm": "GET http://{flags}/flags/x",
        "expect": "200-299",
        "timeout": 5000,
    },
}
TOXICS: Mapping[str, Mapping[str, Scalar]] = {
    "latency": {"latency": 50, "jitter": 0, "stream": "both", "toxicity": 1.0},
    "bandwidth": {"rate": 10, "stream": "downstream", "toxicity": 1.0},
    "slow_close": {"delay": 100, "stream": "downstream", "toxicity": 1.0},
    "timeout": {"timeout": 0, "stream": "upstream", "toxicity": 0.5},
    "reset_peer": {"timeout": 0, "stream": "downstream", "toxicity": 1.0},
    "slicer": {"average_size": 64, "size_variation": 8, "delay": 10, "stream": "downstream", "toxicity": 1.0},
    "limit_data": {"bytes": 100, "stream": "downstream", "toxicity": 1.0},
    "down": {},
}


def fault(kind: str, params: Mapping[str, Scalar] | None = None, *, driver: str = "any", on: str = "api") -> Fault:
    """A fault called `f`."""
    return Fault(
        name="f", driver=driver, kind=kind, on=on, params=params or {}, stage="s", after_ns=0, hold_ns=1_000_000_000
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Arena:
    """A driver with a target of its own. `state` is all that must be as before; `use` is a client at work."""

    driver: FaultDriver
    state: Callable[[], Any]
    identity: Callable[[], Any]
    use: Callable[[], object] = lambda: None


@contextmanager
def fake_containers(tmp_path: Path, image: str) -> Iterator[Arena]:
    """A container in memory."""
    engine = FakeDocker(document())

    def state() -> Any:
        seen = engine.inspect("api")
        host = {
            key: 0 if value <= 0 or value >= 1 << 60 else value
            for key, value in seen["HostConfig"].items()
            if isinstance(value, int)
        }
        return {key: seen["State"][key] for key in ("Running", "Paused")}, host, seen["NetworkSettings"]

    yield Arena(
        driver=ContainerFaults(lambda name: name, docker=cast(Docker, engine)),
        state=state,
        identity=lambda: engine.inspect("api")["State"]["StartedAt"],
    )


@contextmanager
def real_containers(tmp_path: Path, image: str) -> Iterator[Arena]:
    """A container of our own."""
    with running(image) as container:
        yield Arena(
            driver=ContainerFaults(lambda _: container.name),
            state=container.state,
            identity=lambda: container.inspect()["State"]["StartedAt"],
        )


@contextmanager
def real_processes(tmp_path: Path, image: str) -> Iterator[Arena]:
    """A web server on a free port."""
    command = "{python} -m http.server --bind 127.0.0.1 {port}"
    ready = Ready(how="tcp", within_ns=IN_TIME_NS)
    spec = ProcessStack(services=(Service(name="api", command=command, ready=ready),))
    stack = ProcessDriver(spec, links={}, base_dir=tmp_path, log_dir=tmp_path, run="r")
    stack.up(lambda _: None)

    def state() -> Any:
        process = psutil.Process(cast(int, stack.handle("api")))
        helpers = Hogs().find("harness-process-")
        ours = [helper for helper in helpers if helper.parent == os.getpid()]
        limits = process.rlimit(psutil.RLIMIT_NOFILE)
        path, stopped = process.environ().get("PATH"), process.status() == psutil.STATUS_STOPPED
        return process.cmdline()[-5:], path, stopped, limits, ours

    try:
        yield Arena(driver=ProcessFaults(stack), state=state, identity=lambda: stack.handle("api"))
    finally:
        stack.down()


@contextmanager
def embedded_toxiproxy(tmp_path: Path, image: str) -> Iterator[Arena]:
    """A link on our own server."""
    server = start_embedded()
    try:
        with link(Toxiproxy(server.address)) as arena:
            yield arena
    finally:
        server.stop()


@contextmanager
def go_toxiproxy(tmp_path: Path, image: str) -> Iterator[Arena]:
    """A link on the real server."""
    server = start_server()
    try:
        with link(Toxiproxy(server.address)) as arena:
            yield arena
    finally:
        server.stop()


@contextmanager
def link(client: Toxiproxy) -> Iterator[Arena]:
    """A proxy in front of a listener that answers nothing; `use` connects through it and stays connected."""
    with socket.create_server(("127.0.0.1", 0)) as upstream, ExitStack() as held:
        proxy = client.create_proxy("api", f"127.0.0.1:{free_port()}", f"127.0.0.1:{upstream.getsockname()[1]}")
        host, _, port = proxy.listen.rpartition(":")

        def use() -> None:
            one = held.enter_context(socket.create_connection((host, int(port)), timeout=2))
            one.sendall(b"hello")

        yield Arena(
            driver=ToxiproxyFaults(client, run="r1", proxy_of=lambda name: name),
            state=lambda: client.proxies()["api"],
            identity=lambda: None,
            use=use,
        )


@contextmanager
def flag_file(tmp_path: Path, image: str) -> Iterator[Arena]:
    """A file that is there when the flag is set."""
    driver = CommandFaults(run="r1", cwd=str(tmp_path), log_dir=tmp_path)
    yield Arena(driver=driver, state=(tmp_path / "flag").exists, identity=lambda: None)


@contextmanager
def flag_server(tmp_path: Path, image: str) -> Iterator[Arena]:
    """A server of flags."""
    flags = Flags()
    try:
        driver = HttpFaults(log_dir=tmp_path, fill=lambda text: text.replace("{flags}", flags.address))
        yield Arena(driver=driver, state=lambda: set(flags.on), identity=lambda: None)
    finally:
        flags.close()


ARENAS: Mapping[str, tuple[Any, Mapping[str, Mapping[str, Scalar]], tuple[str, ...]]] = {
    "fake-container": (fake_containers, CONTAINER_FAULTS, ()),
    "container": (real_containers, CONTAINER_FAULTS, ("docker",)),
    "process": (real_processes, PROCESS_FAULTS, ()),
    "embedded-toxiproxy": (embedded_toxiproxy, TOXICS, ()),
    "command": (flag_file, COMMANDS, ()),
    "http": (flag_server, CALLS, ()),
    "toxiproxy": (go_toxiproxy, TOXICS, ("toxiproxy",)),
}


@pytest.fixture(scope="module")
def arenas(tmp_path_factory: pytest.TempPathFactory, image: str) -> Iterator[Callable[[str], Arena]]:
    """One arena of each name for all tests here: each test must leave it as found, and the next one checks that."""
    with ExitStack() as open_ones:
        made: dict[str, Arena] = {}

        def arena(name: str) -> Arena:
            if name not in made:
                made[name] = open_ones.enter_context(ARENAS[name][0](tmp_path_factory.mktemp("arena"), image))
            return made[name]

        yield arena


def cases() -> list[Any]:
    """(arena, kind) for every kind of every driver."""
    return [
        pytest.param(name, kind, id=f"{name}-{kind}", marks=[pytest.mark.needs(part) for part in parts])
        for name, (_, kinds, parts) in ARENAS.items()
        for kind in kinds
    ]


@pytest.fixture
def arena_of(arenas: Callable[[str], Arena]) -> Callable[[str], Arena]:
    """The arena by name."""
    return arenas


def feel(arena: Arena, wanted: Fault, before: Mapping[str, Json]) -> Felt:
    """What the driver says of the fault, asked until it is felt: throttling takes a period or two to show."""
    driver = arena.driver
    assert isinstance(driver, Feels)
    poll(lambda: driver.felt(wanted, before).felt, IN_TIME_NS)
    return driver.felt(wanted, before)


@pytest.mark.parametrize(("name", "kind"), cases())
class TestFaultDriver:
    """What every fault driver does for every kind of fault."""

    def test_is_felt_while_in_force_and_leaves_everything_as_it_was(
        self, arena_of: Callable[[str], Arena], name: str, kind: str
    ) -> None:
        """Inject, feel, heal: the proof says yes in between, and the state after equals the state before."""
        arena, wanted = arena_of(name), fault(kind, ARENAS[name][1][kind])
        found = arena.state()
        arena.driver.check(wanted)
        before = arena.driver.before(wanted)
        arena.driver.inject(wanted, before)
        try:
            if kind != "down":
                arena.use()
            felt = feel(arena, wanted, before)
        finally:
            arena.driver.heal(wanted, before)
        assert felt.felt, felt.proof
        assert arena.state() == found

    def test_heals_twice(self, arena_of: Callable[[str], Arena], name: str, kind: str) -> None:
        """A second heal changes nothing, not even the identity of what runs."""
        arena, wanted = arena_of(name), fault(kind, ARENAS[name][1][kind])
        found = arena.state()
        before = arena.driver.before(wanted)
        arena.driver.inject(wanted, before)
        arena.driver.heal(wanted, before)
        identity = arena.identity()
        arena.driver.heal(wanted, before)
        assert (arena.state(), arena.identity()) == (found, identity)

    def test_heals_by_its_undo_record(self, arena_of: Callable[[str], Arena], name: str, kind: str) -> None:
        """Written as the ledger writes it and read back: what the record does not hold, healing does not need."""
        arena, wanted = arena_of(name), fault(kind, ARENAS[name][1][kind])
        found, driver = arena.state(), arena.driver
        before = driver.before(wanted)
        undo = Undo(
            name=wanted.name,
            driver=wanted.driver,
            kind=kind,
            on=wanted.on,
            params=dict(wanted.params),
            before=before,
            by_hand=driver.by_hand(wanted, before) if isinstance(driver, Tells) else "",
        )
        line = encode(Intended(undo=undo))
        driver.inject(wanted, before)
        read = decode(line)
        assert isinstance(read, Intended)
        driver.heal(read.undo.fault, read.undo.before)
        assert arena.state() == found

    def test_heals_what_was_never_injected(self, arena_of: Callable[[str], Arena], name: str, kind: str) -> None:
        """Healing right after `before` touches nothing: the journal says intended, and the harness died there."""
        arena, wanted = arena_of(name), fault(kind, ARENAS[name][1][kind])
        found, identity = arena.state(), arena.identity()
        arena.driver.heal(wanted, arena.driver.before(wanted))
        assert (arena.state(), arena.identity()) == (found, identity)

    def test_is_not_felt_without_injection(self, arena_of: Callable[[str], Arena], name: str, kind: str) -> None:
        """The proof looks at the target, so it says no when nothing was done."""
        arena, wanted = arena_of(name), fault(kind, ARENAS[name][1][kind])
        driver = arena.driver
        assert isinstance(driver, Feels)
        assert not driver.felt(wanted, driver.before(wanted)).felt

    def test_refuses_what_is_not_there(self, arena_of: Callable[[str], Arena], name: str, kind: str) -> None:
        """A kind that the driver does not know is bad input, said before anything is touched."""
        with pytest.raises(BadInput):
            arena_of(name).driver.check(fault("no-such-kind" if name != "toxiproxy" else kind, on="nobody"))
