"""The files of a container in a folder of the test: the same seen from the container and on the host, as a layer is."""

# ruff: noqa: D102 - the calls are those of Rootfs

from __future__ import annotations

from pathlib import Path

from harness.clients.rootfs import Mount, Rootfs, Space
from tests.faults.crash import Fate


class OnDisk(Rootfs):
    """`root` is the container's. Plenty of room, unless said otherwise; each change is a step."""

    def __init__(self, root: Path, fate: Fate | None = None) -> None:
        self.root = root
        self.fate = fate or Fate()
        self.free_bytes = 100 << 30
        self.fstype = "overlay"
        self.point = "/"

    def inside(self, pid: int, path: str) -> Path:
        return self.root / path.lstrip("/")

    def mount(self, pid: int, folder: str) -> Mount:
        return Mount(point=self.point, fstype=self.fstype)

    def space(self, path: Path) -> Space:
        return Space(free_bytes=self.free_bytes, total_bytes=100 << 30)

    def allocate(self, path: Path, size_bytes: int) -> None:
        path.touch(exist_ok=False)
        self.fate.step()  # dead between making the file and filling it
        path.unlink()
        super().allocate(path, size_bytes)
        self.fate.step()

    def remove(self, path: Path) -> None:
        super().remove(path)
        self.fate.step()
