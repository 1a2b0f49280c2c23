"""A full disk in a container: one file of ours, with all its blocks taken, put there from the host.

Undone through the running container, whatever start it is, else in its layer or volume on the host. What was half
made when the disk was full is removed in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from shlex import quote

from harness.clients import hogs
from harness.clients.rootfs import Rootfs
from harness.errors import EnvironmentBroke
from harness.experiment import Fault
from harness.faults import Before, Felt, stress
from harness.faults.container.facts import Container
from harness.faults.container.hands import Hands
from harness.faults.container.room import Room, leave_free, look
from harness.faults.container.stress import DRIVER, refuse_unreachable
from harness.journal import Json
from harness.units import format_bytes


class FillDisk:
    """A file of a size in a folder of the container."""

    def __init__(self, hands: Hands, files: Rootfs | None = None) -> None:
        self._hands = hands
        self._files = files or Rootfs()

    def check(self, now: Container, fault: Fault) -> None:
        """Refuse what does not fit, and what would fill the host."""
        refuse_unreachable(now, fault)
        self._room(now, fault)

    def before(self, now: Container, fault: Fault) -> Mapping[str, Json]:
        """Where the file will be, in the container and on the host."""
        mark = hogs.mark(DRIVER, fault.name, fault.kind, now.id, now.started_at)
        return {"file": f"{mark}.fill", "room": dict(self._room(now, fault).as_json())}

    def inject(self, now: Container, fault: Fault, before: Before) -> None:
        """Make it; returns when its blocks are taken."""
        self._files.allocate(self._files.inside(now.pid, _path(before)), stress.size(fault))

    def heal(self, now: Container, fault: Fault, before: Before) -> None:
        """Remove it through the container, then on the host if the container ended under our hands."""
        if now.running:
            self._files.remove(self._files.inside(now.pid, _path(before)))
            now = self._hands.look(now.id)
        if not now.running:
            self._remove_on_host(fault, before)

    def heal_gone(self, fault: Fault, before: Before) -> None:
        """Its own layer has gone with the container, a volume has not."""
        self._remove_on_host(fault, before)

    def felt(self, now: Container, fault: Fault, before: Before) -> Felt:
        """The file is there, with its blocks."""
        path = self._files.inside(now.pid, _path(before))
        taken = self._files.taken(path) if now.running else None
        if taken is None:
            return Felt(felt=False, proof=f"{_path(before)} is not in {now.name}")
        free = format_bytes(self._files.space(path.parent).free_bytes)
        proof = f"{_path(before)} takes {format_bytes(taken)} in {now.name}, {free} are left"
        return Felt(felt=taken >= stress.size(fault), proof=proof)

    def unlike(self, now: Container, fault: Fault, before: Before) -> tuple[str, ...]:
        """The file, if it is still there."""
        path = self._files.inside(now.pid, _path(before)) if now.running else _on_host(before)
        if path is None or self._files.taken(path) is None:
            return ()
        return (f"{_path(before)} still fills {now.name}; type: {self.by_hand(fault, before)}",)

    def by_hand(self, fault: Fault, before: Before) -> str:  # noqa: ARG002 - the contract's shape
        """Removes it through the container and on the host; where it is not, that is no error."""
        pid = f"$(docker inspect -f '{{{{.State.Pid}}}}' {before['id']})"
        path = _on_host(before)
        on_host = f" {quote(str(path))}" if path is not None else ""
        return f"rm -f /proc/{pid}/root{quote(_path(before))}{on_host}"

    def _room(self, now: Container, fault: Fault) -> Room:
        room = look(self._files, self._hands.docker.inspect(now.id), fault, str(fault.params.get("path") or "/tmp"))  # noqa: S108
        leave_free(self._files, room, fault, stress.size(fault))
        return room

    def _remove_on_host(self, fault: Fault, before: Before) -> None:
        path, room = _on_host(before), Room.of(before)
        if path is None:
            return
        found = self._files.identity(path.parent)
        if room.inode and (found is None or found[1] != room.inode):
            raise EnvironmentBroke(
                f"the volume with {path} is not mounted while its container does not run",
                hint=f"docker start {before['id']}; {self.by_hand(fault, before)}",
            )
        self._files.remove(path)


def _path(before: Before) -> str:
    return f"{Room.of(before).folder.rstrip('/')}/{before['file']}"


def _on_host(before: Before) -> Path | None:
    """None when it lies in memory."""
    room = Room.of(before)
    return None if room.in_memory else Path(room.host) / str(before["file"])
