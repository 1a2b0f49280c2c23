"""Faults that repeat, and random schedules: when each is in force, and what is refused."""

# ruff: noqa: E501 - a message stands on one line, as users see it

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import BadInput
from harness.experiment import Experiment, Fault
from harness.loader import from_document
from harness.loader.schedule import REST_NS
from harness.units import NS_PER_S
from tests.documents import built, whole, wrong

S = NS_PER_S
LAG = {"name": "slow-db", "toxic": "latency", "on": "db", "latency": "200ms", "during": "level-500"}
POOL = [
    {"toxic": "latency", "on": "db-link", "latency": "200ms", "for": "5s"},
    {"process": "pause", "on": "payment", "for": "3s"},
]


def faults_of(*faults: object, **sections: object) -> tuple[Fault, ...]:
    """The faults of the example document with these."""
    return built(faults=list(faults), **sections).faults


def chaos(
    *, pool: object = POOL, rate: object = "1/1m", seed: int = 42, hold: str = "1h", **keys: object
) -> Experiment:
    """One random schedule in a stage that holds for so long."""
    stages = [{"name": "long", "users": 5, "hold": hold}]
    entry = {"name": "chaos", "random": {"from": pool, "rate": rate, "during": "long", **keys}}
    return built(stages=stages, faults=[entry], budget=[], questions=["budget"], seed=seed)


def test_a_repeated_fault_becomes_its_repetitions() -> None:
    """Each with a name of its own and the written one as its group, one `every` after the other."""
    found = faults_of({**LAG, "after": "2s", "for": "3s", "every": "10s", "times": 2})
    assert [(f.name, f.group, f.after_ns, f.hold_ns) for f in found] == [
        ("slow-db-1", "slow-db", 2 * S, 3 * S),
        ("slow-db-2", "slow-db", 12 * S, 3 * S),
    ]
    assert {f.on for f in found} == {"db-link"}


@pytest.mark.parametrize(
    ("after", "hold", "fit"), [("0s", "5s", 3), ("0s", "10s", 3), ("5s", "6s", 2), ("0s", "30s", 1)]
)
def test_without_times_there_are_as_many_as_fit(after: str, hold: str, fit: int) -> None:
    """The last one ends within the hold of 30 seconds, at its last instant at the latest."""
    every = "10.5s" if hold == "10s" else "31s" if hold == "30s" else "10s"
    found = faults_of({**LAG, "after": after, "for": hold, "every": every})
    assert len(found) == (fit if hold != "10s" else 2)
    assert all(f.after_ns + f.hold_ns <= 30 * S for f in found)


def test_a_fault_that_is_not_repeated_has_no_group() -> None:
    """And keeps its name."""
    assert [(f.name, f.group) for f in faults_of({**LAG, "for": "5s"})] == [("slow-db", "")]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"times": 3, "for": "1s"}, "faults[0].every: this key is required beside times, and missing (from start to start)"),
        ({"every": "5s"}, "faults[0].for: this key is required beside every, and missing (shorter than every)"),
        ({"every": "5s", "for": "5s"}, "faults[0].for: the repetitions would fight over db: for 5s is not shorter than every 5s"),
        ({"every": "5s", "for": "1s", "times": 7}, "faults[0].times: the repetitions outlast level-500: 7 of them need 31s of its hold of 30s (6 fit; without times there are as many as fit)"),
        ({"every": "5s", "for": "1s", "times": 0}, "faults[0].times: expected a whole number from 1 to 500, got 0"),
        ({"every": "0s", "for": "1s"}, "faults[0].every: expected a duration above zero, got '0s'"),
        ({"every": "2us", "for": "1us"}, "faults[0].every: expected at most 500 repetitions, got 15000000 (say times)"),
        ({"every": "40s", "for": "31s"}, "faults[0].for: the fault outlasts level-500: after 0us + for 31s is more than its hold of 30s (at most 30s is left, or lengthen the hold)"),
    ],
)  # fmt: skip
def test_repetitions_that_make_no_sense_are_refused(keys: dict[str, object], message: str) -> None:
    """Those that would fight, and those that would not all be made."""
    assert wrong(faults=[{**LAG, **keys}]) == [message]


