"""Target or generator: whose the numbers of a run are, in one line."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.evidence import Defect, Evidence
from harness.evidence.measure import measure
from harness.journal import LAST_STEP, OTHER_LOAD, Generator, SelfTest, Traffic
from harness.reports.generator import generator_of
from harness.reports.words import NO_VALUE
from harness.testing import synthetic_arrivals
from tests.reports.samples import arrivals, empty_evidence, ladder, small_arrivals


def limited(evidence: Evidence, *stages: str, kind: str = "generator limited") -> Evidence:
    """The same with a defect of the generator in some stages."""
    defect = Defect(kind=kind, flatters=False, detail="the load generator, not the target, was at its limit: CPU 92%")
    windows = tuple(
        replace(one, defects=(defect,)) if one.stage in stages and not one.fault else one for one in evidence.windows
    )
    return replace(evidence, windows=windows)


def test_a_generator_that_kept_up_leaves_the_target() -> None:
    """With the numbers that show it; an older journal has no lateness of starts, and none is invented."""
    blame = generator_of(ladder()[1]).blame
    assert blame.startswith("Target: latency and errors are its own, the generator kept up (busiest worker 56 %")
    assert "loop lag P99 900 µs)" in blame


def test_arrivals_that_a_slow_target_kept_waiting_are_its_own() -> None:
    """How many of how many did not start, at how many busy users."""
    blame = generator_of(arrivals()[1]).blame
    assert blame.startswith("Target: it kept all 500 users waiting, so 685 of 25,315 arrivals did not start;")
    assert "starts 1.4 ms late at P99" in blame


def test_a_generator_at_its_limit_is_named_with_its_window() -> None:
    """The first window and how many more; a warm-up's does not count."""
    evidence = ladder()[1]
    one, two = limited(evidence, "level-5000"), limited(evidence, "level-1000", "level-5000")
    assert generator_of(one).blame == "Generator: CPU 92% (level-5000)"
    assert generator_of(two).blame.endswith("(level-1000, and 1 more window)")
    assert generator_of(limited(evidence, "warm")).blame.startswith("Target: ")


@pytest.mark.parametrize("kind", ["worker lost", "clock jump"])
def test_other_ends_of_the_load_are_the_generators(kind: str) -> None:
    """A worker that died and a machine that slept are no fault of the target."""
    assert generator_of(limited(ladder()[1], "level-500", kind=kind)).blame.startswith("Generator: ")


def test_users_that_send_nothing_say_nothing_of_the_target() -> None:
    """A task may do nothing on the wire: its arrivals begin in time, and there is no latency to be anybody's."""
    quiet = measure([event for event in synthetic_arrivals() if not isinstance(event, Traffic)])
    assert generator_of(quiet).blame.startswith("Nobody: not one request was sent")


def test_a_generator_that_said_nothing_is_not_the_target() -> None:
    """Seconds without its rows are its own; a run without a window has nobody to blame."""
    silent = measure([event for event in synthetic_arrivals() if not isinstance(event, Generator | SelfTest)])
    told, empty = generator_of(silent), generator_of(empty_evidence())
    assert told.blame == "Generator: the generator reported 0 of 20 seconds (morning, and 3 more windows)"
    assert (told.rows, told.self_test) == ((), "")
    assert (empty.blame, empty.rows, empty.self_test) == ("", (), "")


def test_the_self_test_stands_beside_the_plan() -> None:
    """What was measured, and the most that was planned; a plan beyond it says so."""
    evidence = arrivals()[1]
    told = generator_of(evidence).self_test
    assert told == (
        "This machine's generator carried 12,300/s (FastUser, 2 workers) at loop lag P99 8 ms; planned at most 400/s"
    )
    assert evidence.self_test is not None
    weak = replace(evidence, self_test=replace(evidence.self_test, per_s=300.0, workers=1))
    assert generator_of(weak).self_test.endswith("planned at most 400/s, more than that")
    assert "1 worker)" in generator_of(weak).self_test
    assert weak.self_test is not None
    least = replace(evidence, self_test=replace(weak.self_test, rate_bound=LAST_STEP))
    assert "carried at least 300/s" in generator_of(least).self_test
    assert generator_of(least).self_test.endswith("planned at most 400/s")
    untried = replace(evidence, self_test=replace(weak.self_test, per_s=0.0, rate_bound=OTHER_LOAD))
    assert generator_of(untried).self_test.startswith("What this machine's generator carries is not known: ")


def test_the_table_has_a_row_for_each_stage() -> None:
    """In arrivals a second what was wanted on average, what did not start, what began, who was busy."""
    told = generator_of(small_arrivals()[1])
    rows = {row[0]: dict(zip(told.heads, row, strict=True)) for row in told.rows}
    assert list(rows) == ["warm", "morning", "rate-10", "rate-20", "rate-40"]
    assert rows["morning"]["Wanted"] == "16.2/s"
    assert (rows["rate-20"]["Wanted"], rows["rate-20"]["Not started"]) == ("20/s", "11")
    assert rows["rate-40"]["GC"] == "0.25 %"


def test_an_older_journal_leaves_open_what_it_does_not_tell() -> None:
    """No lateness of starts, no sockets and no garbage collection is not zero of them."""
    told = generator_of(ladder()[1])
    row = dict(zip(told.heads, told.rows[-1], strict=True))
    assert (row["Wanted"], row["Users"]) == ("5,000", "5,000")
    assert (row["Start lag P99"], row["Sockets"], row["GC"]) == (NO_VALUE,) * 3
    assert "Not started" not in told.heads


def test_many_workers_are_told_by_their_extremes() -> None:
    """Four shares can be read, forty cannot."""
    evidence = ladder()[1]
    cpus = tuple((worker, worker / 100) for worker in range(1, 41))
    windows = tuple(replace(one, generator=replace(one.generator, cpus=cpus)) for one in evidence.windows)
    told = generator_of(replace(evidence, windows=windows))
    assert dict(zip(told.heads, told.rows[0], strict=True))["CPU by worker"] == "1 % to 40 % (40 workers)"
