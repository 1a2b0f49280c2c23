"""The open model against a real target: arrivals start when they are due, a freeze shows, what cannot start is said."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from harness import histogram
from harness.clock import Inbox, SystemClock
from harness.experiment import TrafficSpec
from harness.journal import Event, Generator, Traffic, TrafficEnded, Trouble, WorkerLost
from harness.traffic import Load
from harness.traffic.arrivals import Arrivals, Kind
from harness.traffic.locust import LocustTraffic
from tests.traffic.target import Target

SCENARIOS = Path(__file__).parent.parent / "traffic" / "scenarios"
S = 1_000_000_000
SEED = 7

E = TypeVar("E", bound=Event)


@dataclass
class Run:
    """What a finished run reported, and what the target saw. `acts_ns` are the instants of what was done meanwhile."""

    events: list[Event]
    seen: Counter[str]
    lines: list[Load]
    acts_ns: list[int]
    stopped_ns: int
    took_to_stop_s: float

    def of(self, kind: type[E]) -> list[E]:
        """The events of one kind, in order."""
        return [event for event in self.events if isinstance(event, kind)]

    def sum(self, name: str) -> int:
        """A counter over all rows that have it."""
        return sum(
            getattr(row, name) for row in self.events if isinstance(row, Traffic | Generator) and hasattr(row, name)
        )

    def latency_us(self, share: float) -> float:
        """A percentile of the latencies from the due time."""
        return histogram.decode([row.due_ok for row in self.of(Traffic)]).percentile_us(share) or 0.0


def run(
    scenario: str,
    logs: Path,
    target: Target,
    lines: list[tuple[float, float, float, float]],
    stop_s: float,
    acts: tuple[tuple[float, Callable[[], None]], ...] = (),
    **more: object,
) -> Run:
    """Follow lines (at second, from, to, ramp s), act meanwhile, stop with a drain of a second."""
    clock = SystemClock()
    spec = TrafficSpec(**{"scenario": scenario, "target": "t", "timeout_ns": 5 * S, "max_users": 2000, **more})  # type: ignore[arg-type]
    driver = LocustTraffic(spec, origin_ns=clock.origin_ns, seed=SEED, base_dir=SCENARIOS, log_dir=logs)
    inbox: Inbox[Event] = Inbox()
    events: list[Event] = []
    driver.start(inbox, target.address)
    began_ns = clock.now()
    loads = [
        Load(at_ns=began_ns + round(at_s * S), level_from=start, level_to=end, ramp_ns=round(ramp_s * S), unit="rate")
        for at_s, start, end, ramp_s in lines
    ]
    todo: list[tuple[int, Load | Callable[[], None]]] = [(load.at_ns, load) for load in loads]
    todo += [(began_ns + round(at_s * S), act) for at_s, act in acts]
    acts_ns = []
    for at_ns, what in sorted(todo, key=lambda entry: entry[0]):
        collect(clock, inbox, events, at_ns)
        if isinstance(what, Load):
            driver.set_load(what)
        else:
            what()
            acts_ns.append(clock.now())
    collect(clock, inbox, events, began_ns + round(stop_s * S))
    stopped_ns = clock.now()
    driver.stop(S)
    took_s = (clock.now() - stopped_ns) / S
    collect(clock, inbox, events, 0)
    return Run(events, target.seen.copy(), loads, acts_ns, stopped_ns, took_s)


def collect(clock: SystemClock, inbox: Inbox[Event], into: list[Event], until_ns: int) -> None:
    """Take what comes until an instant, and all that is there."""
    while (event := clock.wait(inbox, until_ns)) is not None:
        into.append(event)


def due_times(kind: Kind, lines: list[Load], until_ns: int, workers: int) -> list[int]:
    """When arrivals are due, by the pure function of the seed that the workers follow too."""
    found: list[int] = []
    for worker in range(workers):
        arrivals = Arrivals(kind, seed=SEED, worker=worker, workers=workers)
        for load in lines:
            arrivals.follow(load)
        while arrivals.next_ns is not None and arrivals.next_ns < until_ns:
            found.append(arrivals.next_ns)
            arrivals.take()
    return sorted(found)


@pytest.mark.e2e
@pytest.mark.parametrize("kind", ["poisson", "uniform"])
def test_a_freeze_shows_as_it_was(kind: Kind, tmp_path: Path) -> None:
    """300/s for 6 s, frozen for one: P99 from the due time is within 2 % of what the due times and the freeze say (on a
    machine that held the generator up for longer, within that), P50 knows nothing of it, and each arrival is started,
    answered and counted in the second that it was due in."""
    with Target() as target:
        freeze = ((2.0, lambda: target.freeze(True)), (3.0, lambda: target.freeze(False)))
        done = run("arriving.py", tmp_path, target, [(0, 300, 300, 0)], 6, freeze, arrivals=kind, processes=2)
    frozen_ns, thawed_ns = done.acts_ns
    due = due_times(kind, done.lines, done.stopped_ns + S, 2)[: done.sum("due")]
    waits = sorted((thawed_ns - instant) / 1000 if frozen_ns <= instant < thawed_ns else 0.0 for instant in due)
    truth_us = waits[math.ceil(0.99 * len(waits)) - 1]
    assert truth_us > 900_000
    held_up_us = histogram.decode([row.lag for row in done.of(Generator)]).percentile_us(1.0) or 0.0
    assert done.latency_us(0.99) == pytest.approx(truth_us, rel=0.02, abs=held_up_us)
    assert done.latency_us(0.5) < 50_000
    counts = {done.sum(name) for name in ("due", "begun", "started", "finished")} | {done.seen["GET /visit"]}
    assert counts == {len(due)}
    assert done.sum("lost") == done.sum("not_started") == 0
    by_second: Counter[int] = Counter()
    for row in done.of(Generator):
        by_second[row.second] += row.due
    first, last = min(by_second), done.stopped_ns // S
    expected = Counter(instant // S for instant in due)
    assert [by_second[second] for second in range(first, last)] == [expected[second] for second in range(first, last)]


@pytest.fixture(scope="module")
def pooled(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two workers, 120 arrivals a second on an even grid, up from nothing and down to it."""
    with Target() as target:
        lines = [(0.0, 0.0, 120.0, 1.0), (1.0, 120.0, 120.0, 0.0), (2.0, 120.0, 0.0, 1.0)]
        logs = tmp_path_factory.mktemp("pooled")
        return run("pooled.py", logs, target, lines, 3.5, arrivals="uniform", processes=2)


