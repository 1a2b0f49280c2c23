"""Parts that break in the middle of a run: the run ends clean, and the target is not blamed for it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.e2e.runs import SCENARIO, Run, fault

SECRET = "hunter2"
LEAKY = f"{SCENARIO}        print('Authorization: Bearer {SECRET}')\n        raise RuntimeError('password={SECRET}')\n"
ENV = {"API_TOKEN": SECRET, "DB": f"postgres://me:{SECRET}@db/x"}


@pytest.mark.e2e
def test_a_toxiproxy_that_dies_ends_the_run_and_is_not_the_targets_failure(tmp_path: Path) -> None:
    """Exit 4, what broke by name, inconclusive, nothing dirty: its toxics died with it."""
    with Run(tmp_path, faults=[fault("toxic latency", "front", latency="20ms")]) as run:
        assert run.sees("FaultInjected")
        os.kill(run.pid_of("harness.proxy"), signal.SIGKILL)
        code, _, err = run.end(15)
        assert code == 4 and "Toxiproxy" in err, err
        assert run.verdict()["outcome"] == "inconclusive"
        assert [event["dirty"] for event in run.events("RunEnded")] == [[]]
        assert not run.left()


@pytest.mark.e2e
def test_a_traffic_process_that_stops_makes_the_run_inconclusive(tmp_path: Path) -> None:
    """A stopped master sends nothing: noticed, told, and the run ends by itself."""
    with Run(tmp_path) as run:
        assert run.sees("StageEntered")
        os.kill(run.pid_of("harness.traffic.child"), signal.SIGSTOP)
        assert run.end()[0] == 2
        assert run.events("WorkerLost")
        assert run.verdict()["outcome"] == "inconclusive"
        assert not run.left()


@pytest.mark.e2e
def test_secrets_reach_no_artefact_and_a_reader_that_leaves_stops_nothing(tmp_path: Path) -> None:
    """Printed, raised and given as environment; and standard output is closed at once, as by `| head -1`."""
    web = {"command": "{python} -m http.server {port} --bind 127.0.0.1 --directory .", "env": ENV, "ready": "http /"}
    with Run(tmp_path, scenario=LEAKY, stack={"process": {"web": web}}) as run:
        assert run.process.stdout is not None
        run.process.stdout.close()
        run.process.stdout = None
        code, _, err = run.end()
        assert code == 2, err  # what raises cannot pass; the closed output itself ended nothing
    files = [path for path in run.path().rglob("*") if path.is_file()]
    assert len(files) > 8
    assert not [path.name for path in files if SECRET.encode() in path.read_bytes()]


@pytest.mark.e2e
def test_a_service_that_ends_at_once_is_shown_with_its_last_words(tmp_path: Path) -> None:
    """Exit 4, its exit code and its output; no load was sent."""
    stack = {"process": {"web": {"command": "{python} -c 'print(\"no config\"); raise SystemExit(3)'", "ready": "tcp"}}}
    with Run(tmp_path, stack=stack) as run:
        code, _, err = run.end(20)
        assert code == 4 and "exit code 3" in err and "no config" in err, err
        assert not run.events("LoadSet") and not run.left()
