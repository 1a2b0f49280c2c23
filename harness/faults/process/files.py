"""A limit of open files, put on every process of a service's group while it runs (prlimit).

Only the soft limit, which is what holds, is lowered: restoring it then needs no privileges. What is open stays open.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import cast

from harness.clients import process, rlimit
from harness.clients.poll import poll
from harness.clients.rlimit import Limit
from harness.clock import Clock
from harness.errors import BadInput, EnvironmentBroke
from harness.experiment import Fault
from harness.faults import Before, Felt
from harness.faults.process.facts import group_left, pid_of
from harness.faults.process.stress import refuse_other_systems
from harness.journal import Json

CONFIRM_NS = 2_000_000_000


class OpenFiles:
    """Lowers it for those who have more; those who were forked meanwhile have inherited it, and are healed too."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def check(self, fault: Fault, pid: int) -> None:
        """Refuse a limit that is none."""
        refuse_other_systems(fault)
        limit = _limit(fault)
        has = rlimit.open_files(pid)
        if has is not None and not has.above(limit):
            raise BadInput(
                f"fault {fault.name}: {fault.on} is limited to {has.soft} open files already",
                hint=f"ask for less than {has.soft}",
            )

    def before(self, fault: Fault, pid: int) -> Before:
        """The limits of each process of the group."""
        self.check(fault, pid)
        found: list[Json] = []
        for each in process.group(pid):
            limit, started_at = rlimit.open_files(each), process.started_at(each)
            if limit is not None:
                found.append({"pid": each, "started_at": started_at, **asdict(limit)})
        return {"limits": found}

    def inject(self, fault: Fault, before: Before) -> None:
        """Lower it, the first process first; once more when others were forked meanwhile."""
        done = poll(lambda: not self._lower(fault, before), CONFIRM_NS, clock=self._clock)
        if not done:
            raise EnvironmentBroke(
                f"fault {fault.name}: processes of {fault.on} still have more than {_limit(fault)} open files",
                hint="it raises its own limit, or forks faster than it can be limited",
            )

    def _lower(self, fault: Fault, before: Before) -> bool:
        """Whether one was still above."""
        above = [(pid, has) for pid, has in _now(before) if has.above(_limit(fault))]
        for pid, has in above:
            rlimit.set_open_files(pid, Limit(soft=_limit(fault), hard=has.hard))
        return bool(above)

    def heal(self, fault: Fault, before: Before) -> None:
        """Restore it where it is still ours."""
        for pid, _, was in _ours(fault, before):
            rlimit.set_open_files(pid, was)
        if left := self.unlike(fault, before):
            raise EnvironmentBroke("; ".join(left), hint=self.by_hand(fault, before))

    def felt(self, fault: Fault, before: Before) -> Felt:
        """Read back for each process."""
        now = tuple(_now(before))
        held = [has for _, has in now if not has.above(_limit(fault))]
        proof = f"{len(held)} of {len(now)} processes of {fault.on} are limited to {_limit(fault)} open files"
        return Felt(felt=bool(now) and len(held) == len(now), proof=proof)

    def unlike(self, fault: Fault, before: Before) -> tuple[str, ...]:
        """Processes that are still limited as we did."""
        return tuple(
            f"process {pid} is still limited to {has.soft} open files; type: {_command(pid, was)}"
            for pid, has, was in _ours(fault, before)
        )

    def by_hand(self, fault: Fault, before: Before) -> str:  # noqa: ARG002 - the contract's shape
        """One command for each process that there was."""
        return "; ".join(_command(cast("int", one["pid"]), _recorded(one)) for one in _records(before))


def _limit(fault: Fault) -> int:
    limit = float(fault.params["limit"])
    if not limit.is_integer():
        raise BadInput(f"fault {fault.name}: limit: expected a whole number, got {limit:g}", hint="such as 64")
    return int(limit)


def _now(before: Before) -> Iterator[tuple[int, Limit]]:
    """The processes of the group and their limits, the first process first."""
    if not group_left(before):
        return
    for pid in sorted(process.group(pid_of(before)), key=lambda pid: pid != pid_of(before)):
        if (limit := rlimit.open_files(pid)) is not None:
            yield pid, limit


def _ours(fault: Fault, before: Before) -> Iterator[tuple[int, Limit, Limit]]:
    """(pid, limit now, limit before) of those whose limit is the fault's and was another.

    One that was forked since has inherited it: it is given what the first process had.
    """
    records = {(one["pid"], one["started_at"]): _recorded(one) for one in _records(before)}
    first = records.get((before["pid"], before["started_at"]))
    for pid, has in _now(before):
        was = records.get((pid, process.started_at(pid)), first)
        if was is not None and has.soft == _limit(fault) != was.soft:
            yield pid, has, Limit(soft=was.soft, hard=has.hard)


def _records(before: Before) -> list[dict[str, Json]]:
    return cast("list[dict[str, Json]]", before.get("limits", []))


def _recorded(one: dict[str, Json]) -> Limit:
    return Limit(soft=cast("int", one["soft"]), hard=cast("int", one["hard"]))


def _command(pid: int, was: Limit) -> str:
    soft, hard = ("unlimited" if number < 0 else number for number in (was.soft, was.hard))
    return f"prlimit --pid {pid} --nofile={soft}:{hard}"
