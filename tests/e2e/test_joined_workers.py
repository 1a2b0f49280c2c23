"""`harness run` with workers expected that do not come, or that leave."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.errors import ExitCode
from tests.e2e.runs import EXPERIMENT, Run, within


def traffic(port: int, within_s: int) -> dict[str, object]:
    """The experiment's traffic, from one worker that joins on loopback."""
    workers = {"expect": 1, "bind": f"127.0.0.1:{port}", "within": f"{within_s}s"}
    return {"scenario": "visitor.py", "target": "front", "timeout": "2s", "workers": workers}


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


@contextmanager
def worker(port: int, token: str) -> Iterator[subprocess.Popen[str]]:
    """`harness worker`, taken away in the end."""
    with subprocess.Popen(
        [sys.executable, "-m", "harness", "worker", "--master", f"127.0.0.1:{port}"],
        env={**os.environ, "HARNESS_TOKEN": token},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.e2e
def test_too_few_workers_touch_nothing(tmp_path: Path) -> None:
    """Exit code 4 with one line; no fault, no request; the stack is down and nothing is left."""
    faults = [{"name": "freeze", "process": "pause", "on": "web", "during": "steady", "after": "1s", "for": "2s"}]
    with Run(tmp_path, "--quiet", traffic=traffic(free_port(), 1), faults=faults) as run:
        code, out, err = run.end()
        assert code == ExitCode.BROKEN
        assert "error: 0 of 1 workers joined within 1s" in err
        assert "HARNESS_TOKEN=" in err  # the line to type
        assert not run.events("FaultIntended")
        assert not run.events("Traffic")
        assert within(5, lambda: not run.left())
        token = err.split("HARNESS_TOKEN=")[1].split()[0]
        assert not [
            file for file in run.path().rglob("*") if file.is_file() and token in file.read_text(errors="replace")
        ]
        assert "Traceback" not in out + err


@pytest.mark.e2e
def test_a_short_token_is_refused_before_anything_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 3, and how to make one."""
    monkeypatch.setenv("HARNESS_TOKEN", "short")
    with Run(tmp_path, "--quiet", traffic=traffic(free_port(), 1)) as run:
        code, _, err = run.end()
        assert code == ExitCode.BAD_INPUT
        assert "HARNESS_TOKEN: a token has at least 16 characters, this one has 5" in err
        assert not (tmp_path / "results" / "short").exists() or not list((tmp_path / "results" / "short").iterdir())


@pytest.mark.e2e
def test_a_worker_that_dies_in_the_run_is_told_and_no_verdict_rests_on_what_is_left(tmp_path: Path) -> None:
    """kill -9 of the only worker: the run ends by itself, and it is not the target that is blamed."""
    port, token = free_port(), uuid.uuid4().hex
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_TOKEN", token)
        with Run(tmp_path, "--quiet", traffic=traffic(port, 20)) as run, worker(port, token) as joined:
            assert run.sees("StageEntered")
            assert within(10, lambda: bool(run.events("Traffic")))
            os.kill(joined.pid, signal.SIGKILL)
            code, out, err = run.end()
    assert code == ExitCode.INCONCLUSIVE, out + err
    (lost,) = run.events("WorkerLost")
    assert "was lost with its host" in lost["why"]
    assert [event["by"] for event in run.events("Aborted")] == ["generator"]
    assert EXPERIMENT["name"] in out
