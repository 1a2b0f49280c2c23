"""The door to another process's limit of open files (prlimit(2)): Linux only."""

from __future__ import annotations

import resource
from dataclasses import dataclass

import psutil

from harness.errors import EnvironmentBroke


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """Most open files: `soft` is what holds, `hard` is how far the process may raise it itself. -1: none."""

    soft: int
    hard: int

    def above(self, number: int) -> bool:
        """Whether it allows more than `number`."""
        return self.soft == resource.RLIM_INFINITY or self.soft > number


def open_files(pid: int) -> Limit | None:
    """The limit of a process as the kernel has it; None when the process has gone. Raises EnvironmentBroke."""
    return _prlimit(pid, None)


def set_open_files(pid: int, limit: Limit) -> None:
    """Change it; a process that has gone needs nothing. Raises EnvironmentBroke when not permitted."""
    _prlimit(pid, (limit.soft, limit.hard))


def _prlimit(pid: int, limits: tuple[int, int] | None) -> Limit | None:
    try:
        soft, hard = psutil.Process(pid).rlimit(resource.RLIMIT_NOFILE, limits) or limits or (0, 0)
    except (psutil.NoSuchProcess, ProcessLookupError):
        return None
    except (psutil.AccessDenied, OSError, ValueError) as error:
        raise EnvironmentBroke(
            f"may not read or change the limits of process {pid}: {error}", hint="run as its owner"
        ) from error
    return Limit(soft=soft, hard=hard)
