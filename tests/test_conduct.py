"""What `harness run` does before anything is touched: whose it says it is, and which signals it hears."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import opening
from harness.clock import SystemClock
from harness.conduct import _Signals
from harness.ledger import read
from harness.result import RunFolder
from tests.documents import built


@pytest.fixture
def hangup() -> Iterator[None]:
    """SIGHUP is as it was, afterwards."""
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hangup")
def test_nohup_means_that_a_closed_terminal_ends_nothing() -> None:
    """nohup(1) has it ignored before we start; every other signal is heard."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with _Signals() as signals:
        signals.tell = lambda _: None
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGTERM)
        assert (signals.received, signals.count) == ("SIGTERM", 1)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


@pytest.mark.usefixtures("hangup")
def test_without_nohup_a_closed_terminal_is_heard() -> None:
    """It heals and ends, as for Ctrl-C."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    with _Signals() as signals:
        signals.tell = lambda _: None
        os.kill(os.getpid(), signal.SIGHUP)
        assert signals.received == "SIGHUP"


def test_a_user_without_a_name_has_a_ledger_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container under a number that /etc/passwd does not know."""
    monkeypatch.setenv("HARNESS_STATE", str(tmp_path))
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 2**22 + 1)
    made = opening.ledger(built(), RunFolder(tmp_path / "r"), SystemClock())
    opened = read(made.path).opened
    assert opened is not None
    assert opened.user == f"uid {2**22 + 1}"
