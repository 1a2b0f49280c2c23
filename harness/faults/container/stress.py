"""Stress inside a container: helpers of ours, started on the host, that take a seat in its cgroups.

    kind           what a client sees                        undone by
    stress-cpu     late answers, the more the lower its quota  ending the helpers
    stress-memory  failures once the kernel kills for memory   ending the helper, start if the container was killed
    stress-io      late answers that need the disk             ending the helpers

Nothing is needed in the image. The helpers are found by their mark and end by themselves too (see clients/hog.py),
with the container for one: the Engine cannot remove a cgroup that somebody sits in.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from harness.clients import cgroup, hogs
from harness.clients.hogs import Helper, HelperEndedError, Hogs
from harness.clients.poll import poll
from harness.clients.process import started_at
from harness.clients.rootfs import Rootfs
from harness.errors import BadInput, EnvironmentBroke
from harness.experiment import Fault
from harness.faults import Before, Felt, stress
from harness.faults.container.facts import Container
from harness.faults.container.hands import Hands
from harness.faults.container.room import Room, leave_free, look
from harness.faults.container.state import refuse_lost_ports, refuse_unaccepted_loss
from harness.journal import Json

IO_FILE_BYTES = 64 << 20
DRIVER = "container"
TOLD_NS = 2_000_000_000
"""How long the Engine may take to know of a death."""


def refuse_unreachable(now: Container, fault: Fault) -> None:
    """Refuse where the container's processes are not ours to join. Raises BadInput."""
    if os.geteuid() != 0:
        raise BadInput(f"fault {fault.name}: {fault.kind} needs root", hint="run the harness as root, or use `cpu`")
    if not cgroup.seats(now.pid, now.id):
        raise BadInput(
            f"fault {fault.name}: the cgroups of container {now.name} are not on this host, or not to be seen",
            hint=f"run the harness beside the Docker Engine; {fault.kind} works on the kernel, not through the Engine",
        )


class _Stress:
    """What the three share."""

    def __init__(self, hands: Hands, helpers: Hogs | None = None, files: Rootfs | None = None) -> None:
        self._hands = hands
        self._hogs = helpers or Hogs()
        self._files = files or Rootfs()

    def check(self, now: Container, fault: Fault) -> None:
        refuse_unreachable(now, fault)

    def before(self, now: Container, fault: Fault) -> Mapping[str, Json]:
        """The helpers' mark, and the process whose end is theirs."""
        mark = hogs.mark(DRIVER, fault.name, fault.kind, now.id, now.started_at)
        return {"mark": mark, "pid": now.pid, "pid_started": started_at(now.pid)}

    def inject(self, now: Container, fault: Fault, before: Before) -> None:
        """Start the helpers; returns when all are at work."""
        common: stress.Spec = {
            "target": before["pid"],
            "target_started": before["pid_started"],
            "oom_score_adj": _oom_score_adj(now),
            "cgroups": [str(seat) for seat in cgroup.seats(now.pid, now.id)],
        }
        self._hogs.start(str(before["mark"]), [{**common, **own} for own in self.work(now, fault, before)])

    def work(self, now: Container, fault: Fault, before: Before) -> Sequence[stress.Spec]:
        """What each helper does."""
        raise NotImplementedError

    def heal(self, now: Container, fault: Fault, before: Before) -> None:  # noqa: ARG002 - the contract's shape
        """End them."""
        self._hogs.end(str(before["mark"]))

    def heal_gone(self, fault: Fault, before: Before) -> None:  # noqa: ARG002
        """They end with their container; make sure."""
        self._hogs.end(str(before["mark"]))

    def unlike(self, now: Container, fault: Fault, before: Before) -> tuple[str, ...]:  # noqa: ARG002
        mark = str(before["mark"])
        return tuple(f"helper {one.pid} still runs; type: {hogs.by_hand(mark)}" for one in self._hogs.find(mark))

    def by_hand(self, fault: Fault, before: Before) -> str:  # noqa: ARG002
        return hogs.by_hand(str(before["mark"]))

    def _helpers(self, before: Before) -> tuple[Helper, ...]:
        return self._hogs.find(str(before["mark"]))


class StressCpu(_Stress):
    """Workers that are busy for a share of the time. Felt when they used that CPU, or wanted it and had to wait."""

    def check(self, now: Container, fault: Fault) -> None:
        """Also refuse workers that are no whole number."""
        stress.workers(fault)
        super().check(now, fault)

    def work(self, now: Container, fault: Fault, before: Before) -> Sequence[stress.Spec]:  # noqa: ARG002
        """One for each worker."""
        return [{"work": "cpu", "load": stress.load(fault)}] * stress.workers(fault)

    def felt(self, now: Container, fault: Fault, before: Before) -> Felt:  # noqa: ARG002
        """By the helpers' own use of the CPU."""
        return stress.cpu_felt(self._helpers(before), fault)


