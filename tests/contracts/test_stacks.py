"""The contract of stacks: one suite on services given, as processes, and as a compose project."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from harness.clients import http
from harness.errors import EnvironmentBroke
from harness.experiment import ComposeStack, ExternalStack, ProcessStack, Ready, Service
from harness.stacks import CollectsLogs, NoStack, StackDriver
from harness.stacks.compose import ComposeDriver
from harness.stacks.external import ExternalDriver
from harness.stacks.process import ProcessDriver
from tests.clients.clock import JumpClock
from tests.contracts.containers import docker

HTTP = Ready(how="http", path="/", within_ns=30_000_000_000)
SOON = 20_000_000_000
COMPOSE = """
services:
  web:
    image: {image}
    command: [python3, -m, http.server, "8000"]
    init: true
    environment: {{ GREETING: "${{GREETING}}" }}
    ports: ["127.0.0.1::8000"]
  twin:
    image: {image}
    command: [sh, -c, "echo twin speaks; exec sleep 600"]
    init: true
    healthcheck: {{ test: ["CMD", "true"], interval: 1s, retries: 3 }}
  job:
    image: {image}
    command: [sh, -c, "exit {code}"]
"""


@dataclass(slots=True)
class Arena:
    """A driver, the service to ask for, and what of it is still there once it is down."""

    driver: StackDriver
    web: str
    left: Callable[[], Any]
    handle: type | None
    announced: list[Mapping[str, str]] = field(default_factory=list)


@contextmanager
def noop(tmp_path: Path, image: str) -> Iterator[Arena]:
    """The smallest stack that keeps the contract."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        driver = NoStack({"web": f"127.0.0.1:{listener.getsockname()[1]}"})
        yield Arena(driver=driver, web="web", left=list, handle=None)


@contextmanager
def external(tmp_path: Path, image: str) -> Iterator[Arena]:
    """A listener that was there before."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        spec = ExternalStack(addresses={"web": f"http://127.0.0.1:{listener.getsockname()[1]}"})
        driver = ExternalDriver(spec, links={}, base_dir=tmp_path, log_dir=tmp_path, run="r")
        yield Arena(driver=driver, web="web", left=list, handle=None)


@contextmanager
def process(tmp_path: Path, image: str) -> Iterator[Arena]:
    """Two web servers of our own."""
    command = "{python} -m http.server --bind 127.0.0.1 {port}"
    services = tuple(Service(name=name, command=command, ready=HTTP) for name in ("web", "other"))
    driver = ProcessDriver(ProcessStack(services=services), links={}, base_dir=tmp_path, log_dir=tmp_path, run="r")
    arena = Arena(driver=driver, web="web", left=lambda: refusing(arena), handle=int)
    try:
        yield arena
    finally:
        driver.down()


@contextmanager
def compose(tmp_path: Path, image: str) -> Iterator[Arena]:
    """A web server, a sleeper with a health check, and a job that has ended well."""
    yield from compose_arena(tmp_path, image, code=0)


def compose_arena(tmp_path: Path, image: str, *, code: int) -> Iterator[Arena]:
    """The project, its job ending with that code."""
    (tmp_path / "compose.yaml").write_text(COMPOSE.format(image=image, code=code))
    spec = ComposeStack(file="compose.yaml", ready={"web": HTTP}, env={"GREETING": "to {front}"})
    run = f"T-{uuid.uuid4().hex[:8]}"
    driver = ComposeDriver(spec, links={"front": "10.0.0.1:99"}, base_dir=tmp_path, log_dir=tmp_path, run=run)
    label = f"label=com.docker.compose.project={driver.project}"

    def left() -> list[str]:
        return docker("ps", "-aq", "--filter", label).split() + docker("network", "ls", "-q", "--filter", label).split()

    try:
        yield Arena(driver=driver, web="web", left=left, handle=str)
    finally:
        driver.down()


def refusing(arena: Arena) -> list[str]:
    """Announced addresses at which somebody still listens."""
    listening = []
    for address in arena.announced[-1].values():
        host, _, port = address.rpartition(":")
        with socket.socket() as one:
            if one.connect_ex((host, int(port))) == 0:
                listening.append(address)
    return listening


ARENAS = {"noop": noop, "external": external, "process": process, "compose": compose}


@pytest.fixture(
    params=[pytest.param(name, marks=[pytest.mark.needs("docker")] if name == "compose" else []) for name in ARENAS]
)
def arena(request: pytest.FixtureRequest, tmp_path: Path, image: str) -> Iterator[Arena]:
    """Each stack in turn."""
    with ARENAS[request.param](tmp_path, image) as one:
        yield one


class TestStack:
    """What every stack does."""

    def test_is_announced_then_up_then_down_without_a_trace(self, arena: Arena, tmp_path: Path) -> None:
        """Addresses are announced once for each `up`; up twice and down twice are fine; nothing is left."""
        driver = arena.driver
        driver.up(arena.announced.append)
        assert len(arena.announced) == 1
        assert arena.announced[0][arena.web] == driver.address(arena.web)
        host, _, port = driver.address(arena.web).removeprefix("http://").rpartition(":")
        with socket.create_connection((host, int(port)), timeout=5):
            pass
        handle = driver.handle(arena.web)
        assert isinstance(handle, arena.handle) if arena.handle else handle is None
        driver.up(arena.announced.append)
        assert (arena.announced[1], driver.handle(arena.web)) == (arena.announced[0], handle)
        if isinstance(driver, CollectsLogs):
            driver.collect_logs(tmp_path / "logs")
            assert (tmp_path / "logs" / f"{arena.web}.log").exists()
        driver.down()
        driver.down()
        assert arena.left() == []

    def test_down_before_up_is_fine(self, arena: Arena) -> None:
        """A run may end before it began."""
        arena.driver.down()

    def test_an_unknown_service_is_a_key_error(self, arena: Arena) -> None:
        """The caller says where the name was written."""
        arena.driver.up(arena.announced.append)
        with pytest.raises(KeyError):
            arena.driver.address("nobody")


@pytest.mark.needs("docker")
def test_compose_fills_links_into_its_environment_and_finds_containers_by_service(tmp_path: Path, image: str) -> None:
    """`{front}` is the proxy's address as containers reach it; replicas and jobs are found by label."""
    for arena in compose_arena(tmp_path, image, code=0):
        arena.driver.up(arena.announced.append)
        assert set(arena.announced[0]) == {"web"}
        handle = arena.driver.handle("web")
        assert docker("exec", str(handle), "printenv", "GREETING") == "to 10.0.0.1:99"
        assert http.get(f"http://{arena.driver.address('web')}/", timeout_s=5).status == 200
        assert isinstance(arena.driver, CollectsLogs)
        arena.driver.collect_logs(tmp_path)
        assert "twin speaks" in (tmp_path / "twin.log").read_text()
        with pytest.raises(KeyError):
            arena.driver.address("twin")