def test_all_repetitions_together_have_a_bound() -> None:
    """A plan that nobody can read is no plan."""
    blinks = [
        {"name": f"f{number}", "toxic": "down", "on": on, "during": "level-500", "for": "1ms", "every": "60ms"}
        for number, on in enumerate(("front", "db-link", "front"))
    ]
    said = wrong(faults=[*blinks[:2], {**blinks[2], "during": "level-100"}])
    assert said == ["faults: expected at most 1000 faults with all repetitions, got 1500"]


def test_a_repetition_may_have_nobodys_name() -> None:
    """Not another fault's, and not a stage's."""
    twice = {"for": "1s", "every": "10s", "times": 2}
    assert wrong(faults=[{**LAG, **twice}, {**LAG, "name": "slow-db-2", "during": "level-100"}]) == [
        "faults[0].name: two faults are called slow-db-2; give each its own name"
    ]
    many = {**LAG, "name": "level", "for": "1ms", "every": "100ms", "times": 100}
    assert "faults[0].name: a stage is called level-100 too; limits could mean either" in wrong(faults=[many])


def test_a_repeated_fault_fights_with_others_as_often_as_it_is_in_force_but_is_told_once() -> None:
    """Two faults on one knob of one thing at one time."""
    said = wrong(faults=[{**LAG, "for": "2s", "every": "5s"}, {**LAG, "name": "more", "after": "6s", "for": "20s"}])
    assert len(said) == 1
    assert said[0].startswith("faults[1]: the faults slow-db-2 (latency) and more (latency) fight over db-link")
    assert faults_of({**LAG, "for": "2s", "every": "15s"}, {**LAG, "name": "more", "after": "2s", "for": "13s"})


def test_limits_may_speak_of_all_repetitions_or_of_one() -> None:
    """By the written name, and by the name of each; a number too high is refused."""
    twice = {**LAG, "for": "2s", "every": "10s", "times": 2}
    found = built(faults=[twice], budget=["p95 < 1s in slow-db", "p95 < 1s in slow-db-2, level-100"])
    assert [f.name for f in found.faults_in(found.budget[0].scope)] == ["slow-db-1", "slow-db-2"]
    assert [f.name for f in found.faults_in(found.budget[1].scope)] == ["slow-db-2"]
    assert found.faults_in(()) == ()
    assert (
        "budget[0]: no stage, role or fault is called slow-db-3; did you mean"
        in (wrong(faults=[twice], budget=["p95 < 1s in slow-db-3"])[0])
    )


def test_a_limit_on_a_repetition_of_a_broken_fault_is_not_blamed() -> None:
    """One mistake, one message."""
    broken = {**LAG, "for": "6s", "every": "5s"}
    assert len(wrong(faults=[broken], budget=["p95 < 1s in slow-db-2"])) == 1


# Random schedules


def test_a_random_schedule_becomes_ordinary_faults() -> None:
    """Numbered in order of time, of the pool's kinds, in one group."""
    found = chaos().faults
    assert [f.name for f in found] == [f"chaos-{number}" for number in range(1, len(found) + 1)]
    assert {(f.group, f.stage) for f in found} == {("chaos", "long")}
    assert {(f.kind, f.on, f.hold_ns) for f in found} == {("latency", "db-link", 5 * S), ("pause", "payment", 3 * S)}
    assert [f.after_ns for f in found] == sorted(f.after_ns for f in found)


def test_a_schedule_without_a_name_is_called_random() -> None:
    """And limits may name it."""
    entry = {"random": {"from": POOL, "rate": "1/2s", "during": "level-500"}}
    found = built(faults=[entry], budget=["p95 < 1s in random"])
    assert {f.group for f in found.faults} == {"random"}
    assert found.faults_in(("random",)) == found.faults