class TestWhatAnArrivalMeets:
    """pooled.py: logins, nested task sets, interrupts, waits in the middle, users that end."""

    def test_each_arrival_is_one_task(self, pooled: Run) -> None:
        """240 are under the line; each is begun; whatever its task is: plain, nested, rescheduled, the user's last."""
        assert pooled.sum("due") == pooled.sum("begun") == 240
        assert pooled.seen["GET /often"] + pooled.seen["GET /seldom"] == 240

    def test_arrivals_are_shared_out_by_weight(self, pooled: Run) -> None:
        """Three to one, however many users each class needs; a fixed_count is no share, and that is said."""
        assert pooled.seen["GET /often"] == 180
        assert pooled.seen["GET /seldom"] == pooled.seen["GET /after"] == 60
        assert pooled.seen["GET /keeper"] == 0
        told = [trouble.message for trouble in pooled.of(Trouble)]
        assert len(told) == 2
        assert all("Keeper has a fixed_count" in message for message in told)

    def test_users_log_in_and_out_once(self, pooled: Run) -> None:
        """A user of the pool lives on between its arrivals, and ends as it would in the closed model."""
        assert 2 <= pooled.seen["GET /login"] == pooled.seen["GET /logout"] < 90

    def test_the_wait_time_is_of_no_account(self, pooled: Run) -> None:
        """Users with constant_pacing(10) take arrivals as these come, and late by the event loop's lateness only."""
        lag = histogram.decode([row.start_lag for row in pooled.of(Generator)])
        assert lag.total == 240
        assert (lag.percentile_us(0.5) or 0) < 20_000

    def test_the_end_is_quiet(self, pooled: Run) -> None:
        """Nothing lost, nobody missing, no error."""
        assert [event.unanswered for event in pooled.of(TrafficEnded)] == [0]
        assert pooled.of(WorkerLost) == []
        assert pooled.sum("lost") == pooled.sum("raised") == pooled.sum("not_started") == 0
        assert pooled.sum("started") == pooled.sum("finished") == pooled.seen.total()


