"""Locks: one harness at a target, released by the kernel, never adopted."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import BadInput
from harness.locks import Owner, hold, keys
from tests.documents import built

OWNER = Owner(run="r-1", experiment="ladder", user="ann", pid=42, since="2026-01-02T03:04:05")
OTHER = """
import sys, time
from harness.locks import Owner, hold
hold((sys.argv[1],), Owner(run="r-2", experiment="far", user="bob", pid=7, since="then"))
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder of the test's own."""
    monkeypatch.setenv("HARNESS_STATE", str(tmp_path))
    return tmp_path


@pytest.fixture
def other() -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock `there`."""
    with subprocess.Popen([sys.executable, "-c", OTHER, "there"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def files(state: Path) -> list[Path]:
    """The lock files that there are."""
    return list((state / "locks").iterdir())


def test_a_taken_lock_is_refused_with_everything_about_its_holder(other: subprocess.Popen[str]) -> None:
    """Run, experiment, user, pid and since when; and what to do."""
    assert other.poll() is None
    with pytest.raises(BadInput, match=r"\(there\): run r-2 of experiment far, user bob, pid 7, since then") as caught:
        hold(("there",), OWNER)
    assert "harness halt" in caught.value.hint


def test_the_kernel_releases_the_lock_of_a_process_that_is_killed(other: subprocess.Popen[str]) -> None:
    """No stale lock, no adoption: SIGKILL, and it is free."""
    other.send_signal(signal.SIGKILL)
    other.wait(5)
    hold(("there",), OWNER).release()


def test_after_a_refusal_no_lock_is_kept(other: subprocess.Popen[str], state: Path) -> None:
    """Several keys: all or none, whatever their order."""
    with pytest.raises(BadInput):
        hold(("a", "there", "z"), OWNER)
    assert other.poll() is None
    assert len(files(state)) == 1
    hold(("a", "z"), OWNER).release()


def test_a_lock_is_free_after_the_with_and_its_file_gone(state: Path) -> None:
    """Nothing is left in the state folder."""
    with hold(("a", "b"), OWNER):
        assert len(files(state)) == 2
        assert all((file.stat().st_mode & 0o777) == 0o600 for file in files(state))
        with pytest.raises(BadInput, match="pid 42"):
            hold(("b",), OWNER)
    assert not files(state)
    hold(("a", "b"), OWNER).release()


def test_a_child_does_not_keep_the_lock() -> None:
    """What a run starts may outlive it: it must not hold its lock."""
    held = hold(("a",), OWNER)
    with subprocess.Popen(["sleep", "30"], close_fds=False) as child:
        held.release()
        hold(("a",), OWNER).release()
        child.kill()


def test_a_file_that_was_removed_while_we_opened_it_is_no_lock(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last holder unlinks before it lets go: who opened it just before takes a new one, which all others see."""
    import fcntl

    first = hold(("a",), OWNER)
    (path,) = files(state)
    real, removed = fcntl.flock, list[Path]()

    def flock(file: int, how: int) -> None:
        if not removed:
            removed.append(path)
            first.release()
        real(file, how)

    monkeypatch.setattr("fcntl.flock", flock)
    held = hold(("a",), OWNER)
    assert removed
    assert files(state) == [path]
    with pytest.raises(BadInput):
        hold(("a",), OWNER)
    held.release()


def test_a_holder_that_has_not_written_its_name_yet_is_refused_all_the_same(state: Path) -> None:
    """Between the lock and its text there is an instant."""
    held = hold(("a",), OWNER)
    (path,) = files(state)
    path.write_text("")
    with pytest.raises(BadInput, match="not said yet"):
        hold(("a",), OWNER)
    held.release()


def test_what_a_run_starts_itself_has_no_key() -> None:
    """Two runs of a process stack with a server of their own go side by side."""
    assert keys(built()) == ()


def test_addresses_proxies_and_containers_of_others_are_keys() -> None:
    """One spelling for one place; a selector by its pattern."""
    experiment = built(
        stack={"external": {"api": "http://localhost:8080/x", "db": "DB.example:5432", "payment": "127.0.0.1:1"}},
        toxiproxy="http://127.0.0.1:8474",
        faults=[
            {"name": "freeze", "container": "pause", "on": "cache-1", "during": "level-500", "after": "20s"},
            {
                "name": "part",
                "container": "partition",
                "on": "left",
                "from": "right",
                "during": "level-100",
                "for": "5s",
            },
        ],
        probes=[{"container": "store", "every": "1s"}],
        budget=["p95 < 500ms in stress"],
    )
    assert keys(experiment) == (
        "127.0.0.1:1",
        "127.0.0.1:8080",
        "Toxiproxy 127.0.0.1:8474 proxy db-link",
        "Toxiproxy 127.0.0.1:8474 proxy front",
        "container cache-1",
        "container left",
        "container right",
        "container store",
        "db.example:5432",
    )
