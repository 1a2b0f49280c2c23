"""Memory that this process and its children may still take: of the machine, or of their control group if less."""

from __future__ import annotations

import math
from pathlib import Path

import psutil

_ROOT = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")
_UNLIMITED = 1 << 60


def available_bytes(root: Path = _ROOT, own: Path = _OWN) -> float:
    """What is left without swapping (proc_pid_cgroup(5), cgroup v1 memory.txt and cgroup-v2.txt of the kernel)."""
    folders = _folders(root, own)
    return min([float(psutil.virtual_memory().available), *(_left_in(folder) for folder in folders)])


def _folders(root: Path, own: Path) -> list[Path]:
    """The control groups above this process that may limit its memory, itself first."""
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    found: list[Path] = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "" or "memory" in controllers.split(","):
            top = root / "memory" if controllers else root
            group = top / path.lstrip("/")
            found += [folder for folder in (group, *group.parents) if folder.is_relative_to(top)]
    return found


def _left_in(folder: Path) -> float:
    """A group's limit less what it uses; its file cache that is not in use can be taken back."""
    for limit_name, used_name, cache_name in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        limit, used = _number(folder / limit_name), _number(folder / used_name)
        if limit is not None and used is not None and limit < _UNLIMITED:
            return max(0.0, limit - used + _stat(folder / "memory.stat", cache_name))
    return math.inf


def _number(file: Path) -> float | None:
    try:
        return float(file.read_text(encoding="ascii"))
    except (OSError, ValueError):  # "max" is no limit
        return None


def _stat(file: Path, name: str) -> float:
    try:
        words = [line.split() for line in file.read_text(encoding="ascii").splitlines()]
    except OSError:
        return 0.0
    return next((float(value) for key, value in words if key == name), 0.0)