@pytest.mark.e2e
def test_beyond_the_pool_arrivals_are_counted_and_not_queued(tmp_path: Path) -> None:
    """With 10 users to a worker a freeze leaves most arrivals without one: they never start, and after the freeze those
    that are due then do, at once."""
    with Target() as target:
        freeze = ((1.0, lambda: target.freeze(True)), (2.0, lambda: target.freeze(False)))
        limits = {"arrivals": "uniform", "processes": 2, "max_users": 20}
        done = run("arriving.py", tmp_path, target, [(0, 100, 100, 0)], 5, freeze, **limits)
    rows = done.of(Generator)
    assert max(row.users for row in rows) == 10
    assert done.sum("due") == done.sum("begun") + done.sum("not_started")
    assert 75 <= done.sum("not_started") <= 100
    thawed = done.acts_ns[1] // S
    after = [row for row in rows if row.second > thawed]
    assert after
    assert sum(row.not_started for row in after) == 0
    assert done.sum("started") == done.sum("finished") == done.seen["GET /visit"] == done.sum("begun")


def test_users_that_end_in_their_on_start_turn_arrivals_away(tmp_path: Path) -> None:
    """Each takes the arrival that it was made for along, is told once, and the run ends as it should."""
    with Target() as target:
        done = run("unborn.py", tmp_path, target, [(0, 100, 100, 0)], 1.5, arrivals="uniform")
    assert done.sum("begun") == 0
    assert 140 <= done.sum("not_started") <= done.sum("due") <= done.sum("not_started") + 2
    assert done.sum("not_started") <= done.sum("raised") <= done.sum("due") + 2
    (told,) = done.of(Trouble)
    assert "no such account" in told.message


def test_a_stop_in_a_freeze_ends_in_time(tmp_path: Path) -> None:
    """No new arrivals, a drain of a second, what is not answered then is lost: started = finished + lost."""
    with Target() as target:
        freeze = ((0.5, lambda: target.freeze(True)),)
        done = run("arriving.py", tmp_path, target, [(0, 100, 100, 0)], 1.5, freeze, arrivals="uniform")
    assert done.took_to_stop_s < 3
    assert 90 <= done.sum("lost") <= 110
    assert done.sum("started") == done.sum("finished") + done.sum("lost") == done.seen["GET /visit"]
    assert [event.unanswered for event in done.of(TrafficEnded)] == [done.sum("lost")]


@pytest.mark.e2e
def test_a_class_that_needs_users_gets_them_from_one_that_rests(tmp_path: Path) -> None:
    """A freeze fills a pool of 12 by the weights, 9 and 3; afterwards the class of long tasks needs 5 for its 10/s, and
    has them, for users of the other are idle."""
    with Target() as target:
        target.freeze(True)
        thaw = ((0.6, lambda: target.freeze(False)),)
        done = run("unequal.py", tmp_path, target, [(0, 40, 40, 0)], 5, thaw, arrivals="uniform", max_users=12)
    rows = done.of(Generator)
    thawed = done.acts_ns[0] // S
    assert sum(row.not_started for row in rows if row.second <= thawed) > 0
    assert sum(row.not_started for row in rows if row.second > thawed + 2) == 0
    assert max(row.users for row in rows) <= 12
    assert done.seen["GET /quick"] + done.seen["GET /long"] == done.sum("begun")
