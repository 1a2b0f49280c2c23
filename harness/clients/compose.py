"""The door to Docker Compose: the `docker compose` plugin (v2), else `docker-compose` (v1).

Every call has a time limit.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import psutil

from harness.clients import process
from harness.errors import EnvironmentBroke

ASK_S = 15.0
UP_S = 480.0
"""`up` may build images."""
DOWN_S = 80.0
GRACE_S = 5
_SHOWN_LINES = 30


class Compose:
    """One project: a compose file, a name of its own, and the environment that the file's variables are filled from."""

    def __init__(self, file: Path, project: str, env: Mapping[str, str]) -> None:
        self.file = file
        self.project = project
        self.env = dict(env)
        self._child: subprocess.Popen[bytes] | None = None

    def up(self) -> None:
        """Build what must be built, create and start everything; returns when started. Raises EnvironmentBroke."""
        self._run("up", "-d", "--build", "--remove-orphans", timeout_s=UP_S)

    def down(self) -> None:
        """Stop and remove containers, networks and the project's own volumes. Raises EnvironmentBroke."""
        self._run("down", "-v", "--remove-orphans", "-t", str(GRACE_S), timeout_s=DOWN_S)

    def interrupt(self) -> None:
        """End a call that is in progress in another thread; it then raises EnvironmentBroke there."""
        child = self._child
        if child is not None:
            process.end_groups((child.pid,))

    def end_others(self) -> None:
        """End calls on this project that a dead harness has left at work: found by the project's name, our own mark."""
        for other in psutil.process_iter(["cmdline"]):
            words = other.info["cmdline"] or ()
            if "-p" in words and self.project in words and "up" in words:
                process.end_groups((other.pid,))

    def _run(self, *words: str, timeout_s: float) -> None:
        command = [*program(), "-p", self.project, "-f", str(self.file), *words]
        with tempfile.TemporaryFile() as output:  # a pipe would stay open, and us waiting, with any child of compose
            code = self._wait(command, output, timeout_s)
            if code:
                output.seek(0)
                lines = output.read().decode(errors="replace").splitlines()[-_SHOWN_LINES:]
                raise EnvironmentBroke(
                    "\n".join([f"{' '.join(command)} ended with exit code {code}:", *lines]),
                    hint="run that command by hand to see more",
                )

    def _wait(self, command: list[str], output: IO[bytes], timeout_s: float) -> int:
        """Run it in a session of its own: a Ctrl-C in the terminal is for us, who will call `down`."""
        self._child = child = subprocess.Popen(
            command,
            env={**os.environ, **self.env},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            return child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise EnvironmentBroke(f"not done within {timeout_s:g} s: {' '.join(command)}") from None
        finally:
            self._child = None
            if child.poll() is None:
                process.end_groups((child.pid,))
                child.wait()


def program() -> tuple[str, ...]:
    """The words that start Compose here. Raises EnvironmentBroke when there is none."""
    for words in (("docker", "compose"), ("docker-compose",)):
        try:
            done = subprocess.run([*words, "version"], capture_output=True, timeout=ASK_S, check=False)
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.returncode == 0:
            return words
    raise EnvironmentBroke(
        "neither `docker compose` nor `docker-compose` is here",
        hint="install the Docker Compose plugin (Debian: apt-get install docker-compose), or use a process stack",
    )
