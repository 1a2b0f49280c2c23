"""Run one command that must not outlive us: `python -m harness.clients.guard COMMAND...`.

The guard ends the command when its own standard input ends, which the kernel does for us however the parent dies,
and ends itself, with the same exit code, when the command does. Its first line of output is the command's pid. If
the guard is killed, the kernel kills the command (PR_SET_PDEATHSIG; the guard has one thread, so the trap of that
call, that it follows the *thread* which started the child, does not bite here).
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable

PR_SET_PDEATHSIG = 1
TERM_S = 3.0
"""How long the command may take to end in order before it is killed."""


def main(command: list[str]) -> int:
    """Run the command until it or our standard input ends."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the parent decides, by closing the pipe
    awake, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # so that the end of the command wakes `select`
    try:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            preexec_fn=_die_with_parent(),  # noqa: PLW1509 - we have one thread
        )
    except OSError as error:
        print(f"cannot start {command[0]}: {error.strerror}", file=sys.stderr)
        return 127
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    print(child.pid, flush=True)
    while child.poll() is None:
        ready, _, _ = select.select([awake, sys.stdin.fileno()], [], [])
        if awake in ready:
            os.read(awake, 4096)
        elif not os.read(sys.stdin.fileno(), 4096):
            _end(child)
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


def _die_with_parent() -> Callable[[], object] | None:
    """What the child asks of the kernel before it becomes the command; Linux only."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    return lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _end(child: subprocess.Popen[bytes]) -> None:
    """Ask, wait, kill."""
    child.terminate()
    try:
        child.wait(TERM_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
