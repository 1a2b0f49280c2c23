"""What `harness check` prints."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from harness.experiment import Experiment
from harness.loader import from_document
from harness.plan import plan
from harness.testing import arrivals_document
from harness.timeline import WIDTH, timeline, user_seconds
from tests.documents import whole
from tests.test_plan import experiments

EXPECTED = """\
ladder: It carries 1,000 users.

stage        role     users        from  ramp  hold     to
warm         warmup   0 -> 50        0s     -   10s    10s
level-100    stress   50 -> 100     10s   10s   30s    50s
level-500    stress   100 -> 500    50s   10s   30s  1m30s
  ! slow-db  latency  on db-link  1m05s         15s  1m20s
  ! freeze   pause    on payment  1m20s         10s  1m30s

                    warm    level-100                          level-500
load               |=========/////////==========================/////////==========================|
slow-db            |                                                         !!!!!!!!!!!!!         |
freeze             |                                                                      !!!!!!!!!|
                    0                                                                         1m30s

total time   1m30s, 3 stages, at most 500 users
user-seconds 22,250
requests     about 4,450, at most 100/s (0.2/s for each user)
traffic      scenarios/checkout.py to front
seed         935181349

healing      toxic latency: removes the toxic
             process pause: lets the process go on

blast radius hits db-link, payment
             2 faults, at most 1 at once, in force for 25s (27.8% of the run)

must hold    p95 < 500ms in stress  decidable: 600 requests, 80 needed
             cpu of api < 60%
             db_pool_in_use < 8
ends the run errors > 10% for 30s
             (a limit without 'in' holds in every stage but warm-up, each for itself)
"""


DRAWN = """\
ladder: It carries 1,000 users.

stage          role     users                        from  ramp  hold     to
warm           warmup   0 -> 50                        0s     -   10s    10s
level-100      stress   50 -> 100                     10s   10s   30s    50s
  ! slow-db-1  latency  on db-link                    20s          2s    22s
  ! slow-db-2  latency  on db-link                    30s          2s    32s
  ! kill-the-checkout-or-whatever-answers-for-it-in-this-country
               kill     on service api-gateway (2)    40s         10s    50s
level-500      stress   100 -> 500                    50s   10s   30s  1m30s
  ! chaos-1    down     on front                    1m17s          3s  1m20s
  ! chaos-2    pause    on payment                  1m20s          2s  1m22s
  ! chaos-3    pause    on payment                  1m26s          2s  1m28s

                    warm  level-100                 level-500
load               |=======//////====================//////====================|
slow-db            |             !      !                                      |
kill-the-checkout~ |                          !!!!!!!                          |
chaos              |                                                  !!!!  !! |
                    0                                                     1m30s

total time   1m30s, 3 stages, at most 500 users
user-seconds 22,250
traffic      scenarios/checkout.py to front
drawn with   seed 7: chaos (3 faults), which of service api-gateway (2)

healing      toxic latency: removes the toxic
             container kill: starts the container again
             toxic down: enables the proxy
             process pause: lets the process go on
IRREVERSIBLE accepted for
             kill-the-checkout-or-whatever-answers-for-it-in-this-country (kill
             on service api-gateway (2))

blast radius hits db-link, service api-gateway (2), front, payment
             6 faults, at most 1 at once, in force for 21s (23.3% of the run)