class StressMemory(_Stress):
    """A helper that holds memory. More than the container's limit leaves is allowed: the kernel kills within it."""

    def check(self, now: Container, fault: Fault) -> None:
        """Refuse to use up the host, and to get a container killed that could not be started as it was."""
        super().check(now, fault)
        counters = cgroup.read(now.pid, now.id)
        room = _room_bytes(counters)
        if room is not None and stress.size(fault) > room:
            refuse_unaccepted_loss(now, fault)
            refuse_lost_ports(now, fault)
        stress.refuse_full_memory(fault, stress.size(fault) if room is None else min(stress.size(fault), room))

    def before(self, now: Container, fault: Fault) -> Mapping[str, Json]:
        """Also how often the kernel had killed by then."""
        counters = cgroup.read(now.pid, now.id)
        return {**super().before(now, fault), "oom_kills": counters.oom_kills if counters else None}

    def work(self, now: Container, fault: Fault, before: Before) -> Sequence[stress.Spec]:  # noqa: ARG002
        """One that stops, and fails, before the host has too little."""
        return [{"work": "memory", "bytes": stress.size(fault), "leave_bytes": stress.least_left_bytes()}]

    def inject(self, now: Container, fault: Fault, before: Before) -> None:
        """A helper, or something else, that the kernel kills for memory meanwhile is what was asked for."""
        try:
            super().inject(now, fault, before)
        except HelperEndedError:
            if not poll(lambda: self._killed(self._hands.look(now.id), before), TOLD_NS):
                raise

    def heal(self, now: Container, fault: Fault, before: Before) -> None:
        """End it, then start the container if the kernel killed that."""
        super().heal(now, fault, before)
        if started_at(cast("int", before["pid"])) is None and now.running and now.same_start(before):
            poll(lambda: not self._hands.look(now.id).running, TOLD_NS)  # killed just now: the Engine is yet to be told
            now = self._hands.look(now.id)
        self._hands.start_if_killed(now, before)

    def by_hand(self, fault: Fault, before: Before) -> str:
        """The container too, in case it was killed."""
        return f"{super().by_hand(fault, before)}; docker start {before['id']}"

    def felt(self, now: Container, fault: Fault, before: Before) -> Felt:
        """Held, or killed for."""
        if self._killed(now, before):
            return Felt(felt=True, proof=f"the kernel killed in {now.name} for its memory limit")
        return stress.memory_felt(self._helpers(before), fault)

    def _killed(self, now: Container, before: Before) -> bool:
        if not now.same_start(before) or not now.running:
            return now.oom_killed
        counters = cgroup.read(now.pid, now.id)
        kills = counters.oom_kills if counters is not None else None
        return kills is not None and kills > cast("int", before.get("oom_kills") or 0)


class StressIo(_Stress):
    """Workers that write and sync 64 MiB over and over, in a file that has no name from its first instant on."""

    def check(self, now: Container, fault: Fault) -> None:
        """Refuse what is no disk, and too little of it."""
        stress.workers(fault)
        super().check(now, fault)
        self._room(now, fault)

    def before(self, now: Container, fault: Fault) -> Mapping[str, Json]:
        """Also where the files would be found if one kept its name."""
        return {**super().before(now, fault), "room": dict(self._room(now, fault).as_json())}

    def work(self, now: Container, fault: Fault, before: Before) -> Sequence[stress.Spec]:
        """One file each."""
        paths = self._paths(now, fault, before)
        return [{"work": "io", "bytes": IO_FILE_BYTES, "path": str(path)} for path in paths]

    def heal(self, now: Container, fault: Fault, before: Before) -> None:
        """End them, and take away what they had no time to take away."""
        super().heal(now, fault, before)
        if now.running:
            self._remove(self._paths(now, fault, before))
        else:
            self._remove(self._on_host(fault, before))

    def heal_gone(self, fault: Fault, before: Before) -> None:
        """A volume outlasts its container."""
        super().heal_gone(fault, before)
        self._remove(self._on_host(fault, before))

    def felt(self, now: Container, fault: Fault, before: Before) -> Felt:  # noqa: ARG002
        """By what the kernel counts as written."""
        return stress.io_felt(self._helpers(before), fault)

    def _room(self, now: Container, fault: Fault) -> Room:
        room = look(self._files, self._hands.docker.inspect(now.id), fault, str(fault.params.get("path") or "/"))
        if room.in_memory:
            raise BadInput(
                f"fault {fault.name}: {room.folder} in container {now.name} lies in memory, not on a disk",
                hint="choose another `path`, or `container: stress-memory`",
            )
        leave_free(self._files, room, fault, stress.workers(fault) * IO_FILE_BYTES)
        return room

    def _remove(self, paths: Sequence[Path]) -> None:
        for path in paths:
            self._files.remove(path)

    def _paths(self, now: Container, fault: Fault, before: Before) -> Sequence[Path]:
        folder = Room.of(before).folder
        return [self._files.inside(now.pid, f"{folder}/{name}") for name in _io_files(fault, before)]

    def _on_host(self, fault: Fault, before: Before) -> Sequence[Path]:
        return [Path(Room.of(before).host) / name for name in _io_files(fault, before)]


def _io_files(fault: Fault, before: Before) -> Sequence[str]:
    return [f"{before['mark']}-{number}.io" for number in range(stress.workers(fault))]


def _oom_score_adj(now: Container) -> int:
    """As the container's own, so that the kernel's choice within its limit is as if one of its own had grown."""
    try:
        return int(Path(f"/proc/{now.pid}/oom_score_adj").read_text())
    except OSError as error:
        raise EnvironmentBroke(f"container {now.name} has ended", hint=f"docker logs {now.name}") from error


def _room_bytes(counters: cgroup.Counters | None) -> int | None:
    """What its limit leaves to the container; None when it has none."""
    if counters is None or counters.limit_bytes is None:
        return None
    return max(0, counters.limit_bytes - (counters.working_set_bytes or 0))