def test_the_plan_of_a_seed_is_this_one() -> None:
    """Runs of last year are judged from their document, so the way of drawing may never change."""
    found = chaos(hold="1m", rate="1/10s", seed=42).faults
    assert [(f.kind, f.after_ns // 1_000_000) for f in found] == [
        ("latency", 1803), ("pause", 17954), ("latency", 21760), ("pause", 22954),
        ("latency", 28760), ("latency", 35760), ("latency", 42760), ("latency", 49760),
    ]  # fmt: skip


def test_the_same_seed_gives_the_same_plan_and_another_another() -> None:
    """Also from the document that a run records."""
    first = chaos(seed=1)
    assert chaos(seed=1).faults == first.faults
    assert from_document(first.document, base_dir="elsewhere").faults == first.faults
    assert len({tuple(f.after_ns for f in chaos(seed=seed).faults) for seed in range(20)}) == 20


def test_the_name_is_part_of_what_is_drawn_from() -> None:
    """Two schedules of one experiment do not move in step; nor does one change when another is added before it."""
    entry = {"from": [{"toxic": "latency", "on": "db-link", "latency": "1ms", "for": "1ms"}], "rate": "1/s"}
    other = {"from": [{"process": "pause", "on": "payment", "for": "1ms"}], "rate": "1/s"}
    one = {"name": "one", "random": {**entry, "during": "level-500"}}
    two = {"name": "two", "random": {**other, "during": "level-500"}}
    both = {f.name: f.after_ns for f in faults_of(one, two)}
    assert {f.name: f.after_ns for f in faults_of(two)}.items() <= both.items()
    assert both["one-1"] != both["two-1"]


def test_faults_come_as_often_as_the_rate_says() -> None:
    """One a minute for an hour, 200 times: sixty each, give or take five standard deviations (Poisson)."""
    pool = [{"toxic": "down", "on": "front", "for": "1ms"}]
    counts = [len(chaos(pool=pool, rate="1/1m", seed=seed).faults) for seed in range(200)]
    assert abs(fmean(counts) - 60) < 5 * math.sqrt(60 / 200)
    spread = fmean((count - 60) ** 2 for count in counts)
    assert 40 < spread < 85, "as uneven as chance: the variance of a Poisson count is its mean"


def test_everything_in_the_pool_is_as_likely() -> None:
    """A third each, give or take five standard deviations."""
    pool = [
        {"toxic": "bandwidth", "on": "front", "rate": "1KB/s", "for": "1ms"},
        {"toxic": "latency", "on": "db-link", "latency": "1ms", "for": "1ms"},
        {"process": "pause", "on": "payment", "for": "1ms"},
    ]
    kinds = Counter(f.kind for seed in range(40) for f in chaos(pool=pool, rate="1/30s", seed=seed).faults)
    total = sum(kinds.values())
    assert all(abs(count - total / 3) < 5 * math.sqrt(total * 2 / 9) for count in kinds.values())
    assert len(kinds) == 3


DURATIONS = st.integers(1, 20)


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 2**53), DURATIONS, DURATIONS, DURATIONS, st.integers(0, 100), st.integers(21, 120))
def test_drawn_faults_never_fight_and_are_healed_in_time(
    seed: int, gap: int, first: int, second: int, after: int, lasts: int
) -> None:
    """On one knob there is a rest between them, whatever is drawn; all is over when the schedule is."""
    pool = [
        {"toxic": "latency", "on": "db-link", "latency": "1ms", "for": f"{first}s"},
        {"toxic": "latency", "on": "db-link", "latency": "9ms", "for": f"{second}s"},
        {"toxic": "down", "on": "front", "for": f"{second}s"},
    ]
    try:
        found = chaos(pool=pool, rate=f"1/{gap}s", seed=seed, **{"after": f"{after}s", "for": f"{lasts}s"}).faults
    except BadInput as error:
        assert "draws no fault" in str(error)
        return
    for on in ("db-link", "front"):
        for one, two in pairwise([f for f in found if f.on == on]):
            assert one.after_ns + one.hold_ns + REST_NS <= two.after_ns
    assert all(after * S <= f.after_ns and f.after_ns + f.hold_ns <= (after + lasts) * S for f in found)


def test_a_drawn_fault_waits_for_what_was_written() -> None:
    """It is never drawn into a fault that is there for certain."""
    fixed = {"toxic": "down", "on": "front", "during": "level-500", "after": "5s", "for": "15s"}
    entry = {"random": {"from": [{"toxic": "down", "on": "front", "for": "1s"}], "rate": "2/s", "during": "level-500"}}
    found = faults_of(entry, fixed)
    assert found[0].group == "random", "in the order of the file"
    drawn = [f for f in found if f.group]
    assert any(f.after_ns < 5 * S for f in drawn)
    assert all(f.after_ns + 3 * S <= 5 * S or f.after_ns >= 22 * S for f in drawn)


