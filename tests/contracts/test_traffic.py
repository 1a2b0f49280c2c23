"""The traffic seam: every driver ends once and for all; Locust counts what the target counts, and proves it."""

from __future__ import annotations

import os
import signal
import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness import histogram
from harness.clock import Inbox, SystemClock
from harness.errors import BadInput
from harness.experiment import TrafficSpec
from harness.journal import Event, Exemplar, Generator, Traffic, TrafficEnded, Trouble, WorkerLost
from harness.traffic import Load, NoTraffic, TrafficDriver
from harness.traffic.locust import LocustTraffic
from harness.traffic.locust_check import check_scenario
from tests.traffic.target import Target

SCENARIOS = Path(__file__).parent.parent / "traffic" / "scenarios"
S = 1_000_000_000
MS = 1_000_000


def locust(scenario: str, clock: SystemClock, logs: Path, **more: object) -> LocustTraffic:
    """A driver for one of the scenarios here, with a time limit of a second."""
    terms = {"scenario": scenario, "target": "t", "timeout_ns": S, "processes": 1, **more}
    return LocustTraffic(TrafficSpec(**terms), origin_ns=clock.origin_ns, seed=7, base_dir=SCENARIOS, log_dir=logs)  # type: ignore[arg-type]


@dataclass
class Run:
    """A finished run: what it reported and what the target saw. `began_ns` is when the load was set."""

    events: list[Event]
    seen: Counter[str]
    logs: Path
    began_ns: int

    def of(self, kind: type[Event]) -> list[Event]:
        """The events of one kind, in order."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def rows(self) -> list[Traffic]:
        """The traffic rows."""
        return [event for event in self.events if isinstance(event, Traffic)]

    @property
    def generators(self) -> list[Generator]:
        """The generator rows."""
        return [event for event in self.events if isinstance(event, Generator)]

    def started(self, start: str) -> int:
        """Requests started of the endpoints whose name starts so."""
        return sum(row.started for row in self.rows if row.endpoint.startswith(start))


def drive(
    driver: TrafficDriver, clock: SystemClock, address: str, users: int, ramp_ns: int, hold_ns: int
) -> tuple[list[Event], int]:
    """Start, ramp to `users`, hold, stop with a drain of two seconds; returns the events and when the load began."""
    inbox: Inbox[Event] = Inbox()
    driver.start(inbox, address)
    began_ns = clock.now()
    driver.set_load(Load(at_ns=began_ns, level_from=0, level_to=users, ramp_ns=ramp_ns))
    events: list[Event] = []
    collect(clock, inbox, events, began_ns + ramp_ns + hold_ns)
    driver.stop(2 * S)
    driver.stop(2 * S)
    collect(clock, inbox, events, 0)
    return events, began_ns


def collect(clock: SystemClock, inbox: Inbox[Event], into: list[Event], until_ns: int) -> None:
    """Take what comes until an instant, and all that is there."""
    while (event := clock.wait(inbox, until_ns)) is not None:
        into.append(event)


@pytest.fixture(params=["none", "locust"])
def driver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TrafficDriver]:
    """Each driver of the seam, not started."""
    made: TrafficDriver = NoTraffic() if request.param == "none" else locust("paced.py", SystemClock(), tmp_path)
    yield made
    made.stop(0)


class TestEveryDriver:
    """What holds for any traffic driver."""

    def test_stop_before_start_is_fine(self, driver: TrafficDriver) -> None:
        """A run that fails early stops everything, started or not."""
        driver.stop(0)
        driver.stop(0)

    def test_it_ends_once_and_last(self, driver: TrafficDriver) -> None:
        """However often it is stopped, TrafficEnded comes once, after everything else."""
        with Target() as target:
            events, _ = drive(driver, SystemClock(), target.address, users=4, ramp_ns=0, hold_ns=S // 2)
            assert [type(event) for event in events].count(TrafficEnded) == 1
            assert isinstance(events[-1], TrafficEnded)
            assert sum(event.started for event in events if isinstance(event, Traffic)) == sum(target.seen.values())


@pytest.fixture(scope="module")
def featured(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two workers, a locustfile with a bit of everything, 40 users ramped in 2 s and held for 1.5 s."""
    clock, logs = SystemClock(), tmp_path_factory.mktemp("featured")
    driver = locust("features.py", clock, logs, processes=2, exclude_tags=("never",))
    with Target() as target:
        events, began_ns = drive(driver, clock, target.address, users=40, ramp_ns=2 * S, hold_ns=3 * S // 2)
        return Run(events, target.seen.copy(), logs, began_ns)


class TestAPlainLocustfile:
    """features.py, unchanged, on two workers."""

    def test_counts_equal_the_target_s_own(self, featured: Run) -> None:
        """For each method and path the rows started exactly as many requests as arrived."""
        arrived = {"POST /login", "GET /logout", "GET /first", "GET /judged", "GET /raising", "GET /unjudged"}
        assert {name: featured.started(name) for name in arrived} == {name: featured.seen[name] for name in arrived}
        assert featured.started("GET /second?q=a+b") == featured.seen["GET /second?q=a+b"] > 0
        items = sum(count for name, count in featured.seen.items() if name.startswith("GET /items/"))
        assert featured.started("GET /items/[id]") == items > 0
        assert featured.started("OWN thing") > 0

    def test_everything_started_is_finished_or_lost(self, featured: Run) -> None:
        """Per worker, endpoint and due second; and nothing was lost against a healthy target."""
        balance: Counter[tuple[int, str, int]] = Counter()
        for row in featured.rows:
            balance[row.worker, row.endpoint, row.second] += row.started - row.finished - row.lost
        assert set(balance.values()) == {0}
        assert sum(row.lost for row in featured.rows) == 0

    def test_failures_of_the_scenario_are_assertions(self, featured: Run) -> None:
        """failure(), and an exception inside a with-block, which Locust itself would not count at all."""
        for endpoint in ("GET /judged", "GET /raising"):
            rows = [row for row in featured.rows if row.endpoint == endpoint]
            assert sum(row.failed.get("assertion", 0) for row in rows) == sum(row.finished for row in rows) > 0
        assert not any(row.failed for row in featured.rows if row.endpoint == "GET /unjudged")
        messages = {event.message for event in featured.of(Exemplar)}  # type: ignore[attr-defined]
        assert {"not what we wanted", "ValueError: the scenario's own mistake"} <= messages

    def test_an_exception_of_the_scenario_is_told_once(self, featured: Run) -> None:
        """Each worker says that the scenario raises, and where, not each time."""
        told = [event.message for event in featured.of(Trouble)]  # type: ignore[attr-defined]
        assert 1 <= len(told) <= 2
        assert all("ValueError" in message and "features.py:" in message for message in told)

    def test_excluded_tags_send_nothing(self, featured: Run) -> None:
        """A task with an excluded tag does not run."""
        assert featured.seen["GET /excluded"] == 0

    def test_listeners_fire_on_master_and_workers(self, featured: Run) -> None:
        """init, test_start and test_stop fire once in each process, as under Locust, and print into the logs."""
        for name, runner in (("master", "MasterRunner"), ("worker-0", "WorkerRunner"), ("worker-1", "WorkerRunner")):
            said = (featured.logs / f"traffic-{name}.log").read_text()
            assert f"INIT {runner} hello" in said
            assert [said.count("TEST_START http://127.0.0.1:"), said.count("TEST_STOP")] == [1, 1]
            assert said.count("SPAWNED 20") == (0 if name == "master" else 1)

    def test_two_workers_keep_one_line(self, featured: Run) -> None:
        """Once up, both have their half of the users, and each second has a row of each."""
        by_second: dict[int, dict[int, int]] = {}
        for row in featured.generators:
            by_second.setdefault(row.second, {})[row.worker] = row.users
        held = (featured.began_ns + 5 * S // 2) // S
        assert by_second[held] == {0: 20, 1: 20}
        seconds = sorted(by_second)
        assert seconds == list(range(seconds[0], seconds[-1] + 1))

    def test_latency_from_the_due_time_is_never_the_shorter(self, featured: Run) -> None:
        """Every answer is in both histograms, and P50 from the due time is at least that of the service."""
        due = histogram.decode([text for row in featured.rows for text in (row.due_ok, row.due_failed)])
        service = histogram.decode([text for row in featured.rows for text in (row.service_ok, row.service_failed)])
        assert due.total == service.total == sum(row.finished for row in featured.rows)
        assert (due.percentile_us(0.5) or 0) >= (service.percentile_us(0.5) or 1)

    def test_the_end_is_quiet(self, featured: Run) -> None:
        """A healthy run ends with nothing unanswered and no worker lost."""
        assert [event.unanswered for event in featured.of(TrafficEnded)] == [0]  # type: ignore[attr-defined]
        assert featured.of(WorkerLost) == []


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One user of each client meets every failure, with a time limit of a second."""
    with socket.socket() as nobody, pytest.MonkeyPatch.context() as patch, Target() as target:
        nobody.bind(("127.0.0.1", 0))
        patch.setenv("TEST_NOBODY_URL", f"http://127.0.0.1:{nobody.getsockname()[1]}")
        clock, logs = SystemClock(), tmp_path_factory.mktemp("failing")
        events, began_ns = drive(locust("failing.py", clock, logs), clock, target.address, 2, 0, S)
        return Run(events, target.seen.copy(), logs, began_ns)


@pytest.mark.parametrize("client", ["fast", "plain"])
@pytest.mark.parametrize(
    ("what", "failure"),
    [
        ("/status/503", "5xx"),
        ("/status/404", "4xx"),
        ("/reset", "reset"),
        ("refused", "connect"),
        ("never", "timeout"),
        ("drip", "timeout"),
    ],
)
def test_failures_are_told_apart(failing: Run, client: str, what: str, failure: str) -> None:
    """By both clients: no answer, a drip beyond the limit, resets, refusals and bad statuses each have a class."""
    rows = [row for row in failing.rows if row.endpoint.endswith(f"{client} {what}")]
    failed: Counter[str] = Counter()
    for row in rows:
        failed.update(row.failed)
    assert failed == {failure: sum(row.finished for row in rows)}
    assert failed[failure] >= 1


def test_the_time_limit_holds(failing: Run) -> None:
    """With a limit of a second, an answer that never comes and one that drips are given up within 1.3 s."""
    slow = [event for event in failing.of(Exemplar) if event.failure == "timeout"]  # type: ignore[attr-defined]
    assert {event.endpoint.split()[-1] for event in slow} == {"never", "drip"}  # type: ignore[attr-defined]
    for row in failing.rows:
        if "timeout" in row.failed:
            longest = histogram.decode([row.service_failed]).percentile_us(1.0)
            assert longest is not None
            assert 950_000 <= longest <= 1_300_000


BAD = {
    "nothere.py": (None, "no such scenario file"),
    "module.py": ("import wordz\n", r"module.py:1: importing the scenario raised ModuleNotFoundError"),
    "syntax.py": ("x = 1\ndef f(:\n", r"syntax.py:2: SyntaxError"),
    "raising.py": (
        "\n\nraise RuntimeError('no token')\n",
        r"raising.py:3: importing the scenario raised RuntimeError: no token",
    ),
    "nobody.py": ("x = 1\n", "nobody.py: the scenario has no user class to run"),
    "idle.py": ("from locust import User\nclass Idle(User):\n    pass\n", "idle.py: the user class Idle has no task"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_scenario_that_cannot_run_is_refused_by_file_and_line(name: str, tmp_path: Path) -> None:
    """Before any load: one error with its place and a hint."""
    text, expected = BAD[name]
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(BadInput, match=expected) as refused:
        check_scenario(TrafficSpec(scenario=name, target="t", timeout_ns=S), tmp_path)
    assert refused.value.hint


def test_a_bad_scenario_leaves_no_process(tmp_path: Path) -> None:
    """start() refuses as check does, and the processes it started are gone when it has."""
    (tmp_path / "bad.py").write_text("raise RuntimeError('no token')\n")
    spec = TrafficSpec(scenario="bad.py", target="t", timeout_ns=S, processes=2)
    driver = LocustTraffic(spec, origin_ns=0, seed=0, base_dir=tmp_path, log_dir=tmp_path)
    with pytest.raises(BadInput, match=r"bad.py:1"):
        driver.start(Inbox(), "http://127.0.0.1:9")
    assert children_of_ours() == []


def children_of_ours() -> list[str]:
    """Command lines of our child processes that are traffic processes."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parent = folder.joinpath("stat").read_text().rpartition(")")[2].split()[1]
                command = folder.joinpath("cmdline").read_bytes()
            except OSError:
                continue
            if parent == str(os.getpid()) and b"harness.traffic.child" in command:
                found.append(folder.name)
    return found


def test_check_tells_the_classes_and_their_pace() -> None:
    """harness check learns the weights, the period of paced users, and the mean think time where it can be known."""
    found = {
        entry.name: entry
        for entry in check_scenario(TrafficSpec(scenario="features.py", target="t", timeout_ns=S), SCENARIOS)
    }
    assert (found["Clicker"].weight, found["Clicker"].think_ns, found["Clicker"].period_ns) == (3, 100 * MS, None)
    assert (found["Pacer"].period_ns, found["Pacer"].think_ns) == (200 * MS, None)
    assert found["OwnProtocol"].fixed_count == 2
    assert 140 * MS < (found["OwnProtocol"].think_ns or 0) < 160 * MS


@pytest.mark.e2e
def test_a_frozen_target_shows_its_freeze(tmp_path: Path) -> None:
    """A freeze of 2 s in 8 delays a quarter of the due requests by up to 2 s: P99 from the due time says so, and
    nothing is lost."""
    clock = SystemClock()
    driver = locust("paced.py", clock, tmp_path, timeout_ns=5 * S)
    inbox: Inbox[Event] = Inbox()
    events: list[Event] = []
    with Target() as target:
        driver.start(inbox, target.address)
        began_ns = clock.now()
        driver.set_load(Load(at_ns=began_ns, level_from=0, level_to=50, ramp_ns=0))
        for frozen, at_s in ((False, 3), (True, 5), (False, 8)):
            target.freeze(frozen)
            collect(clock, inbox, events, began_ns + at_s * S)
        driver.stop(2 * S)
        collect(clock, inbox, events, 0)
        seen = target.seen.total()
    rows = [event for event in events if isinstance(event, Traffic)]
    due = histogram.decode([row.due_ok for row in rows])
    counts = {name: sum(getattr(row, name) for row in rows) for name in ("started", "finished", "lost")}
    assert counts == {"started": seen, "finished": seen, "lost": 0}
    # Users due during the freeze wait 0..2 s, evenly: the truth for P99 is 2 s less 1/25 of it.
    assert 1_850_000 < (due.percentile_us(0.99) or 0) < 2_100_000
    assert (due.percentile_us(0.5) or 0) < 200_000
    frozen_second = (began_ns + 4 * S) // S
    (row,) = [event for event in events if isinstance(event, Generator) and event.second == frozen_second]
    assert 40 <= row.due <= 60
    assert row.begun < row.due


@pytest.mark.e2e
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_worker_that_dies_or_falls_silent_is_noticed(number: signal.Signals, tmp_path: Path) -> None:
    """Within 5 s; its share is not moved to the other, and the run goes on and ends clean."""
    clock = SystemClock()
    driver = locust("paced.py", clock, tmp_path, processes=2)
    inbox: Inbox[Event] = Inbox()
    events: list[Event] = []
    with Target() as target:
        driver.start(inbox, target.address)
        driver.set_load(Load(at_ns=clock.now(), level_from=0, level_to=20, ramp_ns=0))
        collect(clock, inbox, events, clock.now() + 2 * S)
        struck_ns = clock.now()
        victim = next(child for child in driver._children if child.worker == 1)
        os.kill(victim.process.pid, number)
        collect(clock, inbox, events, struck_ns + 6 * S)
        driver.stop(2 * S)
        collect(clock, inbox, events, 0)
    (lost,) = [event for event in events if isinstance(event, WorkerLost)]
    assert lost.worker == 1
    assert lost.at_ns - struck_ns < 5 * S
    after = [event for event in events if isinstance(event, Generator) and event.at_ns > lost.at_ns + S]
    assert {(row.worker, row.users) for row in after[:-1]} == {(0, 10)}
    assert isinstance(events[-1], TrafficEnded)
    assert children_of_ours() == []


@pytest.mark.e2e
def test_users_follow_the_line_down_and_up_again(tmp_path: Path) -> None:
    """After a ramp down the rest is there, on both workers; a step comes at once; nobody is cut off in a request."""
    clock = SystemClock()
    driver = locust("paced.py", clock, tmp_path, processes=2)
    inbox: Inbox[Event] = Inbox()
    events: list[Event] = []
    held: list[int] = []
    with Target() as target:
        driver.start(inbox, target.address)
        for users_from, users_to, ramp_ns in ((0, 60, S), (60, 20, S), (20, 40, 0)):
            at_ns = clock.now()
            driver.set_load(Load(at_ns=at_ns, level_from=users_from, level_to=users_to, ramp_ns=ramp_ns))
            collect(clock, inbox, events, at_ns + ramp_ns + 3 * S)
            held.append((at_ns + ramp_ns + S // 4) // S)
        driver.stop(2 * S)
        collect(clock, inbox, events, 0)
    users = {(event.second, event.worker): event.users for event in events if isinstance(event, Generator)}
    assert [(users[second, 0], users[second, 1]) for second in held] == [(30, 30), (10, 10), (20, 20)]
    rows = [event for event in events if isinstance(event, Traffic)]
    assert sum(row.started for row in rows) == sum(row.finished for row in rows) == target.seen.total()
    assert not any(row.failed for row in rows)
