"""The residue scan: Toxiproxy, Docker and the process table are asked; ledgers only tell whose a thing is."""

from __future__ import annotations

import subprocess
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from harness.clients.hogs import Helper
from harness.clients.tcp import free_port
from harness.clients.toxiproxy import Toxiproxy
from harness.clients.toxiproxy_model import Proxy, Toxic
from harness.clients.toxiproxy_server import start_server
from harness.errors import EnvironmentBroke
from harness.experiment import Fault
from harness.faults import Before
from harness.healing.residue import TOXIPROXY, Doors, Reaper, Residue, scan
from harness.journal import Json
from harness.ledger import Account, Intended, Ledger, Opened, Undo
from tests.clients.clock import JumpClock

DEAD, ALIVE, STRANGER = "2026-01-02T03-04-05Z-0001", "2026-01-02T03-04-05Z-0002", "2026-01-02T03-04-05Z-0003"
ALIVE_PID = 77


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder of the test's own."""
    monkeypatch.setenv("HARNESS_STATE", str(tmp_path))
    return tmp_path


def proxy(name: str, *toxics: str, listen: str = "127.0.0.1:1", enabled: bool = True) -> Proxy:
    """A proxy with toxics of these names."""
    made = tuple(Toxic(name=one, kind="latency", stream="downstream", toxicity=1, attributes={}) for one in toxics)
    return Proxy(name=name, listen=listen, upstream="127.0.0.1:2", enabled=enabled, toxics=made)


def helper(mark: str, parent: int) -> Helper:
    """A helper process."""
    return Helper(
        pid=5, started_at=1.0, mark=mark, parent=parent, age_ns=0, cpu_ns=0, waited_ns=0, rss_bytes=0, written_bytes=0
    )


def container(name: str, state: str = "running", **labels: str) -> Mapping[str, Any]:
    """An entry of the Engine's list."""
    return {"Id": name.ljust(64, "0"), "Names": [f"/{name}"], "State": state, "Labels": labels}


class Sweeper:
    """A fault driver that can look; what it says of marks, and of things that a ledger knows."""

    def __init__(self) -> None:
        self.marked: tuple[str, ...] = ()
        self.known: tuple[str, ...] = ()

    def residue(self, known: Sequence[tuple[Fault, Before]]) -> tuple[str, ...]:
        """As it was told."""
        return self.known if known else ()

    def marks(self) -> tuple[str, ...]:
        """As it was told."""
        return self.marked


@dataclass
class World:
    """What the scan meets."""

    servers: dict[str, tuple[Proxy, ...]] = field(default_factory=dict)
    listed: list[Mapping[str, Any]] = field(default_factory=list)
    helpers: list[Helper] = field(default_factory=list)
    reapers: list[Reaper] = field(default_factory=list)
    sweeper: object = field(default_factory=Sweeper)
    no_docker: str = ""
    asked: list[str] = field(default_factory=list)

    def proxies_at(self, address: str) -> Any:
        """A server, or a refusal."""
        self.asked.append(address)
        if address not in self.servers:
            raise EnvironmentBroke("no connection")

        class Server:
            """Its proxies."""

            def __init__(self, proxies: tuple[Proxy, ...]) -> None:
                self._proxies = proxies

            def proxies(self) -> Mapping[str, Proxy]:
                """By name."""
                return {one.name: one for one in self._proxies}

        return Server(self.servers[address])

    def containers(self, labels: Mapping[str, str]) -> Sequence[Mapping[str, Any]]:
        """All."""
        assert labels == {}
        if self.no_docker:
            raise EnvironmentBroke(self.no_docker)
        return self.listed

    def doors(self) -> Doors:
        """For the scan."""
        return Doors(
            toxiproxy=self.proxies_at,
            docker=lambda: self,
            helpers=lambda: self.helpers,
            reapers=lambda: tuple(self.reapers),
            sweeper=lambda _: self.sweeper,
            alive=_alive,
            clock=JumpClock(),
        )

    def lines(self) -> tuple[str, ...]:
        """The scan in words, without Toxiproxy's usual place where nobody is."""
        return tuple(line for line in scan(self.doors()).lines() if line != f"not asked: {NO_TOXIPROXY}")


