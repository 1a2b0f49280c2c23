"""Faults on processes of a process stack, on the service's whole process group or beside it. What there is: `_kinds`.

A process is its pid *and* start time: a recycled pid is never signalled. Healing needs no stack: where the harness has
died, so have its services, and only what is beside them, or stopped, can be left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.clients import process
from harness.clients.hogs import Hogs
from harness.clock import Clock, SystemClock
from harness.errors import BadInput, EnvironmentBroke
from harness.experiment import Fault
from harness.faults import Before, Felt
from harness.faults.process.facts import Kind, Services, pid_of, same
from harness.faults.process.files import OpenFiles
from harness.faults.process.state import Kill, Pause, Restart, Stop, refuse_stopped
from harness.faults.process.stress import StressCpu, StressMemory


class ProcessFaults:
    """The driver, on the services of one stack; with none, for healing alone."""

    def __init__(self, services: Services | None, *, helpers: Hogs | None = None, clock: Clock | None = None) -> None:
        self._services = services
        self._kinds = _kinds(services, helpers or Hogs(), clock or SystemClock())

    def check(self, fault: Fault) -> None:
        """Refuse what is no process of ours or is stopped already, and what its kind refuses."""
        kind = self._kind(fault)
        pid = self._pid(fault)
        refuse_stopped(fault, pid)
        kind.check(fault, pid)

    def before(self, fault: Fault) -> Before:
        """The identity of the process, and what the kind must restore."""
        pid = self._pid(fault)
        return {"pid": pid, "started_at": process.started_at(pid), **self._kind(fault).before(fault, pid)}

    def inject(self, fault: Fault, before: Before) -> None:
        """Put it in force on the very process that `before` saw. Raises EnvironmentBroke."""
        if not same(before):
            raise EnvironmentBroke(f"fault {fault.name}: {fault.on} (pid {pid_of(before)}) has ended by itself")
        self._kind(fault).inject(fault, before)

    def heal(self, fault: Fault, before: Before) -> None:
        """Take it back. Raises EnvironmentBroke with the command to type."""
        self._kind(fault).heal(fault, before)

    def felt(self, fault: Fault, before: Before) -> Felt:
        """The process table as it is now, to be asked at the end of the fault, just before healing."""
        return self._kind(fault).felt(fault, before)

    def residue(self, known: Sequence[tuple[Fault, Before]]) -> tuple[str, ...]:
        """Helpers that still run, and processes that are not as they were."""
        lines = [line for fault, before in known for line in self._kind(fault).unlike(fault, before)]
        return tuple(dict.fromkeys(lines))

    def by_hand(self, fault: Fault, before: Before) -> str:
        """A command for a shell; "" where there is nothing to undo once the harness has gone."""
        return self._kind(fault).by_hand(fault, before)

    def _kind(self, fault: Fault) -> Kind:
        if fault.kind not in self._kinds:
            raise BadInput(
                f"fault {fault.name}: there is no process fault {fault.kind!r}",
                hint=f"known: {', '.join(self._kinds)}",
            )
        return self._kinds[fault.kind]

    def _pid(self, fault: Fault) -> int:
        try:
            handle = self._services.handle(fault.on) if self._services is not None else ""
        except KeyError:
            handle = ""
        if isinstance(handle, int):
            return handle
        why = "does not run" if handle is None else "is no process that the harness started"
        raise BadInput(
            f"fault {fault.name}: {fault.on} {why}", hint="name a service of a process stack, or use `container:`"
        )


def healer() -> ProcessFaults:
    """For healing from the ledger alone."""
    return ProcessFaults(None)


def _kinds(services: Services | None, helpers: Hogs, clock: Clock) -> Mapping[str, Kind]:
    return {
        "kill": Kill(services, clock),
        "stop": Stop(services, clock),
        "restart": Restart(services, clock),
        "pause": Pause(services, clock),
        "stress-cpu": StressCpu(helpers),
        "stress-memory": StressMemory(helpers),
        "open-files": OpenFiles(clock),
    }
