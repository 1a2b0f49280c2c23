"""Stress beside a service: helpers of ours on the same CPUs, with the same niceness. They end with the service too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.clients import hogs
from harness.clients.hogs import Hogs
from harness.clients.process import started_at
from harness.errors import BadInput
from harness.experiment import Fault
from harness.faults import Before, Felt, stress
from harness.faults.process.facts import began, pid_of

DRIVER = "process"
FIRST_TO_BE_KILLED = 1000
"""When the host runs short of memory all the same, the kernel takes the helper and nothing else (oom_score_adj)."""


class _Stress:
    """What the two share."""

    def __init__(self, helpers: Hogs) -> None:
        self._hogs = helpers

    def check(self, fault: Fault, pid: int) -> None:  # noqa: ARG002 - the contract's shape
        refuse_other_systems(fault)

    def before(self, fault: Fault, pid: int) -> Before:
        """The helpers' mark."""
        return {"mark": hogs.mark(DRIVER, fault.name, fault.kind, str(pid), str(started_at(pid)))}

    def inject(self, fault: Fault, before: Before) -> None:
        """Start the helpers; returns when all are at work."""
        common: stress.Spec = {
            "target": pid_of(before),
            "target_started": began(before),
            "oom_score_adj": FIRST_TO_BE_KILLED,
        }
        self._hogs.start(_mark(before), [{**common, **own} for own in self.work(fault)])

    def work(self, fault: Fault) -> Sequence[stress.Spec]:
        """What each helper does."""
        raise NotImplementedError

    def heal(self, fault: Fault, before: Before) -> None:  # noqa: ARG002
        """End them."""
        self._hogs.end(_mark(before))

    def unlike(self, fault: Fault, before: Before) -> tuple[str, ...]:
        found = self._hogs.find(_mark(before))
        return tuple(f"helper {one.pid} still runs; type: {self.by_hand(fault, before)}" for one in found)

    def by_hand(self, fault: Fault, before: Before) -> str:  # noqa: ARG002
        return hogs.by_hand(_mark(before))


class StressCpu(_Stress):
    """Workers that are busy for a share of the time."""

    def check(self, fault: Fault, pid: int) -> None:
        """Also refuse workers that are no whole number."""
        super().check(fault, pid)
        stress.workers(fault)

    def work(self, fault: Fault) -> Sequence[stress.Spec]:
        """One for each worker."""
        return [{"work": "cpu", "load": stress.load(fault)}] * stress.workers(fault)

    def felt(self, fault: Fault, before: Before) -> Felt:
        """By the helpers' own use of the CPU."""
        return stress.cpu_felt(self._hogs.find(_mark(before)), fault)


class StressMemory(_Stress):
    """A helper that holds memory of the host."""

    def check(self, fault: Fault, pid: int) -> None:
        """Also refuse to use up the host."""
        super().check(fault, pid)
        stress.refuse_full_memory(fault, stress.size(fault))

    def work(self, fault: Fault) -> Sequence[stress.Spec]:
        """One that stops, and fails, before the host has too little."""
        return [{"work": "memory", "bytes": stress.size(fault), "leave_bytes": stress.least_left_bytes()}]

    def felt(self, fault: Fault, before: Before) -> Felt:
        """By what it holds."""
        return stress.memory_felt(self._hogs.find(_mark(before)), fault)


def refuse_other_systems(fault: Fault) -> None:
    """Refuse where there is no /proc."""
    if not Path("/proc/self/stat").exists():
        raise BadInput(f"fault {fault.name}: {fault.kind} needs Linux", hint="run the harness there, or leave it out")


def _mark(before: Before) -> str:
    return str(before["mark"])
