"""Open files: how many a traffic process may have, here. Each user holds a connection, and each connection is one.

A process may raise its soft limit to its hard one; the hard one only with CAP_SYS_RESOURCE, and then up to fs.nr_open
(getrlimit(2), capabilities(7)). Pure Python without gevent: traffic processes use it before Locust is imported.
"""

from __future__ import annotations

import contextlib
import resource
import sys
from pathlib import Path

MOST_FILES = 262_144
"""More is never asked for: one process has no CPU for so many users."""
FILES_KEPT = 64
"""What a traffic process has open besides its users' connections."""
_CAP_SYS_RESOURCE = 24
_STATUS, _NR_OPEN = Path("/proc/self/status"), Path("/proc/sys/fs/nr_open")


def files_at_most() -> int:
    """How many files a traffic process will be able to open on this machine."""
    hard = _hard_limit()
    return max(hard, _raised_to()) if hard < MOST_FILES else hard


def raise_file_limit() -> int:
    """Raise the limit of this process as far as it may, and as is of use; returns what it is then."""
    hard = _hard_limit()
    wanted = max(hard, _raised_to()) if hard < MOST_FILES else hard
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
        return wanted
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def _hard_limit() -> int:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return sys.maxsize if hard == resource.RLIM_INFINITY else hard


def _raised_to() -> int:
    """How far the hard limit can be raised by this process; 0 when it may not."""
    try:
        status = _STATUS.read_text(encoding="ascii", errors="replace")
        capabilities = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:"))
        return (
            min(MOST_FILES, int(_NR_OPEN.read_text(encoding="ascii"))) if capabilities >> _CAP_SYS_RESOURCE & 1 else 0
        )
    except (OSError, ValueError, IndexError, StopIteration):
        return 0
