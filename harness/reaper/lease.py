"""The run's end of the lease."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from harness.clients.process import started_at
from harness.errors import EnvironmentBroke
from harness.ledger import Ledger, Watched
from harness.reaper import BEAT, LEASE_NS, READY, RELEASE
from harness.units import NS_PER_S

READY_S = 10.0
SILENT_NS = 3 * NS_PER_S // 2
"""So long may an answer be due; the run renews every half second, so it knows within 2 s."""
END_S = 5.0
LOG = "reaper.log"
_DROPPED = ("RUNNER_TRACKING_ID", "BUILD_ID", "JENKINS_SERVER_COOKIE", "JENKINS_NODE_COOKIE")
"""By these, CI systems find and end what a job has left running (GitHub's runner, Jenkins): the reaper must stay."""


class ReaperLease:
    """Starts the reaper of one ledger and renews its lease. `drivers` are imported by it at once, not in need."""

    def __init__(self, ledger: Ledger, *, log_dir: Path, drivers: Iterable[str] = (), lease_ns: int = LEASE_NS) -> None:
        self._ledger = ledger
        self._log = log_dir / LOG
        self._drivers = tuple(drivers)
        self._lease_ns = lease_ns
        self._process: subprocess.Popen[bytes] | None = None
        self._asked_ns: int | None = None
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start it; returns when it has said that it is ready, and the ledger knows it. Raises EnvironmentBroke."""
        try:
            self._process = process = self._started()
        except OSError as error:
            raise EnvironmentBroke(
                f"the reaper cannot be started, so nothing would heal if this run died: {error.strerror}"
            ) from error
        assert process.stdin and process.stdout  # noqa: S101 - both are pipes
        os.set_blocking(process.stdin.fileno(), False)
        os.set_blocking(process.stdout.fileno(), False)
        readable, _, _ = select.select([process.stdout], [], [], READY_S)
        said = os.read(process.stdout.fileno(), 4096) if readable else b""
        began = started_at(process.pid)
        if said.decode().strip() != READY or began is None:
            process.kill()
            raise EnvironmentBroke(
                f"the reaper did not start, so nothing would heal if this run died: {self._words()}",
                hint=f"its own words are in {self._log}",
            )
        self._ledger.append(Watched(pid=process.pid, pid_started=began))

    def _started(self) -> subprocess.Popen[bytes]:
        words = ["--ledger", str(self._ledger.path), "--lease-ns", str(self._lease_ns), *self._drivers]
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "harness.reaper", *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={name: value for name, value in os.environ.items() if name not in _DROPPED},
                start_new_session=True,
            )

    def renew(self) -> None:
        """One beat; never waits. Raises EnvironmentBroke when the reaper has gone or is silent."""
        with self._lock:
            process = self._process
            if process is None:
                return
            assert process.stdin and process.stdout  # noqa: S101 - both are pipes
            now = time.monotonic_ns()
            with suppress(BlockingIOError):
                if os.read(process.stdout.fileno(), 65536):
                    self._asked_ns = None
            if process.poll() is not None:
                raise EnvironmentBroke(f"the reaper (pid {process.pid}) has ended: {self._words()}")
            if self._asked_ns is not None and now - self._asked_ns > SILENT_NS:
                raise EnvironmentBroke(f"the reaper (pid {process.pid}) does not answer")
            self._asked_ns = self._asked_ns or now
            try:
                os.write(process.stdin.fileno(), f"{BEAT}\n".encode())
            except OSError as error:
                raise EnvironmentBroke(f"the reaper (pid {process.pid}) does not listen") from error

    def release(self) -> None:
        """Let it end; one that does not is killed. Nothing is left for it to do."""
        with self._lock:
            process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin and process.stdout  # noqa: S101 - both are pipes
        with suppress(OSError):
            os.write(process.stdin.fileno(), f"{RELEASE}\n".encode())
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            with suppress(subprocess.TimeoutExpired):  # in the kernel's hands, on a hung disk say: it heals no more
                process.wait(END_S)
        process.stdin.close()
        process.stdout.close()

    def _words(self) -> str:
        with suppress(OSError):
            lines = self._log.read_text(errors="replace").strip().splitlines()
            return lines[-1] if lines else "it said nothing"
        return "it said nothing"
