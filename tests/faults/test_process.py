"""Process faults, on real processes in groups of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping

import psutil
import pytest

from harness.clients import process, rlimit
from harness.clients.hogs import Hogs
from harness.clients.poll import poll
from harness.clients.process import started_at
from harness.errors import BadInput, EnvironmentBroke
from harness.experiment import Fault, Scalar
from harness.faults.process import ProcessFaults, healer
from harness.journal import Json
from tests.clients.clock import JumpClock
from tests.faults.crash import Died, Fate
from tests.faults.hogs import FakeHogs

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
        (fault("kill", {"signal": "19"}), "SIGSTOP does not end a process"),
        (fault("open-files", {"limit": 1 << 40}), "already"),
        (fault("open-files", {"limit": 1.5}), "whole number"),
        (fault("stress-cpu", {"workers": 0.5}), "whole number"),
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


BESIDE: Mapping[str, Mapping[str, Scalar]] = {
    "stress-cpu": {"workers": 2, "load": 0.5},
    "stress-memory": {"size": 16 << 20},
}
DIES = """
import json, os, signal, sys
from harness.experiment import Fault
from harness.faults.process import ProcessFaults
class Services:
    def handle(self, service):
        return int(sys.argv[2])
driver, fault = ProcessFaults(Services()), Fault(**json.loads(sys.argv[1]))
before = driver.before(fault)
print(json.dumps(before), flush=True)
driver.inject(fault, before)
print("in force", flush=True)
if sys.argv[3] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
input()
"""


def injected_by_another(wanted: Fault, pid: int, then: str) -> tuple[subprocess.Popen[str], dict[str, Json]]:
    """Another process has put it in force and is dead, or waits; it, and what it had written down before."""
    fields = ("name", "driver", "kind", "on", "stage", "after_ns", "hold_ns")
    words = json.dumps({**{name: getattr(wanted, name) for name in fields}, "params": dict(wanted.params)})
    other = subprocess.Popen(
        [sys.executable, "-c", DIES, words, str(pid), then],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert other.stdout is not None
    assert other.stdin is not None
    before = json.loads(other.stdout.readline())
    assert other.stdout.readline() == "in force\n"
    if then == "killed":
        other.wait(10)
        other.stdin.close()
        other.stdout.close()
    return other, before


@pytest.mark.parametrize(("kind", "params"), [*BESIDE.items(), ("open-files", {"limit": 40}), ("pause", {})])
def test_after_a_sigkill_a_driver_without_a_stack_heals(
    services: Services, kind: str, params: Mapping[str, Scalar]
) -> None:
    """From the fault and `before` alone, while the service is still there: the warden may have been killed too."""
    one = psutil.Process(services.children[0].pid)
    found = one.rlimit(psutil.RLIMIT_NOFILE)
    wanted = fault(kind, params)
    _, before = injected_by_another(wanted, one.pid, "killed")
    healer().heal(wanted, before)
    healer().heal(wanted, before)
    assert not Hogs().find(str(before.get("mark", "harness-process-none")))
    assert one.rlimit(psutil.RLIMIT_NOFILE) == found
    assert poll(lambda: psutil.STATUS_STOPPED not in statuses(services), IN_TIME_NS)
    assert not healer().residue([(wanted, before)])


@pytest.mark.parametrize("kind", ["kill", "stop", "restart"])
def test_without_a_stack_there_is_nothing_to_start(services: Services, kind: str) -> None:
    """The services of a stack end with their harness: healing says nothing is left and touches nothing."""
    wanted = fault(kind)
    before = ProcessFaults(services).before(wanted)
    healer().heal(wanted, before)
    assert healer().by_hand(wanted, before) == ""
    assert services.handle("api") == before["pid"]


@pytest.mark.parametrize("kind", BESIDE)
def test_helpers_end_by_themselves_when_the_harness_is_killed(services: Services, kind: str) -> None:
    """Without a reaper and without anybody's hand."""
    _, before = injected_by_another(fault(kind, BESIDE[kind]), services.children[0].pid, "killed")
    assert poll(lambda: not Hogs().find(str(before["mark"])), IN_TIME_NS)


