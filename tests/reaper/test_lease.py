"""The reaper and its lease, as real processes: it heals when its run is dead or silent, and only then."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.clients.poll import poll
from harness.clients.process import started_at
from harness.errors import EnvironmentBroke
from harness.healing.hand import boot, reaped
from harness.ledger import Injected, Intended, Ledger, Opened, Undo, read
from harness.reaper.__main__ import leave_cgroups
from harness.reaper.lease import ReaperLease
from harness.units import NS_PER_S


def soon(condition: Callable[[], bool], seconds: float = 10) -> bool:
    """Whether it comes true in time."""
    return poll(condition, int(seconds * NS_PER_S))


class Scene:
    """A ledger with one command fault in force, whose healing removes a file."""

    def __init__(self, folder: Path) -> None:
        self.flag = folder / "in-force"
        self.flag.touch()
        self.logs = folder / "logs"
        self.path = folder / "r.jsonl"
        self.holder: subprocess.Popen[str] | None = None

    def open(self, pid: int) -> Ledger:
        """The ledger of a run that is that process."""
        opened = Opened(
            schema=1, run="r", experiment="e", folder=str(self.path.parent), user="me", wall="", pid=pid,
            pid_started=started_at(pid) or 0.0, boot=boot(), origin_ns=0,
        )  # fmt: skip
        ledger = Ledger.create(opened, self.path)
        params = {"inject": "true", "heal": f"rm -f {self.flag}", "timeout": 5000, "shell": False}
        undo = Undo(
            name="flag", driver="command", kind="run", on="x", params=params, before={"path": os.environ["PATH"]}
        )
        ledger.append(Intended(undo=undo))
        ledger.append(Injected(name="flag"))
        return ledger

    @contextmanager
    def held(self, lease_ns: int = 5 * NS_PER_S) -> Iterator[subprocess.Popen[str]]:
        """A process that holds the lease, in a session of its own."""
        words = [sys.executable, "-m", "tests.reaper.holder", str(self.path), str(self.logs), str(lease_ns)]
        holder = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, start_new_session=True)
        self.open(holder.pid)
        assert holder.stdout is not None
        try:
            assert holder.stdout.readline() == "held\n"
            yield holder
        finally:
            holder.kill()
            holder.wait()
            holder.stdout.close()
            assert soon(lambda: not reaped(read(self.path)) if self.path.exists() else True)

    @property
    def reaper(self) -> int:
        """The reaper's pid, from the ledger."""
        watched = read(self.path).watched
        assert watched is not None
        return watched.pid


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A fault in force."""
    return Scene(tmp_path)


def test_when_the_run_is_killed_the_reaper_heals_at_once_and_ends(scene: Scene) -> None:
    """SIGKILL: the end of the pipe tells it, long before the lease would lapse; the ledger goes."""
    with scene.held() as holder:
        began = time.monotonic()
        holder.kill()
        assert soon(lambda: not scene.flag.exists(), 4)
        assert time.monotonic() - began < 4
        assert soon(lambda: not scene.path.exists())
    assert soon(lambda: "the harness died; its reaper healed 1 of 1" in (scene.logs / "reaper.log").read_text())


def test_a_run_that_is_silent_for_its_lease_is_ended_before_its_faults_are_healed(scene: Scene) -> None:
    """Stopped with SIGSTOP it could wake up later and inject more: so it is killed first."""
    with scene.held(lease_ns=NS_PER_S) as holder:
        holder.send_signal(signal.SIGSTOP)
        assert soon(lambda: not scene.flag.exists())
        assert holder.wait(5) == -signal.SIGKILL
    assert soon(lambda: "hung, so it was ended" in (scene.logs / "reaper.log").read_text())


def test_the_reaper_outlives_what_ends_its_runs_session(scene: Scene) -> None:
    """Hang-up, interrupt and termination of the reaper itself and of the whole group of the run: it stays and heals."""
    with scene.held() as holder:
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            os.kill(scene.reaper, number)
        os.killpg(holder.pid, signal.SIGKILL)
        assert soon(lambda: not scene.flag.exists())


def test_a_released_reaper_ends_and_heals_nothing(scene: Scene) -> None:
    """The run has healed itself, or knows that it could not."""
    lease = ReaperLease(scene.open(os.getpid()), log_dir=scene.logs, drivers=("command",))
    lease.start()
    pid = scene.reaper
    lease.renew()
    lease.release()
    assert started_at(pid) is None
    assert scene.flag.exists()
    lease.release()


def test_a_run_knows_within_two_seconds_that_its_reaper_is_gone(scene: Scene) -> None:
    """Killed: the next renewal says so."""
    lease = ReaperLease(scene.open(os.getpid()), log_dir=scene.logs)
    lease.start()
    os.kill(scene.reaper, signal.SIGKILL)

    def gone() -> bool:
        try:
            lease.renew()
        except EnvironmentBroke as error:
            return "has ended" in str(error) or "does not listen" in str(error)
        return False

    assert soon(gone, 2)
    lease.release()


def test_a_reaper_that_does_not_answer_is_as_good_as_gone(scene: Scene) -> None:
    """Stopped: it would not heal either; known within two seconds, renewing every half second."""
    lease = ReaperLease(scene.open(os.getpid()), log_dir=scene.logs)
    lease.start()
    os.kill(scene.reaper, signal.SIGSTOP)
    said: list[str] = []

    def silent() -> bool:
        try:
            lease.renew()
        except EnvironmentBroke as error:
            said.append(str(error))
        return bool(said)

    try:
        assert poll(silent, 3 * NS_PER_S, every_ns=NS_PER_S // 2)
        assert "does not answer" in said[0]
    finally:
        os.kill(scene.reaper, signal.SIGCONT)
        lease.release()


def test_a_reaper_that_cannot_start_is_an_error_before_anything_is_injected(scene: Scene) -> None:
    """It has no driver to heal with: better known now than later."""
    lease = ReaperLease(scene.open(os.getpid()), log_dir=scene.logs, drivers=("no-such-driver",))
    with pytest.raises(EnvironmentBroke, match=r"the reaper did not start.*no fault driver 'no-such-driver'"):
        lease.start()
    lease.release()


def test_it_leaves_every_control_group_that_it_may_leave(tmp_path: Path) -> None:
    """A job's group is killed as a whole; the root of each hierarchy (v1 and v2) is nobody's job."""
    mount = tmp_path / "cgroup"
    for name in ("", "cpu,cpuacct", "systemd"):
        (mount / name).mkdir(parents=True, exist_ok=True)
        (mount / name / "cgroup.procs").write_text("")
    mine = tmp_path / "mine"
    mine.write_text("12:cpu,cpuacct:/job/7\n1:name=systemd:/job/7\n3:memory:/\n0::/job/7\n")
    leave_cgroups(mine, mount)
    me = str(os.getpid())
    for name in ("", "cpu,cpuacct", "systemd"):
        assert (mount / name / "cgroup.procs").read_text() == me


def test_a_ledger_that_somebody_removes_is_healed_from_all_the_same(scene: Scene) -> None:
    """The state folder was tidied up while a fault was in force, then the run died: the reaper has kept it open."""
    with scene.held() as holder:
        scene.path.unlink()
        holder.kill()
        assert soon(lambda: not scene.flag.exists())
    assert soon(lambda: "healed 1 of 1" in (scene.logs / "reaper.log").read_text())
    assert not scene.path.exists()


def test_a_reaper_that_is_stopped_is_not_there_to_heal(scene: Scene) -> None:
    """Else every command would believe that somebody heals, and say nothing."""
    with scene.held():
        pid = scene.reaper
        account = read(scene.path)
        assert reaped(account)
        os.kill(pid, signal.SIGSTOP)
        assert soon(lambda: not reaped(account))
        os.kill(pid, signal.SIGCONT)
        assert soon(lambda: reaped(account))


def test_a_job_that_was_frozen_as_a_whole_goes_on(scene: Scene) -> None:
    """Both stopped for longer than the lease, then both go on: the reaper does not take its own absence for silence."""
    with scene.held(lease_ns=2 * NS_PER_S) as holder:
        pids = (holder.pid, scene.reaper)
        os.kill(pids[0], signal.SIGSTOP)
        read_ns = time.monotonic_ns()  # by then the reaper has read what the run had said
        soon(lambda: time.monotonic_ns() - read_ns > NS_PER_S // 4)
        os.kill(pids[1], signal.SIGSTOP)
        frozen_ns = time.monotonic_ns()
        assert soon(lambda: time.monotonic_ns() - frozen_ns > 3 * NS_PER_S)
        os.kill(pids[1], signal.SIGCONT)
        woken_ns = time.monotonic_ns()
        soon(lambda: time.monotonic_ns() - woken_ns > NS_PER_S // 4)
        os.kill(pids[0], signal.SIGCONT)
        soon(lambda: holder.poll() is not None, 2)
        assert holder.poll() is None
        assert scene.flag.exists()
