"""The door to the user's own commands: in a session of its own, under a time limit, the end of its output kept.

A command must not go on when the harness that waits for it has been killed: an injection that ends after the healing
would stay. So a shell stands between, with a pipe from us as its input; when that ends, however we died, it kills the
whole process group. What a command that has ended leaves running is left alone.
"""

from __future__ import annotations

import os
import select
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from harness.clients.process import end_groups
from harness.clock import SystemClock
from harness.errors import EnvironmentBroke
from harness.units import NS_PER_S

KEPT_BYTES = 64 << 10
GRACE_NS = NS_PER_S
"""How long a command may take to end in order, once its time is up."""

_CHUNK = 1 << 16
_LOOK_S = 0.05
_SUPERVISOR = """
exec 3<&0 </dev/null
"$@" 3<&- &
command=$!
( read -r _ <&3; kill -KILL 0 ) >/dev/null 2>&1 &
watcher=$!
exec 3<&-
wait "$command"
status=$?
kill "$watcher" 2>/dev/null
exit "$status"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How a command ended: its exit code (128 + signal when one ended it), None when its time was up."""

    code: int | None
    output: str
    took_ns: int


def run(words: Sequence[str], *, cwd: str, env: Mapping[str, str], timeout_ns: int) -> Ran:
    """Run a command to its end or the limit; `env` is added to ours. Raises EnvironmentBroke when none can start."""
    clock = SystemClock()
    lifeline, ours = os.pipe()
    try:
        child = subprocess.Popen(
            ["sh", "-c", _SUPERVISOR, "sh", *words],
            cwd=cwd or None,
            env={**os.environ, **env},
            stdin=lifeline,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        os.close(ours)
        raise EnvironmentBroke(f"{error.filename or 'sh'}: cannot be started: {error.strerror}") from error
    finally:
        os.close(lifeline)
    try:
        output, in_time = _collect(child, clock, clock.now() + timeout_ns)
    finally:
        if child.poll() is None:
            end_groups((child.pid,), grace_ns=GRACE_NS)
        os.close(ours)
        child.wait()
        if child.stdout is not None:
            child.stdout.close()
    code = child.returncode if child.returncode >= 0 else 128 - child.returncode
    return Ran(code=code if in_time else None, output=output.decode(errors="replace"), took_ns=clock.now())


def end_marked(marks: Mapping[str, str]) -> None:
    """End commands that carry all of `marks` in their environment and that somebody has stopped waiting for.

    Found by the shell that stands between: what a command that has ended leaves running has none any more.
    """
    wanted = {f"{name}={value}".encode() for name, value in marks.items()}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            ours = _SUPERVISOR.encode() in (entry / "cmdline").read_bytes().split(b"\0")
            if ours and wanted <= set((entry / "environ").read_bytes().split(b"\0")):
                end_groups((os.getpgid(int(entry.name)),), grace_ns=GRACE_NS)


def _collect(child: subprocess.Popen[bytes], clock: SystemClock, deadline_ns: int) -> tuple[bytes, bool]:
    """The end of what it prints until it has ended; whether that was in time."""
    assert child.stdout is not None  # noqa: S101 - a pipe was asked for
    file = child.stdout.fileno()
    kept = b""
    while (left_ns := deadline_ns - clock.now()) > 0:
        ended = child.poll() is not None  # asked before reading: what it printed before its end is in the pipe by then
        while select.select([file], [], [], 0 if ended else min(_LOOK_S, left_ns / NS_PER_S))[0]:
            chunk = os.read(file, _CHUNK)
            kept = (kept + chunk)[-KEPT_BYTES:]
            if not chunk:
                with suppress(subprocess.TimeoutExpired):
                    child.wait(max(0.0, (deadline_ns - clock.now()) / NS_PER_S))
                return kept, child.returncode is not None
            if clock.now() > deadline_ns:
                break
        if ended:
            return kept, True
    return kept, False