def test_helpers_end_with_their_service(services: Services) -> None:
    """A service that is gone has nothing beside it."""
    driver, wanted = ProcessFaults(services), fault("stress-cpu", BESIDE["stress-cpu"])
    before = driver.before(wanted)
    driver.inject(wanted, before)
    assert len(Hogs().find(str(before["mark"]))) == 2
    os.killpg(services.children[0].pid, signal.SIGKILL)
    assert poll(lambda: not Hogs().find(str(before["mark"])), IN_TIME_NS)
    assert not driver.felt(wanted, before).felt
    driver.heal(wanted, before)


def test_helpers_end_by_themselves_when_their_time_is_up(services: Services) -> None:
    """Whatever else goes wrong."""
    pid = services.children[0].pid
    target: dict[str, Json] = {"target": pid, "target_started": started_at(pid), "oom_score_adj": 0}
    Hogs().start("harness-process-deadline", [{**target, "work": "cpu", "load": 0.1, "deadline_s": 0.2}])
    assert poll(lambda: not Hogs().find("harness-process-deadline"), IN_TIME_NS)


def test_helpers_of_a_harness_at_work_are_no_residue(services: Services) -> None:
    """What another harness, alive, has in force is its own; what we left, or a dead one, is told with the command."""
    wanted = fault("stress-cpu", BESIDE["stress-cpu"])
    other, before = injected_by_another(wanted, services.children[0].pid, "waits")
    try:
        assert healer().residue(()) == ()
        assert healer().residue([(wanted, before)])  # named: somebody says that it is healed
    finally:
        other.communicate("\n", timeout=10)
        healer().heal(wanted, before)
    assert not healer().residue([(wanted, before)])


def test_helpers_take_the_cpus_and_the_niceness_of_the_service(services: Services) -> None:
    """Beside it, on the same cores."""
    pid, cpu = services.children[0].pid, min(os.sched_getaffinity(0))
    os.sched_setaffinity(pid, {cpu})
    os.setpriority(os.PRIO_PROCESS, pid, 5)
    driver, wanted = ProcessFaults(services), fault("stress-cpu", {"workers": 1, "load": 0.2})
    before = driver.before(wanted)
    driver.inject(wanted, before)
    try:
        (helper,) = Hogs().find(str(before["mark"]))
        assert (os.sched_getaffinity(helper.pid), psutil.Process(helper.pid).nice()) == ({cpu}, 5)
    finally:
        driver.heal(wanted, before)


def test_memory_that_would_leave_the_host_too_little_is_refused(services: Services) -> None:
    """By the check, and by the helper itself as it fills: another may have taken it meanwhile."""
    size = psutil.virtual_memory().available - (100 << 20)
    with pytest.raises(EnvironmentBroke, match="would leave this host with"):
        ProcessFaults(services).check(fault("stress-memory", {"size": size}))
    pid = services.children[0].pid
    spec: dict[str, Json] = {"target": pid, "target_started": started_at(pid), "oom_score_adj": 1000}
    with pytest.raises(EnvironmentBroke, match="would be left"):
        Hogs().start("harness-process-full", [{**spec, "work": "memory", "bytes": 1 << 20, "leave_bytes": 1 << 60}])
    Hogs().end("harness-process-full")


def test_processes_forked_under_the_limit_get_their_limit_back(services: Services) -> None:
    """They have inherited it, and no record knows them."""
    forking = Services(
        "import os, sys\nfor line in sys.stdin:\n    if os.fork() == 0:\n        sys.stdin.read()\n        os._exit(0)"
    )
    try:
        parent = psutil.Process(forking.children[0].pid)
        found = parent.rlimit(psutil.RLIMIT_NOFILE)
        driver, wanted = ProcessFaults(forking), fault("open-files", {"limit": 30})
        before = driver.before(wanted)
        driver.inject(wanted, before)
        pipe = forking.children[0].stdin
        assert pipe is not None
        pipe.write(b"fork\n")
        pipe.flush()
        assert poll(parent.children, IN_TIME_NS)
        (child,) = parent.children()
        assert child.rlimit(psutil.RLIMIT_NOFILE) == (30, found[1])
        assert driver.felt(wanted, before).proof.startswith("2 of 2 processes")
        assert len(driver.residue([(wanted, before)])) == 2
        driver.heal(wanted, before)
        assert [one.rlimit(psutil.RLIMIT_NOFILE) for one in (parent, child)] == [found, found]
    finally:
        forking.close()


