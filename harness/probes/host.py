"""The headroom of the host that the harness runs on, which the target may share.

cpu               share of all cores that was busy between two readings (the first is without it)
memory            share that is not available to programs
load1             processes running or waiting, mean of a minute
swap_used_bytes   swap in use
disk_free         share of the file system with the working folder that is free
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import psutil


class HostProbe:
    """Reads the host."""

    def __init__(self, folder: Path = Path()) -> None:
        self._folder = folder
        self._last: tuple[float, float] | None = None

    def read(self) -> Mapping[str, float]:
        """The metrics above."""
        memory, disk = psutil.virtual_memory(), psutil.disk_usage(str(self._folder))
        values = {
            "memory": 1 - memory.available / memory.total,
            "load1": os.getloadavg()[0],
            "swap_used_bytes": float(psutil.swap_memory().used),
            "disk_free": disk.free / disk.total,
        }
        now = _cpu_times()
        last, self._last = self._last, now
        if last is not None and now[0] > last[0]:
            values["cpu"] = min(1.0, max(0.0, 1 - (now[1] - last[1]) / (now[0] - last[0])))
        return values


def _cpu_times() -> tuple[float, float]:
    """CPU seconds of all cores since boot: in all, and idle (waiting for the disk is idle).

    Time of guests is part of user time already, and would be counted twice.
    """
    times = psutil.cpu_times()
    total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
    return total, times.idle + getattr(times, "iowait", 0.0)
