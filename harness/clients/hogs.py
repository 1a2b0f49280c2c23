"""The door to our helper processes (hog.py): start them, find them in the process table by their mark, end them.

Nobody needs to remember a pid: a mark is made of what a fault is and what it is on, and stands in the helper's argv.
"""

from __future__ import annotations

import hashlib
import json
import os
import select
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from harness.clients import hog
from harness.clients.poll import poll
from harness.clients.process import started_at
from harness.clock import Clock, SystemClock
from harness.errors import EnvironmentBroke
from harness.journal import Json
from harness.units import NS_PER_S

PROGRAM = Path(hog.__file__)
PROC = Path("/proc")
READY_NS = 12_000_000_000
"""How long a helper may take to begin: filling memory takes about 1 s for each 2 GB."""
END_NS = 5_000_000_000
ARGV = 7
"""python -I -S hog.py --mark MARK SPEC"""
DEADLINE_S = 3600
"""A helper ends by itself after so long, whatever happens."""


class HelperEndedError(EnvironmentBroke):
    """A helper ended before it could begin its work, without a word: it was killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Helper:
    """One look at a helper: `cpu_ns` is how long it ran, `waited_ns` how long it wanted to run and had no CPU."""

    pid: int
    started_at: float
    mark: str
    parent: int
    age_ns: int
    cpu_ns: int
    waited_ns: int
    rss_bytes: int
    written_bytes: int


def mark(driver: str, fault: str, *identity: str) -> str:
    """The mark of a fault on one identity: the same whoever works it out, and fit for a file name."""
    digest = hashlib.sha256("\0".join((fault, *identity)).encode()).hexdigest()[:16]
    return f"harness-{driver}-{digest}"


class Hogs:
    """Helpers of this host."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._children: set[int] = set()

    def start(self, marked: str, specs: Sequence[Mapping[str, Json]]) -> None:
        """Start a helper for each spec and return when all are at work. Raises EnvironmentBroke, HelperEndedError."""
        begun = [self._spawn(marked, spec) for spec in specs]
        deadline_ns = self._clock.now() + READY_NS
        answers = [self._answer(pipe, deadline_ns) for pipe in begun]
        for words in answers:
            if words is None:
                raise EnvironmentBroke(f"a helper is not ready within {READY_NS / 1e9:g} s", hint="ask for less")
            if not words:
                raise HelperEndedError("a helper was killed before it was ready", hint="look at: dmesg | tail")
            if words != "ready":
                raise EnvironmentBroke(f"a helper cannot begin: {words}", hint="ask for less, or run as root")

    def find(self, marked: str) -> tuple[Helper, ...]:
        """The helpers whose mark is `marked`, or begins so, that run now."""
        return tuple(helper for pid in _pids() if (helper := _look(pid, marked)) is not None)

    def end(self, marked: str) -> None:
        """Kill the helpers with this mark; returns when they are gone. Raises EnvironmentBroke."""
        poll(lambda: not self._kill(marked), END_NS, clock=self._clock)
        left = self.find(marked)
        if left:
            raise EnvironmentBroke(
                f"helper {left[0].pid} ({marked}) outlives SIGKILL", hint=by_hand(marked) + "; it hangs in the kernel"
            )

    def _kill(self, marked: str) -> tuple[Helper, ...]:
        found = self.find(marked)
        for helper in found:
            with suppress(ProcessLookupError):
                if started_at(helper.pid) == helper.started_at:
                    os.kill(helper.pid, signal.SIGKILL)
        self._collect()
        return found

    def _collect(self) -> None:
        """Those that ended are ours to collect only when we started them; this is all that is kept of them."""
        for pid in tuple(self._children):
            with suppress(ChildProcessError):
                if os.waitpid(pid, os.WNOHANG) == (0, 0):
                    continue
            self._children.discard(pid)

    def _spawn(self, marked: str, spec: Mapping[str, Json]) -> int:
        """The reading end of its pipe."""
        whole = {"parent": os.getpid(), "deadline_s": DEADLINE_S, "cgroups": [], **spec}
        reading, writing = os.pipe()
        try:
            pid = os.posix_spawn(
                sys.executable,
                [sys.executable, "-I", "-S", str(PROGRAM), "--mark", marked, json.dumps(whole)],
                os.environ,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, writing, 1),
                    (os.POSIX_SPAWN_DUP2, writing, 2),
                ],
                setsid=True,
            )
        finally:
            os.close(writing)
        self._children.add(pid)
        return reading

    def _answer(self, pipe: int, deadline_ns: int) -> str | None:
        """What it says until it closes the pipe; None when the time is up."""
        words = b""
        poller = select.poll()
        poller.register(pipe, select.POLLIN)
        try:
            while poller.poll(max(0, deadline_ns - self._clock.now()) / 1e6):
                piece = os.read(pipe, 4096)
                if not piece:
                    return words.decode(errors="replace").strip()
                words += piece
            return None
        finally:
            os.close(pipe)


def by_hand(marked: str) -> str:
    """What a person types to end the helpers of a mark. The brackets keep it from ending the shell it is given to."""
    return f"pkill -KILL -f -e 'hog[.]py --mark {marked}'"


def _pids() -> list[int]:
    return [int(entry.name) for entry in PROC.iterdir() if entry.name.isdecimal()]


def _look(pid: int, marked: str) -> Helper | None:
    folder = PROC / str(pid)
    try:
        argv = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
        if len(argv) < ARGV or Path(argv[3]).name != PROGRAM.name or argv[4] != "--mark":
            return None
        if not argv[5].startswith(marked):
            return None
        return _helper(folder, pid, argv[5], json.loads(argv[6])["parent"])
    except (OSError, ValueError, LookupError):
        return None  # it has ended, or its argv is not ours


def _helper(folder: Path, pid: int, marked: str, parent: int) -> Helper | None:
    began = started_at(pid)
    if began is None:
        return None
    ran, waited, _ = map(int, (folder / "schedstat").read_text().split())
    io = dict(line.split(": ") for line in (folder / "io").read_text().splitlines())
    return Helper(
        pid=pid,
        started_at=began,
        mark=marked,
        parent=parent,
        age_ns=time.clock_gettime_ns(time.CLOCK_BOOTTIME) - int(began * NS_PER_S),
        cpu_ns=ran,
        waited_ns=waited,
        rss_bytes=int((folder / "statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE"),
        written_bytes=int(io["write_bytes"]),
    )
