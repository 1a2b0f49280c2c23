"""What `harness check` prints."""

from __future__ import annotations

from hypothesis import given, settings

from harness.experiment import Experiment
from harness.loader import from_document
from harness.plan import plan
from harness.timeline import WIDTH, timeline, user_seconds
from tests.documents import whole
from tests.test_plan import experiments

EXPECTED = """\
ladder: It carries 1,000 users.

stage        role     users        from  ramp  hold     to
warm         warmup   0 -> 50        0s     -   10s    10s
level-100    stress   50 -> 100     10s   10s   30s    50s
level-500    stress   100 -> 500    50s   10s   30s  1m30s
  ! slow-db  latency  on db-link  1m05s         15s  1m20s  undo: removes the toxic
  ! freeze   pause    on payment  1m20s         10s  1m30s  undo: lets the process go on

                    warm    level-100                          level-500
load               |=========/////////==========================/////////==========================|
slow-db            |                                                         !!!!!!!!!!!!!         |
freeze             |                                                                      !!!!!!!!!|
                    0                                                                         1m30s

total time   1m30s, 3 stages, at most 500 users
user-seconds 22,250
requests     about 4,450, at most 100/s (0.2/s for each user)
traffic      scenarios/checkout.py to front

blast radius hits db-link, payment
             2 faults, at most 1 at once, in force for 25s (27.8% of the run)

must hold    p95 < 500ms in stress  decidable: 600 requests, 80 needed
             cpu of api < 60%
             db_pool_in_use < 8
ends the run errors > 10% for 30s
             (a limit without 'in' holds in every stage but warm-up, each for itself)
"""


def example(**changes: object) -> Experiment:
    """The example document with sections replaced."""
    return from_document({**whole(), **changes}, base_dir=".")


def test_the_timeline_of_a_known_experiment() -> None:
    """The whole text, as a person sees it."""
    found = example()
    text = timeline(found, plan(found), rate_per_user_s=0.2)
    assert text == EXPECTED


def test_without_a_rate_nothing_is_said_about_requests() -> None:
    """How often a user asks is in the scenario, which is not read."""
    found = example()
    text = timeline(found, plan(found))
    assert "requests" not in text
    assert "decidable" not in text


def test_too_few_requests_are_called_so() -> None:
    """P99 needs 415 requests in every window that it is judged in, also in a fault's."""
    found = example(budget=["p99 < 2s", "p99 < 2s in slow-db", "errors < 0.5% in level-100"])
    lines = timeline(found, plan(found), rate_per_user_s=0.02).splitlines()
    said = [line.split("  ")[-1].strip() for line in lines if "needed" in line]
    assert said == [
        "TOO FEW: 60 requests, 415 needed",
        "TOO FEW: 150 requests, 415 needed",
        "TOO FEW: 60 requests, 736 needed",
    ]


def test_no_faults_means_a_blast_radius_of_load_alone() -> None:
    """The radius is stated even when there is nothing in it."""
    found = example(faults=[])
    assert "blast radius no faults: only load reaches the target" in timeline(found, plan(found))


def test_faults_at_one_time_are_counted_together() -> None:
    """The worst instant counts, and time under two faults is not counted twice."""
    faults = [
        {"toxic": "latency", "latency": "1s", "on": "front", "during": "level-100", "for": "10s"},
        {"toxic": "latency", "latency": "1s", "on": "db", "during": "level-100", "after": "5s", "for": "10s"},
    ]
    found = example(faults=faults)
    assert "2 faults, at most 2 at once, in force for 15s" in timeline(found, plan(found))


def test_a_fault_of_a_moment_is_still_drawn() -> None:
    """A fault that is shorter than a column gets one mark."""
    found = example(faults=[{"name": "blip", "toxic": "down", "on": "front", "during": "level-500", "for": "1ms"}])
    (bar,) = [line for line in timeline(found, plan(found)).splitlines() if line.startswith("blip")]
    assert bar.count("!") == 1


def test_user_seconds_are_the_area_under_the_line() -> None:
    """50 x 10 s + 75 x 10 s + 100 x 30 s + 300 x 10 s + 500 x 30 s."""
    assert user_seconds(plan(example())) == 500 + 750 + 3000 + 3000 + 15000


@settings(deadline=None, max_examples=50)
@given(experiments())
def test_no_line_is_wider_than_a_screen(experiment: Experiment) -> None:
    """At most 100 columns, printable, and every stage and fault is named."""
    text = timeline(experiment, plan(experiment), rate_per_user_s=1.0)
    assert max(map(len, text.splitlines())) <= WIDTH
    assert text.isascii()
    names = [stage.name for stage in experiment.stages] + [fault.name for fault in experiment.faults]
    assert all(name in text for name in names)


def test_long_names_are_shortened_in_the_picture_only() -> None:
    """63 characters do not fit beside a bar; the table still tells them."""
    long = "f" * 63
    found = example(
        why="word " * 60,
        faults=[{"name": long, "toxic": "down", "on": "front", "during": "level-500"}],
    )
    text = timeline(found, plan(found))
    assert max(map(len, text.splitlines())) <= WIDTH
    assert long in text