NO_TOXIPROXY = f"Toxiproxy at {TOXIPROXY}: no connection"


def _alive(account: Account) -> bool:
    return account.opened is not None and account.opened.pid == ALIVE_PID


def ledger(run: str, pid: int, driver: str = "container", **before: Json) -> Ledger:
    """A run with one open record."""
    opened = Opened(
        schema=1, run=run, experiment="x", folder="", user="ann", wall="", pid=pid, pid_started=1.0, boot="",
        origin_ns=0,
    )  # fmt: skip
    made = Ledger.create(opened)
    undo = Undo(name="trouble", driver=driver, kind="pause", on="api", before=before, by_hand="undo it")
    made.append(Intended(undo=undo))
    return made


def test_a_clean_machine_has_nothing_and_parts_that_are_away_are_told() -> None:
    """Silence is not cleanliness."""
    world = World(no_docker="start Docker")
    found = scan(world.doors())
    assert found.seen == ()
    assert found.not_asked == (NO_TOXIPROXY, "Docker: start Docker")


def test_marked_toxics_and_proxies_are_told_with_their_run_and_the_command() -> None:
    """Of a dead run: heal; of an unknown one: curl; those of others are not touched on."""
    ledger(DEAD, 1)
    toxics = (f"harness-{DEAD}-lag", f"harness-{STRANGER}-lag", "somebodys")
    world = World(servers={TOXIPROXY: (proxy("db", *toxics), proxy("harness-x"))})
    assert world.lines() == (
        f"left: toxic harness-{DEAD}-lag on proxy db at {TOXIPROXY} (run {DEAD}, dead); "
        f"type: harness heal --run {DEAD}",
        f"left: toxic harness-{STRANGER}-lag on proxy db at {TOXIPROXY} "
        f"(run {STRANGER}, of which there is no ledger here); "
        f"type: curl -X DELETE http://{TOXIPROXY}/proxies/db/toxics/harness-{STRANGER}-lag",
        f"left: proxy harness-x at {TOXIPROXY}; type: curl -X DELETE http://{TOXIPROXY}/proxies/harness-x",
    )


def test_what_a_living_run_has_in_force_is_no_residue() -> None:
    """It is told all the same, with how to end it."""
    ledger(ALIVE, ALIVE_PID)
    world = World(servers={TOXIPROXY: (proxy("db", f"harness-{ALIVE}-lag"),)})
    found = scan(world.doors())
    assert not found.left
    assert [str(one) for one in found.seen] == [
        f"toxic harness-{ALIVE}-lag on proxy db at {TOXIPROXY} (run {ALIVE}, alive); type: harness halt"
    ]


def test_every_server_that_a_ledger_names_is_asked_unless_it_was_the_runs_own_and_is_gone() -> None:
    """A dead run's embedded server went with it, and its toxics too."""
    ledger(DEAD, 1, "toxiproxy", api="127.0.0.1:99", server={"pid": 2**22 + 1, "started": 1.0})
    ledger(STRANGER, 1, "toxiproxy", api="10.0.0.9:8474", server=None)
    world = World()
    scan(world.doors())
    assert world.asked == [TOXIPROXY, "10.0.0.9:8474"]


def test_a_disabled_proxy_is_ours_only_when_an_open_record_says_so() -> None:
    """Toxiproxy keeps no note of who disabled it."""
    ledger(DEAD, 1, "toxiproxy", api=TOXIPROXY, proxy="db", enabled=True)
    world = World(servers={TOXIPROXY: (proxy("db", enabled=False), proxy("web", enabled=False))})
    left, seen = world.lines()
    assert left.startswith(f"left: proxy db at {TOXIPROXY} is disabled (run {DEAD}, dead)")
    assert seen.startswith(f"seen: proxy web at {TOXIPROXY} is disabled (by whom is not known); type: curl -X POST")


