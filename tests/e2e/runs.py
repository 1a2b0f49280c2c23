"""A harness as its own process, on an experiment of a few seconds; and what it left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

SCENARIO = """
from locust import FastHttpUser, constant_pacing, task

class Visitor(FastHttpUser):
    wait_time = constant_pacing(0.5)

    @task
    def page(self):
        self.client.get("/")
"""
EXPERIMENT: dict[str, object] = {
    "name": "short",
    "why": "The page is served to 20 users.",
    "stack": {
        "process": {
            "web": {"command": "{python} -m http.server {port} --bind 127.0.0.1 --directory .", "ready": "http /"}
        }
    },
    "toxiproxy": "embedded",
    "proxies": {"front": {"upstream": "web"}},
    "traffic": {"scenario": "visitor.py", "target": "front", "timeout": "2s"},
    "stages": [
        {"name": "warm", "role": "warmup", "users": 20, "ramp": "1s", "hold": "1s"},
        {"name": "steady", "role": "steady", "users": 20, "hold": "6s"},
    ],
    "budget": ["p95 < 1s in steady", "errors < 5% in steady"],
}


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    """Whether a condition comes true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return condition()


def harness(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Another command, to its end."""
    command = [sys.executable, "-m", "harness", *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


class Run:
    """`harness run` under way, in a session of its own. All that it starts inherits a mark, by which it is found."""

    def __init__(self, folder: Path, *words: str, scenario: str = SCENARIO, **changes: object) -> None:
        (folder / "visitor.py").write_text(scenario, encoding="utf-8")
        file = folder / "short.yaml"
        file.write_text(json.dumps({**EXPERIMENT, **changes}), encoding="utf-8")
        self.folder = folder
        self.mark = f"HARNESS_TEST_MARK={uuid.uuid4().hex}"
        name, _, value = self.mark.partition("=")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "harness", "run", str(file), "--output", "results", "--no-plots", *words],
            cwd=folder,
            env={**os.environ, name: value},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        for pid in (self.process.pid, *self.left()):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.communicate()

    def end(self, within_s: float = 40) -> tuple[int, str, str]:
        """Exit code, standard output and standard error."""
        out, err = self.process.communicate(timeout=within_s)
        return self.process.returncode, out, err

    def path(self) -> Path:
        """The run's own folder."""
        return (self.folder / "results" / "short" / "latest").resolve()

    def events(self, kind: str) -> list[Mapping[str, Any]]:
        """The events of a kind that the journal has by now, whole lines only."""
        try:
            lines = (self.path() / "journal.jsonl").read_text(encoding="utf-8").rpartition("\n")[0].splitlines()
        except OSError:
            return []
        return [event for event in map(json.loads, lines) if event["event"] == kind]

    def sees(self, kind: str) -> bool:
        """Whether an event of this kind comes while the run goes on."""
        within(30, lambda: bool(self.events(kind)) or self.process.poll() is not None)
        return bool(self.events(kind)) and self.process.poll() is None

    def verdict(self) -> Mapping[str, Any]:
        """verdict.json."""
        document: dict[str, Any] = json.loads((self.path() / "verdict.json").read_text(encoding="utf-8"))
        return document

    def left(self) -> list[int]:
        """Processes with the run's mark, other than the harness itself; zombies do not count."""
        return [int(entry.name) for entry in Path("/proc").glob("[0-9]*") if self._ours(int(entry.name))]

    def pid_of(self, words: str) -> int:
        """The process of this run whose command line has these words."""
        found = [pid for pid in self.left() if words in Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")]
        assert found, f"no process of the run has {words!r} in its command line"
        return found[0]

    def _ours(self, pid: int) -> bool:
        try:
            if pid == self.process.pid or self.mark.encode() not in Path(f"/proc/{pid}/environ").read_bytes():
                return False
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return False


def fault(kind: str, on: str, **params: object) -> dict[str, object]:
    """A fault in the middle of the steady stage. `kind` is `toxic latency` or the like."""
    family, _, name = kind.partition(" ")
    return {"name": "trouble", family: name, "on": on, "during": "steady", "after": "1s", "for": "4s", **params}
