"""A compose stack whose harness is killed: the reaper takes the project down, whatever had come up of it by then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.contracts.containers import docker
from tests.e2e.runs import Run, fault, within

pytestmark = [pytest.mark.e2e, pytest.mark.needs("docker")]
PROJECT = "label=com.docker.compose.project"
HEALED_S = 20
"""Compose stops the services in order; each of these ends at once."""
COMPOSE = """
services:
  web:
    image: {image}
    command: [python3, -m, http.server, "8000"]
    init: true
    depends_on: [db]
    ports: ["127.0.0.1::8000"]
  db:
    image: {image}
    command: [sleep, "300"]
    init: true
    depends_on: [disk]
    volumes: ["data:/data"]
  disk:
    image: {image}
    command: [sleep, "300"]
    init: true
    networks: [back]
volumes: {{data: {{}}}}
networks: {{back: {{}}}}
"""


@pytest.fixture
def shop(tmp_path: Path, image: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Run]]:
    """Starts a run on three services, two networks and a volume; ledgers are the test's own."""
    monkeypatch.setenv("HARNESS_STATE", str(tmp_path / "state"))
    (tmp_path / "compose.yaml").write_text(COMPOSE.format(image=image))
    stack = {"compose": {"file": "compose.yaml", "ready": {"web": "http /"}}}
    before = everything()
    yield lambda: Run(tmp_path, stack=stack, faults=[fault("container pause", "db")])
    for project in projects() - {word.partition(" ")[2] for word in before}:
        docker("rm", "-f", "-v", *docker("ps", "-aq", "--filter", f"{PROJECT}={project}").split())


def everything() -> set[str]:
    """Every container, network and volume of a project of ours, by kind and project."""
    found = set()
    for kind, words in {"box": ("ps", "-a"), "network": ("network", "ls"), "volume": ("volume", "ls")}.items():
        listed = docker(*words, "--filter", PROJECT, "--format", '{{.Label "com.docker.compose.project"}}')
        found |= {f"{kind} {name}" for name in listed.splitlines() if name.startswith("harness-2")}
    return found


def projects() -> set[str]:
    """Projects of harness runs that have a container."""
    return {one.partition(" ")[2] for one in everything() if one.startswith("box ")}


def of(run: Run) -> set[str]:
    """What there is of the run's own project."""
    project = f"harness-{run.path().name.lower()}"
    return {one for one in everything() if one.endswith(f" {project}")}


def ledgers(tmp_path: Path) -> list[Path]:
    """What is open."""
    return list((tmp_path / "state" / "runs").iterdir())


def test_a_killed_harness_leaves_nothing_of_its_project(tmp_path: Path, shop: Callable[[], Run]) -> None:
    """Killed while a service is paused: that is healed first, then all is taken down, volumes and networks too."""
    with shop() as run:
        assert run.sees("FaultInjected")
        assert {one.partition(" ")[0] for one in of(run)} == {"box", "network", "volume"}
        run.process.kill()
        run.process.wait(5)
        assert within(HEALED_S, lambda: not ledgers(tmp_path)), (run.path() / "logs" / "reaper.log").read_text()
        assert not of(run)
        assert [event["dirty"] for event in run.events("RunEnded")] == [[]]
        assert [event["fault"] for event in run.events("FaultHealed")] == ["trouble"]
        assert within(3, lambda: not run.left()), run.left()


@pytest.mark.parametrize("late_s", [0.0, 0.15, 0.4])
def test_a_harness_killed_while_its_stack_comes_up_leaves_nothing(
    tmp_path: Path, shop: Callable[[], Run], late_s: float
) -> None:
    """`compose up` is at work: it is ended with what it had asked for, and nothing comes later."""
    with shop() as run:
        assert run.sees("RunStarted")
        assert within(15, lambda: bool(of(run)))
        within(late_s, lambda: False)
        run.process.kill()
        run.process.wait(5)
        assert within(HEALED_S, lambda: not ledgers(tmp_path)), (run.path() / "logs" / "reaper.log").read_text()
        assert not of(run)
        assert not within(1.5, lambda: bool(of(run)))
        assert within(3, lambda: not run.left()), run.left()