def test_a_proxy_that_a_dead_run_made_on_the_users_server_is_told() -> None:
    """It has the user's name for it, and no mark."""
    ledger(DEAD, 1, "links", api=TOXIPROXY, proxies=[{"name": "db", "listen": "127.0.0.1:5"}])
    world = World(servers={TOXIPROXY: (proxy("db", listen="127.0.0.1:5"), proxy("web"))})
    assert world.lines() == (f"left: proxy db at {TOXIPROXY} (run {DEAD}, dead); type: harness heal --run {DEAD}",)


def test_a_paused_container_is_ours_when_a_ledger_has_it_open_else_a_note() -> None:
    """Docker does not say who paused it. That of a dead run is told once, by its driver."""
    ledger(DEAD, 1, victims=[{"id": "api".ljust(64, "0")}])
    ledger(ALIVE, ALIVE_PID, victims=[{"id": "web".ljust(64, "0")}])
    sweeper = Sweeper()
    sweeper.known = ("container api is paused since trouble",)
    world = World(listed=[container(name, "paused") for name in ("api", "db", "web")], sweeper=sweeper)
    assert world.lines() == (
        f"left: container api is paused since trouble (run {DEAD}, dead); type: harness heal --run {DEAD}",
        "seen: container db is paused by somebody: Docker does not tell by whom; type: docker unpause db",
        f"in force: container web is paused (run {ALIVE}, alive); type: harness halt",
    )


def test_a_compose_project_of_ours_is_left_when_its_run_is_not_alive() -> None:
    """Living, dead without ledger, and somebody else's."""
    ledger(ALIVE, ALIVE_PID)
    label = "com.docker.compose.project"
    world = World(
        listed=[
            container("a", **{label: f"harness-{ALIVE.lower()}"}),
            container("b", **{label: f"harness-{STRANGER.lower()}"}),
            container("c", **{label: f"harness-{STRANGER.lower()}"}),
            container("d", **{label: "shop"}),
        ]
    )
    left, force = world.lines()
    assert left.startswith(f"left: compose project harness-{STRANGER.lower()} (2 containers)")
    assert "docker rm -f -v $(docker ps -a -q --filter label=" in left
    assert force.startswith(f"in force: compose project harness-{ALIVE.lower()} (1 containers) (run {ALIVE}, alive)")


def test_drivers_are_asked_for_marks_and_for_what_dead_runs_left_open() -> None:
    """Chains, limits, networks, fill files: the driver knows where to look."""
    ledger(DEAD, 1)
    ledger(ALIVE, ALIVE_PID)
    sweeper = Sweeper()
    sweeper.marked, sweeper.known = ("chain harness-1 in db",), ("api has a CPU quota of 0.1",)
    assert World(sweeper=sweeper).lines() == (
        "left: chain harness-1 in db",
        f"left: api has a CPU quota of 0.1 (run {DEAD}, dead); type: harness heal --run {DEAD}",
    )


def test_marks_of_a_living_run_are_no_residue() -> None:
    """By the mark in its open record, or by the container that it is at work on."""
    ledger(ALIVE, ALIVE_PID, victims=[{"id": "1", "name": "db", "chain": "harness-aa"}])
    sweeper = Sweeper()
    sweeper.marked = ("container web: chain harness-aa", "container db: qdisc 4a:", "container x: chain harness-bb")
    left, *force = World(sweeper=sweeper).lines()
    assert left == "left: container x: chain harness-bb"
    assert [line.partition(" (run")[0] for line in force] == [f"in force: {line}" for line in sweeper.marked[:2]]


def test_a_driver_that_cannot_look_is_told() -> None:
    """A command of the user's own: nobody can ask its target."""
    ledger(DEAD, 1, "command")
    (line,) = World(sweeper=object()).lines()
    assert line == f"not asked: trouble (pause on api) of run {DEAD}: its driver command cannot look"


def test_helpers_are_told_with_their_run() -> None:
    """By the mark in an open record, else by the living run that started it, else nobody's."""
    ledger(DEAD, 1, mark="harness-container-aa")
    ledger(ALIVE, ALIVE_PID)
    world = World(
        helpers=[helper("harness-container-aa", 1), helper("harness-process-bb", ALIVE_PID), helper("harness-x", 1)]
    )
    dead, nobody, force = world.lines()
    assert dead.startswith("left: helper process 5 (harness-container-aa)")
    assert dead.endswith(f"harness heal --run {DEAD}")
    assert nobody.endswith("type: pkill -KILL -f -e 'hog[.]py --mark harness-x'")
    assert force.startswith("in force: helper process 5 (harness-process-bb)")


