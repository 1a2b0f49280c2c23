"""Windows of a run whose load is a rate of arrivals, and of journals that were written before there were any."""

from __future__ import annotations

import json

import pytest

from harness.evidence import Window
from harness.evidence.measure import measure
from harness.journal import decode, encode
from harness.testing import synthetic_ladder
from tests.reports.samples import arrivals, small_arrivals

NEW = {
    "Generator": ("not_started", "start_lag", "sockets", "gc_us"),
    "LoadSet": ("unit", "rate_from", "rate_to"),
    "StageEntered": ("rate",),
}


def window(stage: str) -> Window:
    """The hold of a stage of the seeded run."""
    found = arrivals()[1].window(stage)
    assert found is not None
    return found


def test_a_window_tells_what_was_intended_and_what_began() -> None:
    """The rate of the stage, the mean of the planned line (on a curve not the same), and what was achieved."""
    held, curved = window("rate-200"), window("morning")
    assert (held.unit, held.users, held.rate, held.level) == ("rate", 0, 200.0, 200.0)
    assert held.intended == pytest.approx(200.0)
    assert held.begun_per_s == pytest.approx(200.0, rel=0.05)
    assert (curved.rate, curved.intended) == (50.0, pytest.approx(220.0))


def test_users_are_those_that_were_busy() -> None:
    """Few as a rule, hundreds while the target was frozen."""
    assert window("rate-100").generator.users_max < 20
    assert window("rate-200").generator.users_max > 300


def test_arrivals_that_did_not_start_are_a_defect_that_flatters() -> None:
    """Only where the pool was at its limit; with how many of how many."""
    clean, short = window("rate-200"), window("rate-400")
    assert (clean.generator.not_started, clean.defects) == (0, ())
    (defect,) = short.defects
    assert (defect.kind, defect.flatters) == ("arrivals not started", True)
    assert f"{short.generator.not_started:,} of {short.generator.due:,} arrivals" in defect.detail


def test_the_generator_tells_of_each_worker_and_of_all() -> None:
    """CPU by worker, lateness of starts merged, sockets and files of all workers together."""
    seen = window("rate-400").generator
    assert [worker for worker, _ in seen.cpus] == [1, 2]
    assert seen.cpu_max == max(cpu for _, cpu in seen.cpus)
    assert seen.start_lag_p99_us == pytest.approx(1_400, rel=0.01)
    assert (seen.sockets_max, seen.files_max) == (seen.users_max + 10, seen.users_max + 80)
    assert seen.gc_us == 2 * 2_500 * len(window("rate-400").seconds)


def test_a_freeze_is_in_the_latency() -> None:
    """2 s of silence in 12 s of uniform arrivals: their P99 is what an open loop must see, nearly all of the freeze."""
    frozen = small_arrivals()[1].window("rate-20")
    assert frozen is not None
    assert frozen.total.latency.max_us == pytest.approx(2_000_000, rel=0.05)


def test_a_journal_of_an_older_version_reads_the_same() -> None:
    """Without the fields of the open model every window is as it was with them."""
    events = synthetic_ladder(hold_s=6, ramp_s=2, warmup_s=2)
    old = []
    for event in events:
        tree = json.loads(encode(event))
        kept = {key: value for key, value in tree.items() if key not in NEW.get(tree["event"], ())}
        old.append(decode(json.dumps(kept)))
    assert measure(old).windows == measure(events).windows
    (first, *_) = measure(old).windows
    assert (first.unit, first.rate, first.generator.start_lag_p99_us) == ("users", 0.0, None)