must hold    p95 < 500ms in slow-db
ends the run errors > 10% for 30s
"""


def example(**changes: object) -> Experiment:
    """The example document with sections replaced."""
    return from_document({**whole(), **changes}, base_dir=".")


def test_the_timeline_of_a_known_experiment() -> None:
    """The whole text, as a person sees it."""
    found = example()
    text = timeline(found, plan(found), rate_per_user_s=0.2)
    assert text == EXPECTED


def drawn(seed: int, width: int = 80) -> str:
    """The timeline of repeated, chosen and random faults."""
    faults = [
        {"name": "slow-db", "toxic": "latency", "on": "db", "latency": "1s", "during": "level-100",
         "for": "2s", "every": "10s", "times": 2},
        {"name": "kill-the-checkout-or-whatever-answers-for-it-in-this-country", "container": "kill",
         "on": {"service": "api-gateway"}, "mode": 2, "irreversible": "accepted", "during": "level-100",
         "after": "20s"},
        {"name": "chaos", "random": {
            "from": [{"toxic": "down", "on": "front", "for": "3s"}, {"process": "pause", "on": "payment", "for": "2s"}],
            "rate": "1/5s", "during": "level-500"}},
    ]  # fmt: skip
    found = example(faults=faults, budget=["p95 < 500ms in slow-db"], seed=seed)
    return timeline(found, plan(found), width=width)


def test_the_timeline_of_what_is_repeated_and_drawn() -> None:
    """Every instant, whoever is drawn from, the seed, and what nothing takes back, in 80 columns."""
    assert drawn(7) == DRAWN


def test_another_seed_draws_another_plan_and_says_so() -> None:
    """The whole of what chance decides is before a person's eyes."""
    assert "seed 8: chaos" in drawn(8)
    assert drawn(8).replace("seed 8", "seed 7") != drawn(7)


@pytest.mark.parametrize("width", [0, 72, 80, 100, 500])
def test_a_screen_is_filled_and_never_left(width: int) -> None:
    """72 columns at least, 100 at most; names that find no room have a line of their own."""
    lines = drawn(7, width).splitlines()
    assert max(map(len, lines)) <= max(72, min(width, 100))
    assert any("kill-the-checkout-or-whatever-answers-for-it-in-this-country" in line for line in lines)


def test_healing_is_told_only_of_what_is_healed() -> None:
    """A command without a way back is among what was accepted as irreversible, and nothing else is said of it."""
    run = {"command": "run", "on": "flag", "inject": "./flag.sh off", "during": "level-100", "for": "5s"}
    lost = example(faults=[{**run, "irreversible": "accepted"}])
    lines = timeline(lost, plan(lost)).splitlines()
    assert not any(line.startswith("healing") for line in lines)
    assert "IRREVERSIBLE accepted for run-flag (run on flag)" in lines
    kept = example(faults=[{**run, "heal": "./flag.sh on"}])
    assert any(line.startswith("healing      command run: ") for line in timeline(kept, plan(kept)).splitlines())
    assert "IRREVERSIBLE" not in timeline(kept, plan(kept))


def test_of_many_equal_repetitions_the_first_and_the_last_are_told() -> None:
    """Thirty rows would hide the rest."""
    fault = {"name": "blink", "toxic": "down", "on": "front", "during": "level-100", "for": "100ms", "every": "1s"}
    lines = timeline(found := example(faults=[fault], budget=[]), plan(found)).splitlines()
    assert [line.split()[1:4] for line in lines if "  ! " in line] == [
        ["blink-1", "down", "on"],
        ["28", "more", "down"],
        ["blink-30", "down", "on"],
    ]
    assert "every 1s" in next(line for line in lines if "28 more" in line)
    assert sum(line.startswith("blink") for line in lines) == 1, "one bar for all"


def test_a_limit_on_a_repeated_fault_is_decided_on_each() -> None:
    """Two seconds of 100 users at one request each second do not suffice for P95 twice."""
    fault = {"name": "slow", "toxic": "down", "on": "front", "during": "level-100", "for": "2s", "every": "10s"}
    found = example(faults=[fault], budget=["p99 < 1s in slow", "p99 < 1s in slow-2"])
    lines = timeline(found, plan(found), rate_per_user_s=1.0).splitlines()
    assert [line.rpartition("  ")[2] for line in lines if "needed" in line] == ["TOO FEW: 200 requests, 415 needed"] * 2


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


