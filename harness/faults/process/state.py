"""Kill, stop, restart and pause. They act on the service's whole process group.

    kind     what a client sees: new connection | held connection     undone by
    kill     refused | reset or end of stream                          start: same command, port and environment
    stop     refused | end of stream, after at most 5 s                start
    restart  refused for a moment | end of stream                      (start, if it was left half-way)
    pause    connects (the kernel accepts) and hangs | hangs           SIGCONT

Without a stack (its harness has died) there is nothing to start: the services of a stack end with their harness, which
the warden sees to. One that is paused can still be there, if the warden was killed too.
"""

from __future__ import annotations

import signal
from collections.abc import Callable

from harness.clients import process
from harness.clients.poll import poll
from harness.clock import Clock
from harness.errors import BadInput, EnvironmentBroke
from harness.experiment import Fault
from harness.faults import Before, Felt
from harness.faults.process.facts import Services, group_left, pid_of, same

CONFIRM_NS = 10_000_000_000
FREEZING = {signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGCONT}
"""Signals that freeze a process, or let it go on: no kill, and nothing would undo them."""


class _State:
    """What the four share."""

    def __init__(self, services: Services | None, clock: Clock) -> None:
        self._services = services
        self._clock = clock

    def check(self, fault: Fault, pid: int) -> None:
        """Any running process will do."""

    def before(self, fault: Fault, pid: int) -> Before:  # noqa: ARG002 - the contract's shape
        return {}

    def heal(self, fault: Fault, before: Before) -> None:  # noqa: ARG002
        """Start it unless it runs."""
        if self._services is not None:
            self._services.start(fault.on)

    def felt(self, fault: Fault, before: Before) -> Felt:
        pid, here = pid_of(before), same(before)
        now = self._services.handle(fault.on) if self._services is not None else None
        state = "still runs" if here else "has gone" if now is None else f"has gone; pid {now} has taken its place"
        return Felt(felt=not here, proof=f"{fault.on} (pid {pid}) {state}")

    def unlike(self, fault: Fault, before: Before) -> tuple[str, ...]:  # noqa: ARG002
        return ()

    def by_hand(self, fault: Fault, before: Before) -> str:  # noqa: ARG002
        return ""

    def _stack(self, fault: Fault) -> Services:
        if self._services is None:
            raise EnvironmentBroke(f"fault {fault.name}: {fault.on} has no stack", hint="this driver is for healing")
        return self._services

    def _confirm(self, done: Callable[[], bool], fault: Fault, failed: str) -> None:
        if not poll(done, CONFIRM_NS, every_ns=2_000_000, clock=self._clock):
            raise EnvironmentBroke(
                f"fault {fault.name}: {fault.on} {failed} within {CONFIRM_NS / 1e9:g} s",
                hint="look at: ps -o pid,stat,args",
            )


class Kill(_State):
    """A signal to the whole group; in force when the process has ended."""

    def check(self, fault: Fault, pid: int) -> None:  # noqa: ARG002
        """Refuse signals that end nothing."""
        signal_of(fault)

    def inject(self, fault: Fault, before: Before) -> None:
        """Send it and wait for the end."""
        pid, services = pid_of(before), self._stack(fault)
        process.signal_group(pid, signal_of(fault))
        # Gone from the process table is not enough: until it is collected, a start would take it for running.
        self._confirm(
            lambda: not same(before) and services.handle(fault.on) != pid,
            fault,
            f"did not end by {signal_of(fault).name}",
        )


class Stop(_State):
    """In order."""

    def inject(self, fault: Fault, before: Before) -> None:  # noqa: ARG002
        """Stop it."""
        self._stack(fault).stop(fault.on)


class Restart(_State):
    """Stop and start."""

    def inject(self, fault: Fault, before: Before) -> None:  # noqa: ARG002
        """Restart it."""
        self._stack(fault).stop(fault.on)
        self._stack(fault).start(fault.on)


class Pause(_State):
    """No process of the group runs, its connections stay open."""

    def before(self, fault: Fault, pid: int) -> Before:
        """Nothing more than who it is; once more seen that it is not stopped by somebody else."""
        refuse_stopped(fault, pid)
        return {}

    def inject(self, fault: Fault, before: Before) -> None:
        """Stop the group by signal."""
        process.signal_group(pid_of(before), signal.SIGSTOP)
        self._confirm(lambda: _stopped(before), fault, "does not stop")

    def heal(self, fault: Fault, before: Before) -> None:
        """Let the group go on, be it that only children are left of it."""
        if group_left(before):
            process.signal_group(pid_of(before), signal.SIGCONT)
            self._confirm(lambda: not _stopped(before), fault, "is still stopped")

    def felt(self, fault: Fault, before: Before) -> Felt:
        """Stopped, and the same process."""
        stopped = _stopped(before)
        state = "stopped (state T)" if stopped else "running" if same(before) else "gone"
        return Felt(felt=stopped, proof=f"{fault.on} (pid {pid_of(before)}) is {state}")

    def unlike(self, fault: Fault, before: Before) -> tuple[str, ...]:
        """Stopped still."""
        if not _stopped(before):
            return ()
        return (f"{fault.on} (pid {pid_of(before)}) is stopped; type: {self.by_hand(fault, before)}",)

    def by_hand(self, fault: Fault, before: Before) -> str:  # noqa: ARG002
        """To the group."""
        return f"kill -CONT -- -{pid_of(before)}"


def refuse_stopped(fault: Fault, pid: int) -> None:
    """Refuse a state that is not ours."""
    if process.stopped(pid):
        raise BadInput(f"fault {fault.name}: {fault.on} is stopped already", hint=f"kill -CONT -- -{pid}")


def signal_of(fault: Fault) -> signal.Signals:
    """The signal that a fault asks for, by name or number: KILL unless said otherwise. Raises BadInput."""
    name = str(fault.params.get("signal", "KILL")).upper().removeprefix("SIG")
    try:
        number = signal.Signals(int(name)) if name.isdecimal() else signal.Signals[f"SIG{name}"]
    except (KeyError, ValueError):
        raise BadInput(f"fault {fault.name}: there is no signal {name!r}", hint="such as KILL or TERM") from None
    if number in FREEZING:
        raise BadInput(f"fault {fault.name}: {number.name} does not end a process", hint="use `process: pause`")
    return number


def _stopped(before: Before) -> bool:
    try:
        return same(before) and process.stopped(pid_of(before))
    except process.NoSuchProcessError:
        return False
