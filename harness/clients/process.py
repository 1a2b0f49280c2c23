"""The door to processes of this host: who they are, what they use, signals to a whole group, and an end for sure.

A process is a pid *and* its start time: a pid alone may be somebody else's by now.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from harness.clients.poll import poll
from harness.errors import EnvironmentBroke

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
TERM_NS = 5_000_000_000
"""How long a group may take to end in order before it is killed."""
KILL_NS = 5_000_000_000


class NoSuchProcessError(EnvironmentBroke):
    """The process has gone, or is a zombie that only waits to be collected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one process has used: CPU seconds since it began, and what it holds now. None where not permitted."""

    pid: int
    started_at: float
    cpu_s: float
    rss_bytes: int
    threads: int
    open_files: int | None


def started_at(pid: int) -> float | None:
    """When a process started, in seconds since the machine's boot; None when it has gone. With the pid, its identity.

    From /proc/PID/stat, field 22 (proc(5)): psutil's `create_time` is on the wall clock, which may be set meanwhile.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None if Path("/proc/self/stat").exists() else _started_by_wall(pid)
    state, *rest = text.rpartition(")")[2].split()
    return None if state in {"Z", "X"} else int(rest[18]) / _TICKS_PER_S


def _started_by_wall(pid: int) -> float | None:
    """Where there is no /proc."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return None


def is_still(pid: int, began: float | None) -> bool:
    """Whether a pid, and so a process group of that number, still stands for what started at `began`.

    True too when the process has gone but nobody else has its pid: its children may be left in the group, and as long
    as they are, the kernel gives the number to nobody else.
    """
    return started_at(pid) in {began, None}


def stopped(pid: int) -> bool:
    """Whether a process is stopped (state T). Raises NoSuchProcessError."""
    with _errors(pid):
        return psutil.Process(pid).status() == psutil.STATUS_STOPPED


def tree(pid: int) -> tuple[Usage, ...]:
    """What a process and its descendants use, the process first. Raises NoSuchProcessError when it has gone."""
    with _errors(pid):
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            raise NoSuchProcessError(f"process {pid} has ended")
        first = _usage(process)
        if not first.rss_bytes:  # it is being taken apart: its memory goes before it becomes a zombie
            raise NoSuchProcessError(f"process {pid} is ending")
        children = process.children(recursive=True)
    return (first, *(usage for child in children if (usage := _usage_or_none(child)) is not None))


def group(pgid: int) -> tuple[int, ...]:
    """The pids of a process group, zombies left out."""
    return tuple(process.pid for process in _running() if _pgid(process.pid) == pgid)


def signal_group(pgid: int, number: signal.Signals) -> bool:
    """Send a signal to every process of a group; False when there is none. Raises EnvironmentBroke if not permitted."""
    try:
        os.killpg(pgid, number)
    except ProcessLookupError:
        return False
    except PermissionError as error:
        raise EnvironmentBroke(
            f"may not send {number.name} to process group {pgid}", hint="run as its owner"
        ) from error
    return True


def end_groups(pgids: tuple[int, ...], *, grace_ns: int = TERM_NS) -> tuple[int, ...]:
    """Ask groups to end (also those that are stopped), then kill; the groups that are still there, normally none."""
    for pgid in pgids:
        signal_group(pgid, signal.SIGTERM)
        signal_group(pgid, signal.SIGCONT)
    if not poll(lambda: not _left(pgids), grace_ns):
        for pgid in pgids:
            signal_group(pgid, signal.SIGKILL)
        poll(lambda: not _left(pgids), KILL_NS)
    return _left(pgids)


def _left(pgids: tuple[int, ...]) -> tuple[int, ...]:
    alive = {_pgid(process.pid) for process in _running()}
    return tuple(pgid for pgid in pgids if pgid in alive)


def _running() -> Iterator[psutil.Process]:
    """All processes of the host but zombies (about 5 ms for 76)."""
    return (p for p in psutil.process_iter(["status"]) if p.info["status"] != psutil.STATUS_ZOMBIE)


def _pgid(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def _usage(process: psutil.Process) -> Usage:
    with process.oneshot():
        times = process.cpu_times()
        return Usage(
            pid=process.pid,
            started_at=process.create_time(),
            cpu_s=times.user + times.system,
            rss_bytes=process.memory_info().rss,
            threads=process.num_threads(),
            open_files=_open_files(process),
        )


def _usage_or_none(process: psutil.Process) -> Usage | None:
    """None for a child that ended while we looked: that is no trouble of its parent."""
    try:
        return _usage(process)
    except psutil.NoSuchProcess:
        return None


def _open_files(process: psutil.Process) -> int | None:
    try:
        return process.num_fds()
    except psutil.AccessDenied:
        return None


@contextmanager
def _errors(pid: int) -> Iterator[None]:
    try:
        yield
    except psutil.NoSuchProcess as error:
        raise NoSuchProcessError(f"process {pid} has ended") from error
    except psutil.AccessDenied as error:
        raise EnvironmentBroke(f"may not look at process {pid}", hint="run as its owner") from error
