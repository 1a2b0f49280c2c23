"""A harness that is killed leaves no generator behind: nothing keeps loading the target."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.traffic.target import Target

SCENARIOS = Path(__file__).parent.parent / "traffic" / "scenarios"
PARENT = """
import sys, time
from pathlib import Path
from harness.clock import Inbox, SystemClock
from harness.experiment import TrafficSpec
from harness.traffic import Load
from harness.traffic.locust import LocustTraffic

clock = SystemClock()
spec = TrafficSpec(scenario="paced.py", target="t", timeout_ns=10**9, processes=2)
driver = LocustTraffic(spec, origin_ns=clock.origin_ns, seed=1, base_dir=Path(sys.argv[1]), log_dir=Path(sys.argv[2]))
driver.start(Inbox(), sys.argv[3])
driver.set_load(Load(at_ns=clock.now(), level_from=0, level_to=20, ramp_ns=0))
print(*(child.process.pid for child in driver._children), flush=True)
time.sleep(60)
"""


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    """Whether a condition comes true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return condition()


def alive(pid: int) -> bool:
    """Whether a process is there and not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.e2e
def test_children_of_a_killed_harness_end_at_once(tmp_path: Path) -> None:
    """After kill -9 of the harness, master and workers are gone within a second and the target hears no more."""
    with Target() as target:
        command = [sys.executable, "-c", PARENT, str(SCENARIOS), str(tmp_path), target.address]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
            assert parent.stdout is not None
            children = [int(pid) for pid in parent.stdout.readline().split()]
            assert len(children) == 3
            assert within(5, lambda: target.seen.total() > 10)
            os.kill(parent.pid, signal.SIGKILL)
        assert within(1, lambda: not any(alive(pid) for pid in children))
        heard = target.seen.total()
        time.sleep(1.5)
        assert target.seen.total() == heard
