"""From process usages to metrics, on literal numbers."""

from __future__ import annotations

import pytest

from harness.clients.process import Usage
from harness.errors import HarnessError
from harness.probes.process import ProcessProbe, cpu_s, gauges


def usage(pid: int, *, open_files: int | None = 3) -> Usage:
    """A process with 10 MB and two threads."""
    return Usage(pid=pid, started_at=1.0, cpu_s=1.0, rss_bytes=10_000_000, threads=2, open_files=open_files)


def test_gauges_add_up_over_the_tree() -> None:
    """Parent and child."""
    assert gauges((usage(1), usage(2)), host_bytes=100_000_000) == {
        "rss_bytes": 20_000_000,
        "memory": 0.2,
        "threads": 4,
        "open_files": 6,
    }


def test_open_files_are_left_out_when_one_may_not_be_seen() -> None:
    """A part of a sum is no sum."""
    assert "open_files" not in gauges((usage(1), usage(2, open_files=None)), host_bytes=100)


def test_a_child_that_ended_takes_no_cpu_away() -> None:
    """Nor does one that was born since lose what it has used."""
    last = {(1, 1.0): 10.0, (2, 1.0): 50.0}
    now = {(1, 1.0): 11.0, (3, 2.0): 0.5}
    assert cpu_s(now, last) == 1.5


def test_a_recycled_pid_is_another_process() -> None:
    """Its CPU counts from its own beginning."""
    assert cpu_s({(2, 9.0): 0.25}, {(2, 1.0): 50.0}) == 0.25


def test_a_service_that_does_not_run_raises() -> None:
    """By its name."""
    with pytest.raises(HarnessError, match="payment does not run"):
        ProcessProbe(lambda: None, of="payment").read()
