"""Starting, hearing and ending the traffic processes. Each has a session of its own, a log file and one channel."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.traffic.channel import Channel
from harness.traffic.settings import ChildSettings

_END_STEPS_S = ((None, 1.5), (signal.SIGTERM, 1.0), (signal.SIGKILL, 2.0))
_LOG_TAIL_BYTES = 2000
SCENARIO_QUIT = 71


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A traffic process: `worker` is its number, -1 for the master or a checker."""

    name: str
    worker: int
    process: subprocess.Popen[bytes]
    channel: Channel
    log: Path


def launch(settings: ChildSettings, name: str, log_dir: Path) -> Child:
    """Start a child and give it its settings. Raises OSError."""
    log_dir.mkdir(parents=True, exist_ok=True)
    ours, theirs = socket.socketpair()
    log = log_dir / f"traffic-{name}.log"
    try:
        with theirs, log.open("ab") as output:
            process = subprocess.Popen(
                # -P: a file of the user's folder must not stand in for a module of ours
                [sys.executable, "-P", "-m", "harness.traffic.child", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=_environment(),
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
    except OSError:
        ours.close()
        raise
    channel = Channel(ours)
    worker = settings.worker if settings.role == "worker" else -1
    child = Child(name=name, worker=worker, process=process, channel=channel, log=log)
    channel.send(settings.to_json())
    return child


def end(children: Iterable[Child]) -> None:
    """Close the channels, which ends the children by themselves; then ask, then force. Bounded: 4.5 s."""
    left = list(children)
    for child in left:
        child.channel.sock.close()
    for number, limit_s in _END_STEPS_S:
        if number is not None:
            for child in left:
                send_signal(child, number)
        deadline = time.monotonic() + limit_s
        left = [child for child in left if not _exited(child, deadline)]


def send_signal(child: Child, number: int) -> None:
    """Signal the child's whole group: a scenario may have started helpers of its own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.process.pid, number)


def how_ended(child: Child) -> str:
    """In words, how a child that has closed its channel ended."""
    try:
        code = child.process.wait(timeout=1.0)
    except subprocess.TimeoutExpired:
        return "closed its channel"
    if code == SCENARIO_QUIT:
        return "was ended by the scenario's own runner.quit()"
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"exited with code {code}"


def log_tail(child: Child) -> str:
    """The last lines that the child wrote."""
    try:
        with child.log.open("rb") as file:
            file.seek(max(0, child.log.stat().st_size - _LOG_TAIL_BYTES))
            return file.read().decode(errors="replace").strip()
    except OSError:
        return ""


def _exited(child: Child, deadline: float) -> bool:
    try:
        child.process.wait(timeout=max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return False
    return True


def _environment() -> dict[str, str]:
    root = str(Path(__file__).resolve().parents[2])
    known = os.environ.get("PYTHONPATH", "")
    env = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": f"{root}{os.pathsep}{known}" if known else root}
    env.pop("LOCUST_SKIP_MONKEY_PATCH", None)
    return env
