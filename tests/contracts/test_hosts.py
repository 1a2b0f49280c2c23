"""Workers of other hosts, each a real `harness worker` process: who may join, what they count, how they are missed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.clients.poll import poll
from harness.clock import Inbox, SystemClock
from harness.errors import EnvironmentBroke, ExitCode
from harness.experiment import TrafficSpec, WorkersSpec
from harness.journal import Event, Generator, Traffic, TrafficEnded, Trouble, WorkerJoined, WorkerLost
from harness.traffic import Load
from harness.traffic.hosts.gate import Gate
from harness.traffic.hosts.handshake import About, HarnessSide, WorkerSide
from harness.traffic.hosts.link import Link, read_line, send_line
from harness.traffic.hosts.remote import Host
from harness.traffic.hosts.shipment import pack
from harness.traffic.hosts.token import about_this
from harness.traffic.locust import LocustTraffic
from harness.traffic.settings import ChildSettings
from tests.contracts.test_traffic import SCENARIOS, collect
from tests.traffic.target import Target

S = 1_000_000_000
TOKEN = "a-token-of-the-tests-0123456789"
NOTICED_S = 5.0


class Worker:
    """`harness worker` as a process of its own, and what it said."""

    def __init__(self, where: str, *words: str, token: str = TOKEN) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "harness", "worker", "--master", where, *words],
            env={**os.environ, "HARNESS_TOKEN": token, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(line.rstrip() for line in self.process.stdout)

    def children(self) -> list[int]:
        """The pids of what it has started."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text().split()]

    def end(self, within_s: float = 10) -> tuple[int, str]:
        """Its exit code and all that it said."""
        code = self.process.wait(within_s)
        self._reader.join(5)
        return code, "\n".join(self.lines)

    def close(self) -> None:
        """Take it away, whatever it does."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait(5)


class Site:
    """A gate on a free port of loopback, a driver behind it, workers that join."""

    def __init__(self, logs: Path, expect: int, within_ns: int, scenario: str) -> None:
        self.said: list[str] = []
        self.clock = SystemClock()
        self.inbox: Inbox[Event] = Inbox()
        self.events: list[Event] = []
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.where = f"127.0.0.1:{free.getsockname()[1]}"
        spec = WorkersSpec(expect=expect, bind=self.where, join_within_ns=within_ns)
        self.gate = Gate(spec, TOKEN.encode(), about_this(), self.said.append)
        self.driver = LocustTraffic(
            TrafficSpec(scenario=scenario, target="t", timeout_ns=S, workers=spec),
            origin_ns=self.clock.origin_ns,
            seed=7,
            base_dir=SCENARIOS,
            log_dir=logs,
            gate=self.gate,
        )
        self.workers: list[Worker] = []

    def worker(self, *words: str, token: str = TOKEN) -> Worker:
        """One more worker process, looking for this gate."""
        self.workers.append(Worker(self.where, *words, token=token))
        return self.workers[-1]

    def load(self, users: int, ramp_ns: int = 0) -> int:
        """Set the load; returns when, on the run clock."""
        at_ns = self.clock.now()
        self.driver.set_load(Load(at_ns=at_ns, level_from=0, level_to=users, ramp_ns=ramp_ns))
        return at_ns

    def take(self, span_s: float) -> None:
        """Take what comes for so long."""
        collect(self.clock, self.inbox, self.events, self.clock.now() + int(span_s * S))

    def of(self, kind: type[Event]) -> list[Event]:
        """The events of one kind so far."""
        return [event for event in self.events if isinstance(event, kind)]

    def wait_for(self, kind: type[Event], within_s: float) -> float:
        """How many seconds it took until one came."""
        began = time.monotonic()
        while not self.of(kind) and time.monotonic() - began < within_s:
            self.take(0.05)
        assert self.of(kind), f"no {kind.__name__} within {within_s} s"
        return time.monotonic() - began


@contextmanager
def site(logs: Path, expect: int = 1, within_s: float = 20, scenario: str = "paced.py") -> Iterator[Site]:
    """A site; whatever happens, its workers are gone afterwards."""
    made = Site(logs, expect, int(within_s * S), scenario)
    with ExitStack() as cleanup:
        cleanup.callback(lambda: [worker.close() for worker in made.workers])
        cleanup.callback(made.driver.stop, 0)
        yield made


def test_two_joined_workers_count_what_the_target_counts(tmp_path: Path) -> None:
    """One line of ramp over both, counts equal to the target's own, logs back, clocks known, both wait for the next."""
    with Target() as target, site(tmp_path, expect=2, scenario="features.py") as here:
        workers = [here.worker("--name", name) for name in ("left", "right")]
        here.driver.start(here.inbox, target.address)
        began_ns = here.load(20, ramp_ns=S)
        here.take(3.5)
        here.driver.stop(2 * S)
        here.take(0)
        seen = target.seen.copy()
        joined = here.of(WorkerJoined)
        assert {event.name for event in joined} == {"left", "right"}  # type: ignore[attr-defined]
        assert all(abs(event.offset_ns) < 5_000_000 for event in joined)  # type: ignore[attr-defined] # one clock
        rows = [event for event in here.events if isinstance(event, Traffic)]
        for name in ("POST /login", "GET /first", "GET /judged", "GET /logout"):
            assert sum(row.started for row in rows if row.endpoint == name) == seen[name] > 0
        assert {row.worker for row in rows} == {0, 1}
        held = (began_ns + 5 * S // 2) // S
        users = {row.worker: row.users for row in here.of(Generator) if row.second == held}  # type: ignore[attr-defined]
        assert users == {0: 10, 1: 10}
        assert here.of(WorkerLost) == []
        assert isinstance(here.events[-1], TrafficEnded)
        for number in (0, 1):
            assert "TEST_STOP" in (tmp_path / f"traffic-worker-{number}.log").read_text()
        assert any("has joined, 2 of 2 workers" in line for line in here.said)
        assert not any(TOKEN in line for line in here.said)
        for worker in workers:
            assert within(5, lambda worker=worker: sum("waiting for a harness" in line for line in worker.lines) == 2)
            assert worker.process.poll() is None
            assert worker.children() == []


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    """Whether a condition comes true in time."""
    return poll(condition, int(seconds * S))


def handmade(where: str, about: About, token: bytes = TOKEN.encode()) -> dict[str, object]:
    """What the gate answers to a worker of our own making, that says this of itself."""
    host, port = where.split(":")
    with socket.create_connection((host, int(port)), timeout=5) as sock:
        side = WorkerSide(token, b"n" * 32)
        send_line(sock, side.prove(read_line(sock, time.monotonic() + 5)))
        keys = side.check(read_line(sock, time.monotonic() + 5))
        link = Link(sock, out=keys.to_harness, back=keys.to_worker)
        link.tell(about.to_json())
        return link.record()


def test_who_may_not_join_is_told_why_and_disturbs_nobody(tmp_path: Path) -> None:
    """A wrong token, another version, garbage and silence at the gate; then the real worker joins and the load runs."""
    with Target() as target, site(tmp_path) as here:
        starting = threading.Thread(target=here.driver.start, args=(here.inbox, target.address))
        starting.start()
        assert within(10, lambda: bool(here.said))
        host, port = here.where.split(":")
        with ExitStack() as strangers:
            for said in (b"GET / HTTP/1.1\r\n\r\n", b"\0" * 5000, b'{"nonce": 1}\n', b"[]\n", b""):
                sock = strangers.enter_context(socket.create_connection((host, int(port)), timeout=5))
                sock.sendall(said)
            wrong = here.worker("--once", token="another-token-0123456789")
            code, said_there = wrong.end()
            assert code == ExitCode.BAD_INPUT
            assert "error: the harness at" in said_there
            assert "the token is not the same on both sides" in said_there
            old = replace(about_this("oldie"), harness="0.0.1")
            refused = handmade(here.where, old)
            assert refused["refused"] == (
                f"versions differ: harness is {about_this().harness} at the harness, 0.0.1 at oldie"
            )
            assert "install the harness" in str(refused["hint"])
            here.worker("--once", "--name", "real")
            starting.join(20)
            assert not starting.is_alive()
            here.load(4)
            here.wait_for(Traffic, 10)
        told = " ".join(here.said)
        assert "was refused: the token is not the same on both sides" in told
        assert "was refused: versions differ" in told
        (trouble,) = [event.message for event in here.of(Trouble)]  # type: ignore[attr-defined]
        assert "the token is not the same" in trouble
        assert "no worker of ours" in trouble
        assert here.of(WorkerLost) == []


def test_a_worker_refuses_another_version_and_a_harness_that_does_not_know_the_token() -> None:
    """Both directions: the worker ends with exit code 3 and one line that names both."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ExitStack() as cleanup:
        where = f"127.0.0.1:{listener.getsockname()[1]}"
        listener.settimeout(10)
        for known in (TOKEN.encode(), b"some other token of 32 bytes ..."):
            worker = Worker(where, "--once")
            cleanup.callback(worker.close)
            sock, _ = listener.accept()
            with sock:
                side = HarnessSide(known, b"h" * 32)
                send_line(sock, side.hello())
                if known == TOKEN.encode():
                    proof, keys = side.prove(read_line(sock, time.monotonic() + 5))
                    send_line(sock, proof)
                    link = Link(sock, out=keys.to_worker, back=keys.to_harness)
                    link.record()
                    link.tell({"refused": "versions differ: locust is 2 at the harness, 3 at x", "hint": "install 2"})
                    expected = "versions differ: locust is 2 at the harness, 3 at x"
                else:
                    read_line(sock, time.monotonic() + 5)
                    send_line(sock, {"proof": "00" * 32})
                    expected = "what listens there is not our harness"
                code, said = worker.end()
            assert code == ExitCode.BAD_INPUT
            assert expected in said
            assert "Traceback" not in said


def test_the_run_clock_s_zero_is_told_in_the_worker_s_own_clock(tmp_path: Path) -> None:
    """A worker whose clock is five seconds ahead: the offset is found, and the child there is given its own origin."""
    ahead_ns = 5 * S
    ours, theirs = _tcp_pair()
    link = Link(theirs, out=b"w" * 32, back=b"h" * 32)
    host = Host(Link(ours, out=b"h" * 32, back=b"w" * 32), about_this(), "10.0.0.9", far=True)
    started: list[dict[str, Any]] = []

    def work() -> None:
        while not started:
            record = link.record()
            if "ping" in record:
                now_ns = time.monotonic_ns() + ahead_ns
                link.tell({"pong": record["ping"], "there": [now_ns, now_ns]})
            elif "start" in record:
                started.append(record["start"])

    working = threading.Thread(target=work, daemon=True)
    working.start()
    host.open()
    assert host.measured.wait(5)
    assert host.offset is not None
    assert abs(host.offset.offset_ns - ahead_ns) <= host.offset.uncertainty_ns
    shipment = pack(SCENARIOS / "paced.py", SCENARIOS)
    child = host.begin(ChildSettings(role="worker", scenario="x", origin_ns=1000), shipment, tmp_path / "log")
    working.join(5)
    config = started[0]["settings"]["config"]
    assert config["origin_ns"] == 1000 + host.offset.offset_ns
    assert config["scenario"] == "paced.py"
    child.send_signal(signal.SIGKILL)
    assert child.exited(time.monotonic() + 1)
    link.close()


def _tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
        return ours, theirs


def test_too_few_workers_end_the_start_with_one_line(tmp_path: Path) -> None:
    """One of two joins: the start fails in time, says so, and the one that came waits again."""
    with Target() as target, site(tmp_path, expect=2, within_s=2.5) as here:
        worker = here.worker("--name", "lonely")
        with pytest.raises(EnvironmentBroke, match=r"1 of 2 workers joined \(lonely\) within 2.5s"):
            here.driver.start(here.inbox, target.address)
        assert within(5, lambda: any("not needed" in line for line in worker.lines))
        assert worker.process.poll() is None
        assert target.seen.total() == 0


def test_stop_ends_the_waiting(tmp_path: Path) -> None:
    """A run that is stopped while it waits for workers does not wait on."""
    with Target() as target, site(tmp_path, within_s=60) as here:
        raised: list[BaseException] = []

        def start() -> None:
            try:
                here.driver.start(here.inbox, target.address)
            except EnvironmentBroke as error:
                raised.append(error)

        starting = threading.Thread(target=start)
        starting.start()
        assert within(10, lambda: bool(here.said))
        here.driver.stop(0)
        starting.join(3)
        assert [str(error) for error in raised] == ["stopped while waiting for workers"]


@pytest.mark.parametrize("how", ["killed", "stopped", "its child killed"])
def test_a_lost_worker_is_noticed_within_five_seconds(tmp_path: Path, how: str) -> None:
    """Killed, stopped or robbed of its process: WorkerLost in time, the other goes on with its own share, no more."""
    with Target() as target, site(tmp_path, expect=2) as here:
        victim = here.worker("--name", "victim")
        here.worker("--name", "other")
        here.driver.start(here.inbox, target.address)
        here.load(10)
        here.wait_for(Generator, 10)
        children = victim.children()
        if how == "killed":
            victim.process.kill()
        elif how == "stopped":
            victim.process.send_signal(signal.SIGSTOP)
        else:
            os.kill(children[0], signal.SIGKILL)
        noticed_s = here.wait_for(WorkerLost, 8)
        print(f"{how}: noticed after {noticed_s:.2f} s")
        assert noticed_s < NOTICED_S
        assert within(NOTICED_S, lambda: not any(alive(pid) for pid in children))
        here.take(2.2)
        (lost,) = here.of(WorkerLost)
        number = lost.worker  # type: ignore[attr-defined]
        names = {event.worker: event.name for event in here.of(WorkerJoined)}  # type: ignore[attr-defined]
        assert names[number] == "victim"
        last = max(event.second for event in here.of(Generator))  # type: ignore[attr-defined]
        held = {event.worker: event.users for event in here.of(Generator) if event.second == last}  # type: ignore[attr-defined]
        assert held == {1 - number: 5}


def alive(pid: int) -> bool:
    """Whether a process is there and not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


PARENT = """
import sys, time
from pathlib import Path
from harness.clients.poll import poll
from harness.clock import Inbox, SystemClock
from harness.experiment import TrafficSpec, WorkersSpec
from harness.traffic import Load
from harness.traffic.hosts.gate import Gate
from harness.traffic.hosts.token import about_this
from harness.traffic.locust import LocustTraffic

where, scenarios, logs, address, token = sys.argv[1:]
clock = SystemClock()
workers = WorkersSpec(expect=1, bind=where, join_within_ns=20 * 10**9)
spec = TrafficSpec(scenario="paced.py", target="t", timeout_ns=10**9, workers=workers)
driver = LocustTraffic(spec, origin_ns=clock.origin_ns, seed=1, base_dir=Path(scenarios), log_dir=Path(logs),
                       gate=Gate(workers, token.encode(), about_this(), print))
driver.start(Inbox(), address)
driver.set_load(Load(at_ns=clock.now(), level_from=0, level_to=20, ramp_ns=0))
print("loaded", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("once", [True, False])
def test_a_killed_harness_leaves_no_load_behind(tmp_path: Path, once: bool) -> None:
    """After kill -9 of the harness the worker's process ends at once; the worker waits again, or ends with --once."""
    with Target() as target, socket.create_server(("127.0.0.1", 0)) as free, ExitStack() as cleanup:
        where = f"127.0.0.1:{free.getsockname()[1]}"
        free.close()
        words = [sys.executable, "-c", PARENT, where, str(SCENARIOS), str(tmp_path), target.address, TOKEN]
        parent = cleanup.enter_context(subprocess.Popen(words, stdout=subprocess.PIPE, text=True))
        cleanup.callback(parent.kill)
        worker = Worker(where, *(["--once"] if once else []))
        cleanup.callback(worker.close)
        assert within(20, lambda: target.seen.total() > 10)
        children = worker.children()
        assert len(children) == 1
        parent.kill()
        assert within(1.5, lambda: not any(alive(pid) for pid in children))
        heard = target.seen.total()
        if once:
            code, said = worker.end()
            assert code == ExitCode.BROKEN
            assert "the harness is gone" in said
        else:
            assert within(3, lambda: sum("waiting for a harness" in line for line in worker.lines) == 2)
            worker.process.terminate()
            code, said = worker.end()
            assert code == ExitCode.INTERRUPTED
        assert "Traceback" not in said
        assert target.seen.total() == heard


def test_a_worker_that_finds_no_harness_says_so(tmp_path: Path) -> None:
    """With --wait it ends with exit code 4 and one line; without a token with 3."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        where = f"127.0.0.1:{free.getsockname()[1]}"
    worker = Worker(where, "--wait", "500ms")
    code, said = worker.end()
    assert (code, "no harness waited for workers at" in said) == (ExitCode.BROKEN, True)
    for token in ("", "short"):
        worker = Worker(where, token=token)
        code, said = worker.end()
        assert code == ExitCode.BAD_INPUT
        assert "HARNESS_TOKEN" in said


def test_a_scenario_that_only_the_worker_cannot_import_is_told_with_the_worker_s_name(tmp_path: Path) -> None:
    """A module that is missing over there: the place is the worker's, and the error is one of input."""
    from harness.errors import BadInput

    (tmp_path / "picky.py").write_text(
        "import os\nfrom locust import FastHttpUser, task\nif 'PICKY' in os.environ:\n    import nothing_like_it\n"
        "class U(FastHttpUser):\n    @task\n    def go(self):\n        self.client.get('/')\n"
    )
    with Target() as target, site(tmp_path / "logs") as here, pytest.MonkeyPatch.context() as patch:
        here.driver = LocustTraffic(
            TrafficSpec(scenario="picky.py", target="t", timeout_ns=S),
            origin_ns=here.clock.origin_ns,
            seed=7,
            base_dir=tmp_path,
            log_dir=tmp_path / "logs",
            gate=here.gate,
        )
        patch.setenv("PICKY", "1")
        here.worker("--name", "picky-box")
        patch.delenv("PICKY")
        with pytest.raises(BadInput, match=r"picky-box:picky.py:4: importing the scenario raised ModuleNotFoundError"):
            here.driver.start(here.inbox, target.address)


def test_the_journal_has_no_token(tmp_path: Path) -> None:
    """No event of a run with joined workers, and no log, holds the token."""
    with Target() as target, site(tmp_path) as here:
        here.worker("--once")
        here.driver.start(here.inbox, target.address)
        here.load(2)
        here.wait_for(Traffic, 10)
        here.driver.stop(S)
        here.take(0)
        assert TOKEN not in json.dumps([repr(event) for event in here.events])
        for log in tmp_path.glob("*.log"):
            assert TOKEN not in log.read_text()
