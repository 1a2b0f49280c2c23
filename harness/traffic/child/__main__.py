"""A traffic process: `python -m harness.traffic.child FD`. Locust lives here and nowhere else.

Importing Locust makes the whole process cooperative (gevent), so it is done after the watch on the harness has
started in a thread of its own: a child whose harness is gone ends at once, even while a scenario's code is busy.
"""

from __future__ import annotations

import _thread
import contextlib
import importlib
import os
import select
import socket
import sys

from harness.traffic.channel import Channel, control
from harness.traffic.settings import ChildSettings, read_settings
from harness.traffic.sizing.files import raise_file_limit

_start_native_thread = _thread.start_new_thread
_NativePoll = select.poll
ORPHANED = 70
_BEAT_MS = 500
_LED_MS = 3000
TABLE_FILES = 65_536


def main() -> None:
    """Read the settings from the inherited channel and become master, worker or checker."""
    descriptor = int(sys.argv[1])
    channel = Channel(socket.socket(fileno=descriptor))
    settings = read_settings(next(channel.records(), None))
    leader = os.getppid() if settings.relayed else 0
    _start_native_thread(_live_with_harness, (descriptor, settings.role == "worker", leader))
    _raise_file_limit()
    _become(settings, channel)


def _become(settings: ChildSettings, channel: Channel) -> None:
    import locust

    # The same descriptor behind a cooperative socket: reading must not stop the event loop.
    channel.rebind(socket.socket(fileno=channel.sock.detach()))
    module = importlib.import_module(f"harness.traffic.child.{settings.role}")
    module.run(settings, channel, locust.events)


def _live_with_harness(descriptor: int, beats: bool, leader: int) -> None:
    """When the other end has closed, end this process without asking anyone. Until then a worker beats twice a second.

    The master beats from its event loop: it writes long lines to its channel, and a beat must not fall into one.
    A `leader` that carries all to a harness elsewhere, and is stopped, leaves us alone with the target just the same.
    """
    stopped = 0
    poll = _NativePoll()
    poll.register(descriptor, select.POLLHUP | getattr(select, "POLLRDHUP", 0))
    beat = control({"beat": True}).encode() + b"\n"
    while not poll.poll(_BEAT_MS if beats else None):
        with contextlib.suppress(OSError):
            os.write(descriptor, beat)
        stopped = stopped + 1 if leader and _is_stopped(leader) else 0
        if stopped * _BEAT_MS >= _LED_MS:
            break
    os._exit(ORPHANED)


def _is_stopped(pid: int) -> bool:
    """Whether a process is stopped by a signal: proc(5). Elsewhere than on Linux nobody can tell."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - no more modules here
            return file.read().rpartition(")")[2].split()[0] == "T"
    except OSError:
        return False


def _raise_file_limit() -> None:
    """Each user holds a connection: take all the open files that the system allows."""
    import fcntl

    limit = raise_file_limit()
    # The kernel doubles a process's table of files as it fills, and with threads waits some 15 ms each time
    # (expand_fdtable, synchronize_rcu), in the middle of a ramp. One high number now, and the table is large enough.
    with contextlib.suppress(OSError):
        os.close(fcntl.fcntl(sys.stderr.fileno(), fcntl.F_DUPFD, min(limit, TABLE_FILES) - 1))


if __name__ == "__main__":
    main()
