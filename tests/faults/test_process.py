"""Process faults, on real processes in groups of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping

import psutil
import pytest

from harness.clients.poll import poll
from harness.errors import BadInput, EnvironmentBroke
from harness.experiment import Fault, Scalar
from harness.faults.process import ProcessFaults
from tests.clients.clock import JumpClock

IN_TIME_NS = 10_000_000_000
PARENT = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE).wait()"


class Services:
    """A stack of one service, `api`; counts its starts."""

    def __init__(self, command: str) -> None:
        self.command = command
        self.children: list[subprocess.Popen[bytes]] = []
        self.start("api")

    def handle(self, service: str) -> int | str | None:
        """The pid while it runs."""
        if service != "api":
            raise KeyError(service)
        return self.children[-1].pid if self.children[-1].poll() is None else None

    def start(self, service: str) -> None:
        """Start it if it does not run."""
        if not self.children or self.handle(service) is None:
            child = subprocess.Popen(
                [sys.executable, "-c", self.command], stdin=subprocess.PIPE, start_new_session=True
            )
            self.children.append(child)

    def stop(self, service: str) -> None:
        """End it."""
        self.children[-1].terminate()
        self.children[-1].wait(10)

    def close(self) -> None:
        """Kill what is left."""
        for child in self.children:
            try:
                os.killpg(child.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            finally:
                child.wait(10)
                if child.stdin is not None:
                    child.stdin.close()


@pytest.fixture
def services() -> Iterator[Services]:
    """A parent with a child, both waiting."""
    one = Services(PARENT)
    try:
        assert poll(lambda: psutil.Process(one.children[0].pid).children(), IN_TIME_NS)
        yield one
    finally:
        one.close()


def fault(kind: str, params: Mapping[str, Scalar] | None = None, on: str = "api") -> Fault:
    """A fault `f`."""
    return Fault(name="f", driver="process", kind=kind, on=on, params=params or {}, stage="s", after_ns=0, hold_ns=1)


def statuses(services: Services) -> list[str]:
    """States of the service and its child."""
    parent = psutil.Process(services.children[0].pid)
    return [process.status() for process in (parent, *parent.children())]


def test_pause_stops_the_whole_group_and_heal_continues_it(services: Services) -> None:
    """A worker that goes on while its parent is stopped would still answer."""
    driver, wanted = ProcessFaults(services), fault("pause")
    before = driver.before(wanted)
    driver.inject(wanted, before)
    assert poll(lambda: statuses(services) == ["stopped", "stopped"], IN_TIME_NS)
    assert driver.felt(wanted, before).felt
    driver.heal(wanted, before)
    assert poll(lambda: "stopped" not in statuses(services), IN_TIME_NS)
    assert not driver.felt(wanted, before).felt


def test_a_paused_process_that_was_killed_leaves_no_stopped_child(services: Services) -> None:
    """Its children are still in the group; they are continued, and nothing is started in its place."""
    driver, wanted = ProcessFaults(services), fault("pause")
    child = psutil.Process(services.children[0].pid).children()[0]
    before = driver.before(wanted)
    driver.inject(wanted, before)
    os.kill(services.children[0].pid, signal.SIGKILL)
    services.children[0].wait(10)
    driver.heal(wanted, before)
    assert poll(lambda: child.status() != psutil.STATUS_STOPPED, IN_TIME_NS)
    assert len(services.children) == 1


def test_a_recycled_pid_is_not_signalled(services: Services) -> None:
    """The same pid with another start time is somebody else: it stays stopped."""
    driver, wanted = ProcessFaults(services), fault("pause")
    before = driver.before(wanted)
    driver.inject(wanted, before)
    driver.heal(wanted, {**before, "started_at": 1.0})
    assert statuses(services)[0] == psutil.STATUS_STOPPED


def test_kill_ends_the_whole_group_and_heal_starts_it(services: Services) -> None:
    """The child goes too; the new one has another pid."""
    driver, wanted = ProcessFaults(services), fault("kill", {"signal": "KILL"})
    child = psutil.Process(services.children[0].pid).children()[0]
    before = driver.before(wanted)
    driver.inject(wanted, before)
    assert poll(lambda: not child.is_running(), IN_TIME_NS)
    assert "has gone" in driver.felt(wanted, before).proof
    driver.heal(wanted, before)
    assert services.handle("api") not in {None, before["pid"]}
    assert "taken its place" in driver.felt(wanted, before).proof


def test_a_signal_that_is_ignored_is_an_error(services: Services) -> None:
    """Said after the time limit, which the clock jumps over here."""
    deaf = Services("import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN); print(flush=True); input()")
    try:
        assert poll(lambda: "SIGHUP" in ignored(deaf.children[0].pid), IN_TIME_NS)
        driver = ProcessFaults(deaf, clock=JumpClock())
        wanted = fault("kill", {"signal": "HUP"})
        with pytest.raises(EnvironmentBroke, match="did not end by SIGHUP within 10 s"):
            driver.inject(wanted, driver.before(wanted))
    finally:
        deaf.close()


def ignored(pid: int) -> str:
    """SIGHUP when the process ignores it, by the kernel's mask."""
    with open(f"/proc/{pid}/status") as file:  # noqa: PTH123
        mask = next(int(line.split()[1], 16) for line in file if line.startswith("SigIgn"))
    return "SIGHUP" if mask & 1 else ""


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (fault("explode"), "no process fault 'explode'"),
        (fault("pause", on="nobody"), "no process that the harness started"),
        (fault("kill", {"signal": "STOP"}), "does not end a process"),
        (fault("kill", {"signal": "NOPE"}), "no signal 'NOPE'"),
    ],
)
def test_check_refuses_in_words(services: Services, wanted: Fault, words: str) -> None:
    """Bad input, said before anything is touched."""
    with pytest.raises(BadInput) as caught:
        ProcessFaults(services).check(wanted)
    assert words in str(caught.value)
    assert caught.value.hint


def test_check_refuses_what_is_stopped_already_or_not_running(services: Services) -> None:
    """A state that is not ours is not touched."""
    os.killpg(services.children[0].pid, signal.SIGSTOP)
    assert poll(lambda: statuses(services)[0] == psutil.STATUS_STOPPED, IN_TIME_NS)
    with pytest.raises(BadInput, match="stopped already"):
        ProcessFaults(services).check(fault("pause"))
    os.killpg(services.children[0].pid, signal.SIGKILL)
    services.children[0].wait(10)
    with pytest.raises(BadInput, match="does not run"):
        ProcessFaults(services).check(fault("pause"))


def test_a_process_that_ended_by_itself_is_said(services: Services) -> None:
    """Between `before` and `inject` it may end: that is no fault of ours put in force."""
    driver, wanted = ProcessFaults(services), fault("pause")
    before = driver.before(wanted)
    os.killpg(services.children[0].pid, signal.SIGKILL)
    services.children[0].wait(10)
    with pytest.raises(EnvironmentBroke, match="ended by itself"):
        driver.inject(wanted, before)
