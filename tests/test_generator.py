"""Whether the generator is tried out before a run, with whose client, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness import generator
from harness.errors import BadInput
from harness.experiment import Experiment, Question, TrafficSpec, WorkersSpec
from harness.generator import costliest, try_out
from harness.journal import Event, SelfTest, Trouble
from harness.traffic.locust_check import UserClass
from tests.documents import built

S = 1_000_000_000
FAST, FAST_HTTP, HTTP, OTHER = (
    UserClass(name=f"A{client}", weight=1, fixed_count=0, period_ns=S, think_ns=None, client=client)
    for client in ("FastUser", "FastHttpUser", "HttpUser", "other")
)


class Bench:
    """Stands for the check of the scenario and for the self-test; notes what was asked."""

    def __init__(self, classes: tuple[UserClass, ...], per_s: float) -> None:
        self.classes = classes
        self.per_s = per_s
        self.asked: list[tuple[str, int]] = []

    def check(self, spec: TrafficSpec, base_dir: Path) -> tuple[UserClass, ...]:
        """The classes."""
        return self.classes

    def measure(
        self, client: str, workers: int, *, log_dir: Path, addresses: int, say: Callable[[str], None]
    ) -> SelfTest:
        """The figure."""
        assert addresses == 1
        assert log_dir.name == "self-test"
        say("a step")
        self.asked.append((client, workers))
        return SelfTest(
            at_ns=0,
            client=client,
            workers=workers,
            per_s=self.per_s,
            users=20_000,
            lag_p99_us=900,
            cpu_us=50.0,
            rate_bound="event loop lag",
            users_bound="open files",
        )


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """One FastHttpUser class, and a generator that carries 1,000/s."""
    made = Bench((FAST_HTTP,), 1000)
    monkeypatch.setattr(generator, "check_scenario", made.check)
    monkeypatch.setattr(generator, "self_test", made.measure)
    return made


def ladder(users: int = 100, **traffic: object) -> Experiment:
    """An experiment that asks where the target breaks."""
    base = built()
    return replace(
        base,
        questions=(Question(kind="breaking_point"),),
        stages=tuple(replace(stage, users=users) for stage in base.stages),
        traffic=replace(base.traffic, processes=3, **traffic),  # type: ignore[arg-type]
    )


def tried(experiment: Experiment, said: list[str] | None = None, *, skip: bool = False) -> tuple[Event, ...]:
    """What the journal is told, five seconds into the run's clock."""
    say = None if said is None else said.append
    return try_out(experiment, skip=skip, log_dir=Path("logs"), now=lambda: 5 * S, say=say)


def test_a_ladder_is_measured_with_its_own_kind_of_user_and_its_own_number_of_processes(bench: Bench) -> None:
    """The figure is stamped on the run's clock and told in one line."""
    said: list[str] = []
    events = tried(ladder(), said)
    assert bench.asked == [("FastHttpUser", 3)]
    assert [type(event) for event in events] == [SelfTest]
    assert events[0].at_ns == 5 * S
    assert len(said) == 1
    assert said[0].startswith("self-test: FastHttpUser in 3 processes carries 1,000/s")


def test_a_plan_near_the_limit_is_a_trouble_in_the_journal(bench: Bench) -> None:
    """So that the report has it among its warnings, also when nobody watches."""
    events = tried(ladder(users=800))
    assert [type(event) for event in events] == [SelfTest, Trouble]
    assert isinstance(events[1], Trouble)
    assert "plans 800/s, more than 70% of it" in events[1].message


def test_a_plan_beyond_reach_is_refused(bench: Bench) -> None:
    """Before the run has anything to undo."""
    with pytest.raises(BadInput, match=r"carries 1,000/s .* plans 1,001/s"):
        tried(ladder(users=1001))


def test_a_small_run_is_not_measured_for(bench: Bench) -> None:
    """It begins at once, and nothing is said."""
    assert tried(replace(ladder(), questions=())) == ()
    assert bench.asked == []


@pytest.mark.parametrize(
    ("experiment", "skip", "why"),
    [
        (ladder(), True, "not run (--no-self-test)"),
        (ladder(workers=WorkersSpec(expect=2, bind="127.0.0.1:1", join_within_ns=S)), False, "from other hosts"),
    ],
)
def test_a_self_test_that_was_due_and_is_left_out_is_said(
    bench: Bench, experiment: Experiment, skip: bool, why: str
) -> None:
    """In the journal, hence in the report."""
    (event,) = tried(experiment, skip=skip)
    assert isinstance(event, Trouble)
    assert event.source == "self-test"
    assert why in event.message
    assert bench.asked == []


def test_a_client_of_its_own_is_not_measured_and_said(bench: Bench) -> None:
    """Whatever a gRPC user costs, it is not what ours cost."""
    bench.classes = (FAST, OTHER)
    (event,) = tried(ladder())
    assert isinstance(event, Trouble)
    assert "Aother has a client of its own" in event.message
    assert bench.asked == []


@pytest.mark.parametrize(
    ("classes", "client"),
    [
        ((FAST,), "FastUser"),
        ((FAST, FAST_HTTP), "FastHttpUser"),
        ((HTTP, FAST, FAST_HTTP), "HttpUser"),
        ((FAST, OTHER), None),
        ((), None),
    ],
)
def test_the_costliest_client_of_a_scenario_is_measured(classes: tuple[UserClass, ...], client: str | None) -> None:
    """What a mix carries is at least that."""
    assert costliest(classes) == client
