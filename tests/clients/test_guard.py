"""The guard and the servers under it: nothing outlives us."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import psutil
import pytest

from harness.clients.toxiproxy_server import start_server
from harness.errors import EnvironmentBroke

WAIT_S = 10.0
SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)",
]


def _guarded(command: list[str]) -> tuple[subprocess.Popen[str], int]:
    guard = subprocess.Popen(
        [sys.executable, "-m", "harness.clients.guard", *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert guard.stdout is not None
    return guard, int(guard.stdout.readline())


def _close(guard: subprocess.Popen[str]) -> None:
    for pipe in (guard.stdin, guard.stdout, guard.stderr):
        if pipe is not None:
            pipe.close()


def _gone(pid: int) -> bool:
    deadline = time.monotonic() + WAIT_S
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > deadline:
            return False
    return True


def test_the_command_ends_when_the_pipe_closes() -> None:
    """That is what the kernel does for a parent that was killed."""
    guard, pid = _guarded(SLEEPER)
    assert guard.stdin is not None
    guard.stdin.close()
    assert guard.wait(WAIT_S) == 128 + signal.SIGTERM
    assert _gone(pid)
    _close(guard)


def test_a_command_that_ignores_sigterm_is_killed() -> None:
    """Asked first, killed then, within a limit."""
    guard, pid = _guarded(STUBBORN)
    assert guard.stderr is not None
    assert guard.stdin is not None
    assert guard.stderr.readline() == "up\n"  # now it ignores SIGTERM
    guard.stdin.close()
    assert guard.wait(WAIT_S) == 128 + signal.SIGKILL
    assert _gone(pid)
    _close(guard)


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux")
def test_the_command_dies_with_a_killed_guard() -> None:
    """Killing the guard is no way out either."""
    guard, pid = _guarded(SLEEPER)
    guard.kill()
    guard.wait(WAIT_S)
    assert _gone(pid)
    _close(guard)


def test_the_exit_code_is_the_commands() -> None:
    """A command that ends by itself ends the guard, with its code."""
    guard, _ = _guarded([sys.executable, "-c", "raise SystemExit(7)"])
    assert guard.wait(WAIT_S) == 7
    _close(guard)


def test_a_binary_that_is_not_there_is_said() -> None:
    """The launcher names what it could not start."""
    with pytest.raises(EnvironmentBroke, match=r"no-such-server did not start: cannot start no-such-server: No such"):
        start_server("no-such-server")


def test_a_binary_that_never_listens_is_given_up() -> None:
    """A server that does not come up costs the time limit, and is not left behind."""
    with pytest.raises(EnvironmentBroke, match="did not start"):
        start_server("yes", timeout_s=0.5)


@pytest.mark.needs("toxiproxy")
def test_the_go_server_ends_when_its_parent_is_killed() -> None:
    """However the harness dies, no server is left behind."""
    code = (
        "import time; from harness.clients.toxiproxy_server import start_server\n"
        "print(start_server().pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait(WAIT_S)
    parent.stdout.close()
    assert _gone(pid)