def test_two_schedules_on_one_thing_keep_apart() -> None:
    """The second is drawn around the first."""
    pool = [{"toxic": "down", "on": "front", "for": "1s"}]
    entries = [{"name": name, "random": {"from": pool, "rate": "1/6s", "during": "level-500"}} for name in ("a", "b")]
    found = sorted(faults_of(*entries, seed=3), key=lambda f: f.after_ns)
    assert {f.group for f in found} == {"a", "b"}
    assert all(one.after_ns + 3 * S <= two.after_ns for one, two in pairwise(found))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"rate": "1"}, "random.rate: expected a rate such as 1/30s or 2/min, got '1'"),
        ({"rate": "0/s"}, "random.rate: expected a rate such as 1/30s or 2/min, got '0/s'"),
        ({"rate": "1/0s"}, "random.rate: expected a duration above zero, got '0s'"),
        ({"rate": "1/x"}, "random.rate: expected a rate such as 1/30s or 2/min, got '1/x'"),
        ({"rate": "1000/s"}, "random.rate: expected at most 500 faults on average, got about 30000"),
        ({"rate": None}, "random.rate: this key is required, and missing"),
        ({"during": "stress"}, "random.during: no stage is called stress (there are: level-100, level-500, warm); a role is not enough, since a fault belongs to one stage"),
        ({"after": "30s"}, "random.after: expected less than 30s, the hold of level-500, got 30s"),
        ({"for": "31s"}, "random.for: the schedule outlasts level-500: at most 30s of its hold is left, got 31s"),
        ({"for": "4s"}, "random.from[0].for: the fault never fits into the 4s of the schedule, got 5s"),
        ({"rate": "1/1h"}, "random: the seed 935181349 draws no fault that fits into level-500, so nothing would be tried (another seed, a higher rate, or a longer hold)"),
        ({"from": []}, "random.from: expected at least one entry, got a list"),
        ({"from": "latency"}, "random.from: expected a list, got 'latency'"),
        ({"frm": []}, "random.frm: unknown key 'frm'; did you mean from? (known here: from, rate, during, after, for)"),
        ({"from": [{"process": "pause", "on": "payment"}]}, "random.from[0].for: this key is required, and missing"),
        ({"from": [{"process": "pause", "on": "paymnt", "for": "1s"}]}, "random.from[0].on: no service is called paymnt; did you mean payment? (there are: api, db, payment)"),
        ({"from": [{"process": "paus", "on": "payment", "for": "1s"}]}, None),
        ({"from": [{"process": "pause", "on": "payment", "for": "1s", "during": "level-500"}]}, "random.from[0].during: a random schedule draws its faults itself; during has no place in `from`"),
        ({"from": [{"random": {}}]}, None),
        ({"from": ["pause"]}, None),
    ],
)  # fmt: skip
def test_a_schedule_that_makes_no_sense_is_refused(keys: dict[str, object], message: str | None) -> None:
    """One message, with its place."""
    inside = {"from": POOL, "rate": "1/s", "during": "level-500", **keys}
    said = wrong(faults=[{"random": {key: value for key, value in inside.items() if value is not None}}])
    assert len(said) == 1
    assert said[0].startswith("faults[0].random")
    assert message is None or said == [f"faults[0].{message}"]


def test_an_entry_is_a_fault_or_a_schedule() -> None:
    """Not both, and a schedule has no time beside it."""
    inside = {"from": POOL, "rate": "1/s", "during": "level-500"}
    assert "expected only one of the keys" in wrong(faults=[{**LAG, "random": inside}])[0]
    assert wrong(faults=[{"random": inside, "after": "5s"}]) == [
        "faults[0].after: unknown key 'after' (known here: name, random)"
    ]
    assert wrong(faults=[{"random": "often"}]) == ["faults[0].random: expected a mapping, got 'often'"]
    twice = wrong(faults=[{"random": inside}, {"random": inside}])
    assert "faults[1].name: two faults are called random; give each its own name" in twice


def test_all_problems_of_a_schedule_are_told_at_once() -> None:
    """In the keys of the schedule and in its pool."""
    pool = [{"process": "pause", "on": "nobody", "for": "1s"}, {"toxic": "latency", "on": "db", "for": "5"}]
    said = wrong(faults=[{"random": {"from": pool, "rate": "often", "during": "level-500"}}])
    assert [line.split(":")[0] for line in said] == [
        "faults[0].random.rate",
        "faults[0].random.from[1].for",
        "faults[0].random.from[1].latency",
    ]


def test_whole_documents_still_have_their_own_faults() -> None:
    """The example draws nothing."""
    assert all(not f.group and f.select is None for f in from_document(whole(), base_dir=".").faults)
