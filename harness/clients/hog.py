"""A helper that uses something up beside what is under test: `python -I -S hog.py --mark MARK SPEC`.

It is run as a file of its own and imports nothing of ours: it lives in a container's cgroup and must stay small there.

    cpu     busy for a share of each tenth of a second
    memory  holds so many bytes, written to, so that they are really there
    io      writes and syncs a file that has no name any more, over and over

SPEC is JSON: the work and its parameters, and whom it depends on. However it was started it ends by itself when the
process that started it has gone, when its target (the container's first process, the service) has gone, which the
Engine waits for when it removes a cgroup, and when its deadline has passed. PR_SET_PDEATHSIG would not do: it follows
the *thread* that started us, which ends long before. It says `ready` on its standard output, or why it cannot.
"""

from __future__ import annotations

import json
import mmap
import os
import select
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

Spec = dict[str, Any]

LOOK_EVERY_S = 0.5
PERIOD_S = 0.1
PIECE_BYTES = 1 << 20


def main(spec: Spec) -> None:
    """Watch, join, work."""
    end = threading.Thread(target=_watch, args=(spec, _target(spec)), daemon=True)
    if _over(spec):
        return
    end.start()
    _join(spec)
    WORK[spec["work"]](spec)


def started_s(pid: int) -> float:
    """When a process began, in seconds since boot (proc(5), field 22). Raises OSError when it has gone."""
    text = Path(f"/proc/{pid}/stat").read_bytes()
    return int(text.rpartition(b")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")


def _target(spec: Spec) -> select.poll:
    """Wakes when the target ends, where the kernel has pidfd_open (5.3); else we look now and then."""
    poller = select.poll()
    with suppress(OSError, AttributeError):  # `_over` looks at the process table
        poller.register(os.pidfd_open(spec["target"]), select.POLLIN)
    return poller


def _watch(spec: Spec, target: select.poll) -> None:
    deadline_s = time.monotonic() + spec["deadline_s"]
    while not target.poll(LOOK_EVERY_S * 1000) and time.monotonic() < deadline_s and not _over(spec):
        pass
    os._exit(0)  # ends the work in the other thread too, whatever it waits for


def _over(spec: Spec) -> bool:
    """Whether the harness or the target has gone. When our parent ends, the kernel gives us another."""
    try:
        return os.getppid() != spec["parent"] or bool(started_s(spec["target"]) != spec["target_started"])
    except OSError:
        return True


def _join(spec: Spec) -> None:
    """Take the target's place: its cgroups, CPUs and niceness."""
    for place in spec["cgroups"]:
        Path(place).write_text(str(os.getpid()))
    os.sched_setaffinity(0, os.sched_getaffinity(spec["target"]))
    os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, spec["target"]))
    Path("/proc/self/oom_score_adj").write_text(str(spec["oom_score_adj"]))


def _ready() -> None:
    """Say so, and close the pipe."""
    os.write(1, b"ready\n")
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


def _cpu(spec: Spec) -> None:
    _ready()
    while True:
        begun_s = time.monotonic()
        while time.monotonic() < begun_s + spec["load"] * PERIOD_S:
            pass
        time.sleep(max(0.0, begun_s + PERIOD_S - time.monotonic()))


def _memory(spec: Spec) -> None:
    held = mmap.mmap(-1, spec["bytes"])
    piece = b"\x5a" * PIECE_BYTES
    for start in range(0, spec["bytes"], PIECE_BYTES):
        if _available_bytes() < spec["leave_bytes"]:  # looked at as we go: we may not be the only one
            raise OSError(f"less than {spec['leave_bytes']} bytes of this host's memory would be left")
        size = min(PIECE_BYTES, spec["bytes"] - start)
        held[start : start + size] = piece[:size]
    _ready()
    threading.Event().wait()


def _available_bytes() -> int:
    words = Path("/proc/meminfo").read_text().partition("MemAvailable:")[2].split()
    return int(words[0]) * 1024


def _io(spec: Spec) -> None:
    file = os.open(spec["path"], os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW, 0o600)
    Path(spec["path"]).unlink()
    piece = b"\x5a" * PIECE_BYTES
    _ready()
    while True:
        for start in range(0, spec["bytes"], PIECE_BYTES):
            os.pwrite(file, piece, start)
        os.fdatasync(file)


WORK: dict[str, Callable[[Spec], None]] = {"cpu": _cpu, "memory": _memory, "io": _io}

if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[3]))
    except (OSError, ValueError) as error:
        os.write(1, f"{error}".encode())