@pytest.mark.needs("docker")
def test_a_port_forwarder_that_accepts_for_nobody_is_not_ready(tmp_path: Path, image: str) -> None:
    """Docker listens at a published port from the start; the service in the container comes a second later."""
    late = COMPOSE.format(image=image, code=0).replace(
        '[python3, -m, http.server, "8000"]', "[sh, -c, 'sleep 1; exec python3 -m http.server 8000']"
    )
    (tmp_path / "compose.yaml").write_text(late)
    spec = ComposeStack(file="compose.yaml", ready={"web": Ready(how="tcp", within_ns=SOON)}, env={"GREETING": ""})
    run = f"T-{uuid.uuid4().hex[:8]}"
    driver = ComposeDriver(spec, links={}, base_dir=tmp_path, log_dir=tmp_path, run=run)
    try:
        driver.up(lambda _: None)
        assert http.get(f"http://{driver.address('web')}/", timeout_s=5).status == 200
    finally:
        driver.down()


@pytest.mark.needs("docker")
def test_a_compose_service_that_ends_badly_is_said_with_its_log_and_all_is_taken_down(
    tmp_path: Path, image: str
) -> None:
    """What a person needs is in the error, and nothing runs on."""
    for arena in compose_arena(tmp_path, image, code=7):
        with pytest.raises(EnvironmentBroke, match="job is not ready: it ended with exit code 7") as caught:
            arena.driver.up(arena.announced.append)
        assert "last lines of twin" in str(caught.value)
        assert arena.left() == []


@pytest.mark.needs("docker")
def test_compose_that_cannot_start_says_why_in_its_own_words(tmp_path: Path) -> None:
    """The file is wrong: the words of compose, and what was run."""
    (tmp_path / "compose.yaml").write_text("services: {web: {imagine: nothing}}")
    driver = ComposeDriver(
        ComposeStack(file="compose.yaml"), links={}, base_dir=tmp_path, log_dir=tmp_path, run="r", clock=JumpClock()
    )
    with pytest.raises(EnvironmentBroke, match="imagine"):
        driver.up(lambda _: None)


@pytest.mark.needs("docker")
def test_two_runs_of_one_compose_file_do_not_meet(tmp_path: Path, image: str) -> None:
    """Each run has a project of its own."""
    for first in compose_arena(tmp_path, image, code=0):
        first.driver.up(first.announced.append)
        for second in compose_arena(tmp_path, image, code=0):
            second.driver.up(second.announced.append)
            assert first.driver.handle("web") != second.driver.handle("web")
        assert http.get(f"http://{first.driver.address('web')}/", timeout_s=5).status == 200


def test_nothing_of_a_compose_stack_needs_docker_until_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Docker the error says so, and what to do instead."""
    monkeypatch.setenv("PATH", str(tmp_path))
    driver = ComposeDriver(ComposeStack(file="compose.yaml"), links={}, base_dir=tmp_path, log_dir=tmp_path, run="r")
    driver.down()
    with pytest.raises(EnvironmentBroke, match="neither `docker compose` nor `docker-compose`") as caught:
        driver.up(lambda _: None)
    assert "process stack" in caught.value.hint
