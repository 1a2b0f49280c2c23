"""Faults on processes of a process stack: kill, stop, restart, pause. They act on the service's whole process group.

    kind     what a client sees: new connection | held connection     undone by
    kill     refused | reset or end of stream                          start: same command, port and environment
    stop     refused | end of stream, after at most 5 s                start
    restart  refused for a moment | end of stream                      (start, if it was left half-way)
    pause    connects (the kernel accepts) and hangs | hangs           SIGCONT

A process is its pid *and* start time: a recycled pid is never signalled.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Protocol, cast

from harness.clients import process
from harness.clients.poll import poll
from harness.clock import Clock, SystemClock
from harness.errors import BadInput, EnvironmentBroke
from harness.experiment import Fault
from harness.faults import Before, Felt

CONFIRM_NS = 10_000_000_000
KINDS = ("kill", "stop", "restart", "pause")


class Services(Protocol):
    """What these faults need of a stack; the process stack has it."""

    def handle(self, service: str) -> int | str | None:
        """The pid of a running service."""

    def start(self, service: str) -> None:
        """Start it as it was started before; returns when it is ready. Fine when it runs."""

    def stop(self, service: str) -> None:
        """End it in order; returns when its group has gone."""


class ProcessFaults:
    """The driver, on the services of one stack."""

    def __init__(self, services: Services, *, clock: Clock | None = None) -> None:
        self._services = services
        self._clock = clock or SystemClock()

    def check(self, fault: Fault) -> None:
        """Refuse an unknown kind or signal, what is no process of ours, and what is stopped already."""
        if fault.kind not in KINDS:
            raise BadInput(
                f"fault {fault.name}: there is no process fault {fault.kind!r}", hint=f"known: {', '.join(KINDS)}"
            )
        _signal_of(fault)
        pid = self._pid(fault)
        if process.stopped(pid):
            raise BadInput(f"fault {fault.name}: {fault.on} is stopped already", hint=f"kill -CONT -{pid}")

    def before(self, fault: Fault) -> Before:
        """The identity of the process."""
        pid = self._pid(fault)
        return {"pid": pid, "started_at": process.started_at(pid)}

    def inject(self, fault: Fault, before: Before) -> None:
        """Put it in force on the very process that `before` saw. Raises EnvironmentBroke."""
        pid = _pid(before)
        if not _same(before):
            raise EnvironmentBroke(f"fault {fault.name}: {fault.on} (pid {pid}) has ended by itself")
        match fault.kind:
            case "kill":
                process.signal_group(pid, _signal_of(fault))
                # Gone from the process table is not enough: until it is collected, a start would take it for running.
                self._confirm(
                    lambda: not _same(before) and self._services.handle(fault.on) != pid,
                    fault,
                    f"did not end by SIG{_signal_of(fault).name[3:]}",
                )
            case "stop":
                self._services.stop(fault.on)
            case "restart":
                self._services.stop(fault.on)
                self._services.start(fault.on)
            case "pause":
                process.signal_group(pid, signal.SIGSTOP)
                self._confirm(lambda: _stopped(before), fault, "does not stop")

    def heal(self, fault: Fault, before: Before) -> None:
        """Continue what was paused, start what has gone. Raises EnvironmentBroke."""
        if fault.kind != "pause":
            self._services.start(fault.on)
        elif process.is_still(_pid(before), cast(float | None, before["started_at"])):
            process.signal_group(_pid(before), signal.SIGCONT)
            self._confirm(lambda: not _stopped(before), fault, "is still stopped")

    def felt(self, fault: Fault, before: Before) -> Felt:
        """The process table as it is now, to be asked at the end of the fault, just before healing."""
        pid, here = _pid(before), _same(before)
        if fault.kind == "pause":
            stopped = _stopped(before)
            state = "stopped (state T)" if stopped else "running" if here else "gone"
            return Felt(felt=stopped, proof=f"{fault.on} (pid {pid}) is {state}")
        now = self._services.handle(fault.on)
        state = "still runs" if here else "has gone" if now is None else f"has gone; pid {now} has taken its place"
        return Felt(felt=not here, proof=f"{fault.on} (pid {pid}) {state}")

    def _pid(self, fault: Fault) -> int:
        try:
            handle = self._services.handle(fault.on)
        except KeyError:
            handle = ""
        if isinstance(handle, int):
            return handle
        why = "does not run" if handle is None else "is no process that the harness started"
        raise BadInput(
            f"fault {fault.name}: {fault.on} {why}", hint="name a service of a process stack, or use `container:`"
        )

    def _confirm(self, done: Callable[[], bool], fault: Fault, failed: str) -> None:
        if not poll(done, CONFIRM_NS, every_ns=2_000_000, clock=self._clock):
            raise EnvironmentBroke(
                f"fault {fault.name}: {fault.on} {failed} within {CONFIRM_NS / 1e9:g} s",
                hint="look at: ps -o pid,stat,args",
            )


def _signal_of(fault: Fault) -> signal.Signals:
    name = str(fault.params.get("signal", "KILL")).upper().removeprefix("SIG")
    try:
        number = signal.Signals[f"SIG{name}"]
    except KeyError:
        raise BadInput(f"fault {fault.name}: there is no signal {name!r}", hint="such as KILL or TERM") from None
    if number in {signal.SIGSTOP, signal.SIGTSTP, signal.SIGCONT}:
        raise BadInput(f"fault {fault.name}: SIG{name} does not end a process", hint="use `process: pause`")
    return number


def _pid(before: Before) -> int:
    return cast(int, before["pid"])


def _same(before: Before) -> bool:
    """Whether the process that `before` saw still runs."""
    return process.started_at(_pid(before)) == before["started_at"]


def _stopped(before: Before) -> bool:
    try:
        return _same(before) and process.stopped(_pid(before))
    except process.NoSuchProcessError:
        return False
