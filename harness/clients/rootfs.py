"""The door to a container's files from the host, through /proc/PID/root: no shell in the image is needed. Needs root.

A symbolic link with an absolute target would lead out of the container and into the host: `/proc/PID/root` is a door,
not a wall. So a path is taken apart here, link by link, as the container sees it.
"""

from __future__ import annotations

import errno
import os
import re
from dataclasses import dataclass
from pathlib import Path

from harness.errors import EnvironmentBroke

PROC = Path("/proc")
MOST_LINKS = 40
"""As the kernel has it (ELOOP)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """What a filesystem has, and what of it somebody without privileges may still use."""

    free_bytes: int
    total_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """Where a filesystem is mounted in the container, and its type."""

    point: str
    fstype: str


class Rootfs:
    """Acts on files. Raises EnvironmentBroke with the kernel's words; what is not there is no error of `remove`."""

    def inside(self, pid: int, path: str) -> Path:
        """A path of the container, as the host reaches it."""
        return PROC / str(pid) / "root" / path.lstrip("/")

    def folder(self, pid: int, path: str) -> str:
        """A path of the container, freed of links. Raises EnvironmentBroke unless it is a folder to write to."""
        found = self._resolve(pid, path)
        place = self.inside(pid, found)
        if not place.is_dir():
            raise EnvironmentBroke(f"{path} is no folder in the container", hint="name one that is there")
        if not os.access(place, os.W_OK):
            raise EnvironmentBroke(f"{path} is read-only in the container", hint="name a folder that can be written to")
        return found

    def _resolve(self, pid: int, path: str) -> str:
        todo, done, links = [part for part in path.split("/") if part][::-1], Path("/"), 0
        while todo:
            part = todo.pop()
            if part in {".", ".."}:
                done = done.parent if part == ".." else done
                continue
            try:
                target = str(self.inside(pid, str(done / part)).readlink())
            except OSError as error:
                if error.errno != errno.EINVAL:  # EINVAL: it is there, and no link
                    raise EnvironmentBroke(f"{path}: {error.strerror} in the container", hint="name another") from error
                done = done / part
                continue
            links += 1
            if links > MOST_LINKS:
                raise EnvironmentBroke(f"{path}: too many links in the container", hint="name another")
            done = Path("/") if target.startswith("/") else done
            todo += [part for part in target.split("/") if part][::-1]
        return str(done)

    def mount(self, pid: int, folder: str) -> Mount:
        """The mount that a folder without links lies on: the last one that is the nearest (proc(5), mountinfo)."""
        best = Mount(point="", fstype="")
        for line in (PROC / str(pid) / "mountinfo").read_text().splitlines():
            mine, _, theirs = line.partition(" - ")
            point = re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), mine.split()[4])
            if len(point) >= len(best.point) and f"{folder}/".startswith(point.rstrip("/") + "/"):
                best = Mount(point=point, fstype=theirs.split()[0])
        return best

    def space(self, path: Path) -> Space:
        """Of the filesystem that a path lies on."""
        found = os.statvfs(path)
        return Space(free_bytes=found.f_bavail * found.f_frsize, total_bytes=found.f_blocks * found.f_frsize)

    def identity(self, path: Path) -> tuple[int, int] | None:
        """Device and inode; None when there is nothing."""
        try:
            found = path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def allocate(self, path: Path, size_bytes: int) -> None:
        """A new file of that size, with all its blocks taken. Raises EnvironmentBroke; what was made is left."""
        try:
            file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(file, 0, size_bytes)
            finally:
                os.close(file)
        except OSError as error:
            raise EnvironmentBroke(f"cannot fill {path}: {error.strerror}", hint="ask for less") from error

    def taken(self, path: Path) -> int | None:
        """Bytes that a file takes on the disk; None when it is not there."""
        try:
            return path.lstat().st_blocks * 512
        except OSError:
            return None

    def remove(self, path: Path) -> None:
        """Remove a file; fine when it is not there."""
        try:
            path.unlink(missing_ok=True)
        except NotADirectoryError:
            return
        except OSError as error:
            raise EnvironmentBroke(f"cannot remove {path}: {error.strerror}", hint=f"rm -f {path}") from error