def test_reapers_without_a_living_run_are_told(tmp_path: Path) -> None:
    """One whose ledger has gone and which does not end; one that heals; not that of a living run."""
    dead, alive = ledger(DEAD, 1), ledger(ALIVE, ALIVE_PID)
    gone = tmp_path / f"{STRANGER}.jsonl"
    world = World(
        reapers=[Reaper(pid=1, ledger=dead.path), Reaper(pid=2, ledger=alive.path), Reaper(pid=3, ledger=gone)]
    )
    left, healing = world.lines()
    assert left == f"left: reaper (pid 3) (run {STRANGER}, closed); type: kill -KILL 3"
    assert "reaper (pid 1)" in healing
    assert "it is healing now" in healing


def test_a_part_that_hangs_keeps_no_other_from_being_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounded, and told."""
    hang = threading.Event()
    monkeypatch.setattr("harness.healing.residue.CALL_S", 0.05)
    world = World(helpers=[helper("harness-x", 1)])

    def hanging(address: str) -> Any:
        hang.wait(10)
        return world.proxies_at(address)

    doors = world.doors()
    found = scan(_with(doors, hanging))
    hang.set()
    assert any("no answer within" in line for line in found.not_asked)
    assert [one.what for one in found.left] == ["helper process 5 (harness-x)"]


def _with(doors: Doors, toxiproxy: Callable[[str], Any]) -> Doors:
    return replace(doors, toxiproxy=toxiproxy)


@pytest.mark.needs("docker")
def test_the_engine_tells_a_paused_container(image: str) -> None:
    """A container of our own, paused by hand: a note with the command, and gone from the scan after it."""
    name = f"harness-residue-{uuid.uuid4().hex[:8]}"
    subprocess.run(["docker", "run", "-d", "--name", name, image, "sleep", "120"], check=True, capture_output=True)
    try:
        assert name not in _seen()
        subprocess.run(["docker", "pause", name], check=True, capture_output=True)
        assert _seen()[name].command == f"docker unpause {name}"
        assert not _seen()[name].ours
        subprocess.run(_seen()[name].command.split(), check=True, capture_output=True)
        assert name not in _seen()
    finally:
        subprocess.run(["docker", "rm", "-f", name], check=False, capture_output=True)


def _seen() -> dict[str, Residue]:
    """What Docker shows, by container; nobody else is asked."""
    world = World()
    doors = Doors(
        toxiproxy=world.proxies_at, helpers=lambda: (), reapers=lambda: (), sweeper=lambda _: object(), alive=_alive
    )
    found = scan(doors)
    assert not [line for line in found.not_asked if line.startswith("Docker")]
    return {one.what.split()[1]: one for one in found.seen if "paused" in one.what}


@pytest.mark.needs("toxiproxy")
def test_a_real_server_tells_a_marked_toxic_and_the_command_takes_it_away() -> None:
    """On a free port, named by a ledger; the printed command is typed as it stands."""
    server = start_server("toxiproxy-server")
    try:
        client = Toxiproxy(server.address)
        client.create_proxy("db", f"127.0.0.1:{free_port()}", "127.0.0.1:9")
        client.add_toxic("db", f"harness-{STRANGER}-lag", "latency", attributes={"latency": 5, "jitter": 0})
        ledger(DEAD, 1, "toxiproxy", api=client.address, server=None)
        doors = World().doors()
        (left,) = scan(_with(doors, lambda address: Toxiproxy(address, timeout_s=2))).left
        assert f"harness-{STRANGER}-lag" in left.what
        subprocess.run(left.command, shell=True, check=True, capture_output=True, timeout=10)
        assert not scan(_with(doors, lambda address: Toxiproxy(address, timeout_s=2))).left
    finally:
        server.stop()
