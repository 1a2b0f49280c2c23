"""What a traffic process sees of itself each second: CPU, memory, open files, collections of
garbage, and how late its event loop is."""

from __future__ import annotations

import gc
import time
from pathlib import Path

import psutil

from harness.histogram import Histogram

TICK_NS = 10_000_000
_OWN_FILES = Path("/proc/self/fd")


class Lateness:
    """How late the event loop serves a 10 ms beat.

    Each beat that fell into a stall counts with its own lateness (100, 90, 80, ... ms), so percentiles are shares of
    time and a single long stall cannot hide behind being one sample.
    """

    def __init__(self, now_ns: int) -> None:
        self._next_ns = now_ns + TICK_NS
        self._histogram = Histogram()

    def beat(self, now_ns: int) -> int:
        """Record the beats due by `now_ns`; returns how long to sleep (ns) until the next."""
        while self._next_ns <= now_ns:
            self._histogram.record((now_ns - self._next_ns) // 1000)
            self._next_ns += TICK_NS
        return self._next_ns - now_ns

    def take(self) -> str:
        """The encoded lateness histogram (us) since the last call."""
        histogram, self._histogram = self._histogram, Histogram()
        return histogram.encode()


class Collections:
    """How long garbage collections held up this process."""

    def __init__(self) -> None:
        self._began_ns = 0
        self._spent_ns = 0

    def watch(self) -> None:
        """Be told of each collection from now on."""
        gc.callbacks.append(self._on_collection)

    def take_us(self) -> int:
        """The time (us) that collections took since the last call."""
        spent_ns, self._spent_ns = self._spent_ns, 0
        return spent_ns // 1000

    def _on_collection(self, phase: str, info: dict[str, int]) -> None:  # noqa: ARG002 - the collector's shape
        if phase == "start":
            self._began_ns = time.monotonic_ns()
        elif self._began_ns:
            self._spent_ns += time.monotonic_ns() - self._began_ns


class Gauges:
    """Cheap readings of this process (tens of microseconds): they are taken inside the event loop they watch."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._cpu_ns = time.process_time_ns()
        self._at_ns = time.monotonic_ns()

    def cpu(self) -> float:
        """The share of one core used since the last call."""
        cpu_ns, at_ns = time.process_time_ns(), time.monotonic_ns()
        used = (cpu_ns - self._cpu_ns) / max(1, at_ns - self._at_ns)
        self._cpu_ns, self._at_ns = cpu_ns, at_ns
        return round(used, 4)

    def rss_bytes(self) -> int:
        """Resident memory."""
        return int(self._process.memory_info().rss)

    def open_files(self) -> int:
        """Open descriptors. Linux >= 6.2 tells their number as the folder's size, sparing a walk over thousands."""
        try:
            return _OWN_FILES.stat().st_size or sum(1 for _ in _OWN_FILES.iterdir())
        except OSError:
            return int(self._process.num_fds())
