"""Where a folder of a container lies: seen through the running container, and on the host for when it runs no more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from harness.clients.docker import Document
from harness.clients.rootfs import Rootfs
from harness.errors import BadInput, EnvironmentBroke
from harness.experiment import Fault
from harness.faults import Before, stress
from harness.journal import Json
from harness.units import format_bytes

LEAST_FREE_BYTES = 1 << 30
LEAST_FREE_SHARE = 0.05
MEMORY_FILESYSTEMS = ("tmpfs", "ramfs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """A folder in a container, without links, and the same one on the host.

    `host` is "" when it lies in memory: then it is gone with the container. `inode` (0: the container's own layer,
    whose folder need not be there yet) tells whether a volume is still the one that was mounted. `shared`: on the
    filesystem of the host or of the Engine.
    """

    folder: str
    inside: str
    host: str
    inode: int
    shared: bool

    @property
    def in_memory(self) -> bool:
        """Whether its files are memory of the host."""
        return not self.host

    def as_json(self) -> Mapping[str, Json]:
        """For `before`."""
        return asdict(self)

    @classmethod
    def of(cls, before: Before) -> Room:
        """From `before`."""
        return cls(**cast("dict[str, Any]", before["room"]))


def look(files: Rootfs, document: Document, fault: Fault, path: str) -> Room:
    """Where the path lies now. Raises BadInput for what is no folder, or what we could not find again."""
    pid, name = int(document["State"]["Pid"]), str(document["Name"]).lstrip("/")
    if not path.startswith("/"):
        raise BadInput(f"fault {fault.name}: path {path!r} is not absolute", hint="such as /tmp")
    try:
        folder = files.folder(pid, path)
    except EnvironmentBroke as error:
        raise BadInput(f"fault {fault.name}: container {name}: {error}", hint=error.hint) from error
    mount = files.mount(pid, folder)
    inside = files.inside(pid, folder)
    if mount.fstype in MEMORY_FILESYSTEMS:
        return Room(folder=folder, inside=str(inside), host="", inode=0, shared=False)
    upper = ((document.get("GraphDriver") or {}).get("Data") or {}).get("UpperDir") or ""
    sources = {str(one["Destination"]): str(one["Source"]) for one in document.get("Mounts") or () if one.get("Source")}
    source = upper if mount.point == "/" else sources.get(mount.point, "")
    if not source:
        raise BadInput(
            f"fault {fault.name}: Docker does not say where on this host {folder} of container {name} lies, so what is "
            "put there could not be removed once the container has ended",
            hint="choose a `path` on a volume",
        )
    host = Path(source) / folder.removeprefix(mount.point).lstrip("/")
    own = files.identity(inside)
    if mount.point != "/" and (own is None or own != files.identity(host)):
        raise BadInput(
            f"fault {fault.name}: {folder} of container {name} is on a volume that this host does not have at {source}",
            hint="choose another `path`",
        )
    return Room(
        folder=folder,
        inside=str(inside),
        host=str(host),
        inode=own[1] if mount.point != "/" and own is not None else 0,
        shared=mount.point == "/" or own is None or own[0] in _devices(files, upper),
    )


def leave_free(files: Rootfs, room: Room, fault: Fault, takes_bytes: int) -> None:
    """Refuse what does not fit, and what would leave too little to the host. Raises EnvironmentBroke."""
    if room.in_memory:
        stress.refuse_full_memory(fault, takes_bytes)
    space = files.space(Path(room.inside))
    least = max(LEAST_FREE_BYTES, int(space.total_bytes * LEAST_FREE_SHARE)) if room.shared else 0
    if space.free_bytes - takes_bytes < least:
        kept = f", of which {format_bytes(least)} are to stay, since it is the host's own disk" if least else ""
        raise EnvironmentBroke(
            f"fault {fault.name}: {format_bytes(takes_bytes)} asked for; {room.folder} has "
            f"{format_bytes(space.free_bytes)} free{kept}",
            hint="ask for less, or give the container a volume or a tmpfs of its own to fill",
        )


def _devices(files: Rootfs, upper: str) -> set[int]:
    found = (files.identity(Path(path)) for path in ("/", upper) if path)
    return {identity[0] for identity in found if identity is not None}