def test_a_limit_that_somebody_else_has_set_since_is_left_alone(services: Services) -> None:
    """It is not ours any more."""
    one = psutil.Process(services.children[0].pid)
    driver, wanted = ProcessFaults(services), fault("open-files", {"limit": 30})
    before = driver.before(wanted)
    driver.inject(wanted, before)
    _, hard = one.rlimit(psutil.RLIMIT_NOFILE)
    one.rlimit(psutil.RLIMIT_NOFILE, (77, hard))
    driver.heal(wanted, before)
    assert one.rlimit(psutil.RLIMIT_NOFILE) == (77, hard)


def test_by_hand_is_what_heals() -> None:
    """The very command for a shell, with the identity in it."""
    before: dict[str, Json] = {
        "pid": 12,
        "started_at": 3.5,
        "limits": [{"pid": 12, "started_at": 3.5, "soft": -1, "hard": 9}],
    }
    assert healer().by_hand(fault("pause"), before) == "kill -CONT -- -12"
    assert healer().by_hand(fault("open-files", {"limit": 3}), before) == "prlimit --pid 12 --nofile=unlimited:9"
    assert "--mark harness-process-x" in healer().by_hand(fault("stress-cpu"), {**before, "mark": "harness-process-x"})


@pytest.mark.parametrize(("kind", "params"), [("open-files", {"limit": 40}), ("pause", {}), *BESIDE.items()])
def test_a_death_after_any_call_leaves_nothing_once_healed(
    services: Services, kind: str, params: Mapping[str, Scalar], monkeypatch: pytest.MonkeyPatch
) -> None:
    """For all n, in `inject` and in `heal`: a driver without a stack heals from the record alone."""
    running: list[tuple[str, Mapping[str, Json]]] = []
    fate, wanted = Fate(), fault(kind, params)
    set_limit, send = rlimit.set_open_files, process.signal_group

    def limited(pid: int, limit: rlimit.Limit) -> None:
        set_limit(pid, limit)
        fate.step()

    def sent(pgid: int, number: signal.Signals) -> bool:
        done = send(pgid, number)
        fate.step()
        return done

    monkeypatch.setattr(rlimit, "set_open_files", limited)
    monkeypatch.setattr(process, "signal_group", sent)
    members = [psutil.Process(pid) for pid in process.group(services.children[0].pid)]
    found = [one.rlimit(psutil.RLIMIT_NOFILE) for one in members]
    before = json.loads(json.dumps(ProcessFaults(services).before(wanted)))

    def live() -> None:
        driver = ProcessFaults(services, helpers=FakeHogs(running, fate))
        driver.inject(wanted, before)
        driver.heal(wanted, before)

    live()
    steps = fate.steps
    assert steps >= 2
    for at in range(1, steps + 1):
        fate.at, fate.steps = at, 0
        with pytest.raises(Died):
            live()
        fate.at = 0
        ProcessFaults(None, helpers=FakeHogs(running)).heal(wanted, before)
        assert not running
        assert [one.rlimit(psutil.RLIMIT_NOFILE) for one in members] == found, at
        assert poll(lambda: psutil.STATUS_STOPPED not in statuses(services), IN_TIME_NS), at


def test_a_process_that_was_ending_when_it_was_looked_at_is_not_taken_for_running(services: Services) -> None:
    """No start time could be read: nothing that runs now is the same, and no kill waits for it to end."""
    driver = ProcessFaults(services)
    wanted = fault("kill")
    seen = {**driver.before(wanted), "started_at": None}
    with pytest.raises(EnvironmentBroke, match="has ended by itself"):
        driver.inject(wanted, seen)
