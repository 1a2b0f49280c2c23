"""The wall clock is set while a fault is in force: nothing that heals may notice."""

from __future__ import annotations

import ast
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

import harness
from harness.clients.process import is_still, started_at
from harness.healing.hand import alive, boot, reaped
from harness.ledger import Account, Opened, Watched

HOUR_S = 3600.0
SOURCE = Path(harness.__file__).parent
WALL = {
    "time.time",
    "time.time_ns",
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "time.localtime",
    "time.gmtime",
}
ALLOWED = {"clock.py", "traffic/child/measured.py", "traffic/fast/answer.py", "traffic/fast/cookies.py"}
"""`wall_now`, for headers and names of folders; the `start_time` of Locust's request event, which is a date; the
expiry of cookies, which servers say as a date (RFC 6265)."""


@pytest.fixture
def an_hour_later(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What setting the clock does to whoever asks it: also to psutil's start times, which are boot time plus ticks."""
    now, created = time.time, psutil.Process.create_time
    monkeypatch.setattr(time, "time", lambda: now() + HOUR_S)
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: created(self) + HOUR_S)
    yield


def test_a_process_stays_itself_when_the_clock_is_set(request: pytest.FixtureRequest) -> None:
    """Were the identity on the wall clock, a paused process would be a stranger, and stay paused."""
    pid = os.getpid()
    before = started_at(pid)
    request.getfixturevalue("an_hour_later")
    assert started_at(pid) == before
    assert is_still(pid, before)


def test_a_run_and_its_reaper_stay_alive_when_the_clock_is_set(request: pytest.FixtureRequest) -> None:
    """Else somebody would heal under a run that goes on, and it would inject again."""
    opened = Opened(
        schema=1, run="r", experiment="e", folder="", user="me", wall="", pid=os.getpid(),
        pid_started=started_at(os.getpid()) or 0.0, boot=boot(), origin_ns=0,
    )  # fmt: skip
    watched = Watched(pid=opened.pid, pid_started=opened.pid_started)
    account = Account(path=Path(), opened=opened, watched=watched, open=(), closed=False, damaged=())
    request.getfixturevalue("an_hour_later")
    assert alive(opened)
    assert reaped(account)
    assert not alive(replace(opened, boot="another"))


def test_no_duration_lease_or_limit_is_measured_on_the_wall_clock() -> None:
    """Every clock that is asked in harness/ is monotonic, but for the one that dates a run."""
    asked = {
        f"{path.relative_to(SOURCE)}: {name}"
        for path in SOURCE.rglob("*.py")
        if str(path.relative_to(SOURCE)) not in ALLOWED
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and (name := ast.unparse(node)) in WALL
    }
    assert not asked
