"""One process and its descendants.

    cpu          cores used, so a share of *one* core: 0.8 is a single-threaded program near its end, 3.0 is three cores
    memory       resident memory as a share of the host's
    rss_bytes    resident memory; pages that processes share are counted in each
    threads      threads of all
    open_files   open files and sockets of all; left out where this user may not see them

CPU is between two readings, so the first reading, and the first after a restart, is without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import psutil

from harness.clients import process
from harness.clients.process import Usage
from harness.clock import Clock, SystemClock
from harness.errors import EnvironmentBroke
from harness.units import NS_PER_S

Spent = Mapping[tuple[int, float], float]
"""(pid, start time) -> CPU seconds since it began."""


class ProcessProbe:
    """Reads one process tree; `resolve` gives the pid each time, since it changes with each restart."""

    def __init__(self, resolve: Callable[[], int | None], *, of: str = "process", clock: Clock | None = None) -> None:
        self._resolve = resolve
        self._of = of
        self._clock = clock or SystemClock()
        self._last: tuple[int, Spent] | None = None

    def read(self) -> Mapping[str, float]:
        """The metrics above. Raises HarnessError when the process has ended."""
        pid = self._resolve()
        if pid is None:
            self._last = None
            raise EnvironmentBroke(f"{self._of} does not run")
        usages = process.tree(pid)
        at_ns = self._clock.now()
        spent = {(u.pid, u.started_at): u.cpu_s for u in usages}
        last, self._last = self._last, (at_ns, spent)
        values = gauges(usages, host_bytes=psutil.virtual_memory().total)
        first = (usages[0].pid, usages[0].started_at)
        if last is not None and first in last[1] and at_ns > last[0]:
            values["cpu"] = cpu_s(spent, last[1]) / ((at_ns - last[0]) / NS_PER_S)
        return values


def gauges(usages: tuple[Usage, ...], *, host_bytes: int) -> dict[str, float]:
    """Sums over the tree; open files only when all could be seen."""
    rss = sum(u.rss_bytes for u in usages)
    values = {"rss_bytes": float(rss), "memory": rss / host_bytes, "threads": float(sum(u.threads for u in usages))}
    files = [u.open_files for u in usages if u.open_files is not None]
    if len(files) == len(usages):
        values["open_files"] = float(sum(files))
    return values


def cpu_s(now: Spent, last: Spent) -> float:
    """CPU seconds between two looks: of each process by itself, so that a child that ended takes nothing away."""
    return sum(max(0.0, spent - last.get(who, 0.0)) for who, spent in now.items())
