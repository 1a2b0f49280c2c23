"""Four workers in four containers, by the compose file of the docs: what they count is what the target counts."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sysconfig
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.runs import Run
from tests.traffic.target import Target

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docs/examples/workers/compose.yaml"
WORKERS = 4
USERS = 40
RAMP_S = 3
SCENARIO = """
from locust import FastHttpUser, constant_pacing, task

class Visitor(FastHttpUser):
    wait_time = constant_pacing(0.5)

    @task(3)
    def page(self):
        self.client.get("/page")

    @task
    def order(self):
        self.client.post("/order", json={"n": 1})
"""


def gateway() -> str:
    """The address of this machine that containers reach."""
    words = ["docker", "network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}"]
    return subprocess.run(words, capture_output=True, text=True, timeout=20, check=True).stdout.strip()


@contextmanager
def workers(folder: Path, image: str, master: str, token: str) -> Iterator[None]:
    """The documented workers, from an image that is here: our packages are mounted instead of installed."""
    ours = {
        "image": image,
        "entrypoint": ["python3", "-P", "-m", "harness"],
        "volumes": [f"{sysconfig.get_path('purelib')}:/site:ro", f"{ROOT / 'harness'}:/ours/harness:ro"],
        "environment": {"PYTHONPATH": "/ours:/site", "PYTHONDONTWRITEBYTECODE": "1"},
    }
    override = folder / "override.yaml"
    override.write_text(json.dumps({"services": {"worker": ours}}))
    words = ["docker", "compose", "-p", f"harness-test-{uuid.uuid4().hex[:8]}", "-f", str(COMPOSE), "-f", str(override)]
    env = {**os.environ, "HARNESS_MASTER": master, "HARNESS_TOKEN": token, "WORKERS": str(WORKERS)}

    def compose(*more: str) -> str:
        done = subprocess.run([*words, *more], env=env, capture_output=True, text=True, timeout=90, check=False)
        return done.stdout + done.stderr

    try:
        said = compose("up", "-d", "--no-build")
        assert "Started" in said or "Running" in said, said
        yield
    finally:
        print(compose("logs", "--no-color"))
        compose("down", "--timeout", "2", "--volumes")


@pytest.mark.e2e
@pytest.mark.needs("docker", "docker-python")
def test_four_containers_count_what_the_target_counts(tmp_path: Path, image: str) -> None:
    """Equal counts by endpoint, one line of ramp over all, clocks known, nobody lost, nothing left behind."""
    here, token = gateway(), uuid.uuid4().hex
    with socket.create_server((here, 0)) as free:
        port = free.getsockname()[1]
    with Target(here) as target, pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_TOKEN", token)
        run = Run(
            tmp_path,
            scenario=SCENARIO,
            stack={"external": {"api": target.address}},
            proxies={},
            traffic={
                "scenario": "visitor.py",
                "target": "api",
                "timeout": "2s",
                "workers": {"expect": WORKERS, "bind": f"{here}:{port}", "within": "60s"},
            },
            stages=[{"name": "steady", "role": "steady", "users": USERS, "ramp": f"{RAMP_S}s", "hold": "7s"}],
        )
        began = time.monotonic()
        with run, workers(tmp_path, image, f"{here}:{port}", token):
            assert run.sees("WorkerJoined"), run.process.stderr.read() if run.process.stderr else ""
            print(f"joined after {time.monotonic() - began:.1f} s")
            code, out, err = run.end(90)
            seen = target.seen.copy()
            time.sleep(1)
            assert target.seen == seen, "somebody still sends"
        print(err)
    assert code == 0, out + err
    assert token not in out + err + (run.path() / "journal.jsonl").read_text()
    _judge(run, seen)


def _judge(run: Run, seen: Counter[str]) -> None:
    rows = run.events("Traffic")
    started = Counter[str]()
    for row in rows:
        started[row["endpoint"]] += row["started"]
    assert {name: started[name] for name in ("GET /page", "POST /order")} == dict(seen)
    assert started.total() == seen.total() > 100
    assert sum(row["finished"] for row in rows) == started.total()
    joined = run.events("WorkerJoined")
    assert [event["worker"] for event in joined] == list(range(WORKERS))
    assert len({event["host"] for event in joined}) == WORKERS
    for event in joined:  # one kernel, so one clock: what is measured is known
        print(
            f"{event['host']}: {event['offset_ns'] / 1e6:+.3f} ms, uncertain by {event['uncertainty_ns'] / 1e6:.3f} ms"
        )
        assert abs(event["offset_ns"]) <= event["uncertainty_ns"] + 1_000_000
    assert run.events("WorkerLost") == []
    _one_line(run.events("Generator"), run.events("StageEntered")[0]["at_ns"])
    for number in range(WORKERS):
        assert (run.path() / "logs" / f"traffic-worker-{number}.log").is_file()


def _one_line(generators: list[Any], began_ns: int) -> None:
    """At the end of each second all workers together are on the ramp's line, each with its even share."""
    users: dict[int, dict[int, int]] = defaultdict(dict)
    for row in generators:
        users[row["second"]][row["worker"]] = row["users"]
    ramp = 0
    for second, by_worker in sorted(users.items()):
        passed_s = second + 1 - began_ns / 1e9
        if not 0 < passed_s <= RAMP_S + 4 or len(by_worker) < WORKERS:
            continue
        ramp += 1
        line = USERS * min(1.0, passed_s / RAMP_S)
        assert abs(sum(by_worker.values()) - line) <= WORKERS, (second, by_worker, line)
        assert max(by_worker.values()) - min(by_worker.values()) <= 2
    assert ramp >= RAMP_S + 3