def test_a_step_that_may_outlast_its_fault_is_told() -> None:
    """Two minutes of deployment within 15 s in force: nothing would be measured."""
    keys = {"command": "run", "on": "api", "name": "deploy", "inject": "true", "heal": "true", "during": "level-500"}
    for timeout, told in (("2m", True), ("10s", False)):
        document = {**whole(), "faults": [{**keys, "for": "15s", "timeout": timeout}]}
        experiment = from_document(document, base_dir="")
        text = timeline(experiment, plan(experiment))
        assert ("slow         deploy may take longer to come into force" in text) is told


ARRIVALS = """\
stage       role    rate                     from  ramp  hold     to
warm        warmup  0/s -> 100/s               0s    2s    6s     8s
morning     steady  100/s -> 300/s -> 50/s     8s     -   20s    28s
rate-100    stress  50/s -> 100/s             28s    4s   30s  1m02s
rate-200    stress  100/s -> 200/s          1m02s    4s   30s  1m36s
  ! freeze  pause   on api                  1m16s          2s  1m18s
rate-400    stress  200/s -> 400/s          1m36s    4s   30s  2m10s

                    wa~ morning      rate-100            rate-200             rate-400
load               |/====////===\\\\\\\\\\//===================//==================///==================|
freeze             |                                              !                                |
                    0                                                                         2m10s

total time   2m10s, 5 stages, at most 400/s
iterations   about 28,200, poisson arrivals
users busy   200 if an iteration takes 500ms, 800 if an iteration takes 2s; at most 500 (Little's
             law: rate x time)
traffic      scenarios/mix.py to front
seed         7
"""


def at_rates() -> Experiment:
    """A curve, three rates and a freeze."""
    curve = ((0, 100), (6, 300), (12, 300), (20, 50))
    document = arrivals_document((100, 200, 400), curve=curve, ramp_s=4, hold_s=30, max_users=500, seed=7)
    return from_document(document, base_dir=".")


def test_the_timeline_of_arrivals() -> None:
    """Rates with their unit, a curve drawn as it runs, and how many users the budget's limits keep busy."""
    found = at_rates()
    assert ARRIVALS in timeline(found, plan(found))


def test_a_rate_tells_without_a_scenario_what_can_be_decided() -> None:
    """The area under the line: 30 s at 100/s are 3,000 iterations, each of one request or more."""
    found = at_rates()
    text = timeline(found, plan(found))
    assert "p95 < 500ms                decidable: 3,000 requests" in text
    assert "errors < 0.5% in rate-400  decidable: 12,000 requests" in text


def test_a_limit_of_one_declared_request_is_decided_by_its_share() -> None:
    """Three lists to one purchase of two requests: of 1,000 iterations 250 ask for each of the two."""
    buy = {"name": "buy", "steps": [{"get": "/p", "name": "p"}, {"post": "/c", "name": "c"}]}
    traffic = {"requests": [{"name": "list", "weight": 3, "get": "/"}, buy], "target": "web"}
    document = {
        "name": "x",
        "why": "y",
        "stack": {"external": {"web": "http://127.0.0.1:1"}},
        "traffic": traffic,
        "stages": [{"name": "s", "rate": "100/s", "hold": "10s"}],
        "budget": ["p95 < 1s", 'p95 of "POST c" < 1s'],
    }
    found = from_document(document, base_dir=".")
    text = timeline(found, plan(found))
    assert "decidable: 1,250 requests" in text
    assert "decidable: 250 requests" in text


def test_a_curve_of_many_corners_is_told_by_its_ends_and_its_peak() -> None:
    """A row of a table has no room for a whole day; the area is that under every corner."""
    curve = ((0, 10), (2, 20), (4, 90), (6, 30), (8, 40))
    document = arrivals_document((10, 20), curve=curve, ramp_s=1, hold_s=9, max_users=500, seed=7)
    found = from_document(document, base_dir=".")
    assert "10/s -> 40/s, peak 90/s" in timeline(found, plan(found))
    assert user_seconds(plan(found)) == pytest.approx(10 + 60 + 30 + 110 + 120 + 70 + 25 + 90 + 15 + 180)
