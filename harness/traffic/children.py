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
from typing import Protocol

from harness.traffic.channel import Channel
from harness.traffic.settings import ChildSettings

_END_STEPS_S = ((None, 1.5), (signal.SIGTERM, 1.0), (signal.SIGKILL, 2.0))
_LOG_TAIL_BYTES = 2000
SCENARIO_QUIT = 71
CLEAN_EXIT = "exited with code 0"
TOKEN = "HARNESS_TOKEN"  # noqa: S105 - the variable's name
"""What lets workers join. It is for the harness alone: no scenario and no log of one sees it."""


class Child(Protocol):
    """A traffic process, here or on a joined host: `worker` is its number, -1 for the master or a checker."""

    @property
    def name(self) -> str:
        """What a person calls it."""

    @property
    def worker(self) -> int:
        """Its number."""

    @property
    def channel(self) -> Channel:
        """Our end of its channel."""

    @property
    def log(self) -> Path:
        """Where its output is, or will be."""

    def hang_up(self) -> None:
        """Close its channel, which ends it."""

    def send_signal(self, number: int) -> None:
        """Signal it and what it has started; nothing when it is gone."""

    def exited(self, deadline_s: float) -> bool:
        """Whether it has ended by this instant of time.monotonic()."""

    def how_ended(self) -> str:
        """In words, how one that has closed its channel ended."""

    def log_tail(self) -> str:
        """The last lines that it wrote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalChild:
    """A traffic process of this machine."""

    name: str
    worker: int
    process: subprocess.Popen[bytes]
    channel: Channel
    log: Path

    def hang_up(self) -> None:
        """Close its channel: it ends by itself. A thread that reads the channel wakes."""
        with contextlib.suppress(OSError):
            self.channel.sock.shutdown(socket.SHUT_RDWR)
        self.channel.sock.close()

    def send_signal(self, number: int) -> None:
        """Signal the child's whole group: a scenario may have started helpers of its own."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)

    def exited(self, deadline_s: float) -> bool:
        """Whether the process has ended by then."""
        try:
            self.process.wait(timeout=max(0.0, deadline_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            return False
        return True

    def how_ended(self) -> str:
        """By its exit code or signal."""
        try:
            code = self.process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            return "closed its channel"
        if code == SCENARIO_QUIT:
            return "was ended by the scenario's own runner.quit()"
        if code < 0:
            return f"was killed by {signal.Signals(-code).name}"
        return f"exited with code {code}"

    def log_tail(self) -> str:
        """The end of its log file."""
        return tail_of(self.log)


def launch(settings: ChildSettings, name: str, log_dir: Path, *, cwd: Path | None = None) -> LocalChild:
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
                cwd=cwd,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
    except OSError:
        ours.close()
        raise
    channel = Channel(ours)
    worker = settings.worker if settings.role == "worker" else -1
    child = LocalChild(name=name, worker=worker, process=process, channel=channel, log=log)
    channel.send(settings.to_json())
    return child


def end(children: Iterable[Child]) -> None:
    """Close the channels, which ends the children by themselves; then ask, then force. Bounded: 4.5 s."""
    left = list(children)
    for child in left:
        child.hang_up()
    for number, limit_s in _END_STEPS_S:
        if number is not None:
            for child in left:
                child.send_signal(number)
        deadline_s = time.monotonic() + limit_s
        left = [child for child in left if not child.exited(deadline_s)]


def tail_of(log: Path, most_bytes: int = _LOG_TAIL_BYTES) -> str:
    """The end of a log file, the empty string when there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - most_bytes))
            return file.read().decode(errors="replace").strip()
    except OSError:
        return ""


def _environment() -> dict[str, str]:
    root = str(Path(__file__).resolve().parents[2])
    known = os.environ.get("PYTHONPATH", "")
    env = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": f"{root}{os.pathsep}{known}" if known else root}
    env.pop("LOCUST_SKIP_MONKEY_PATCH", None)
    env.pop(TOKEN, None)
    return env
