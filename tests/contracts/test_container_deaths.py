"""Container faults on a real Engine when whoever put them in force has died, and what a person then types."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace

import pytest

from harness.clients.poll import poll
from harness.clients.tcp import free_port
from harness.errors import BadInput, EnvironmentBroke
from harness.experiment import Fault, Scalar, Selector
from harness.faults import Before
from harness.faults.container import ContainerFaults
from tests.contracts.containers import LABEL, RealContainer, docker, running

pytestmark = pytest.mark.needs("docker")

IN_TIME_NS = 20_000_000_000
DRIVER = ContainerFaults(lambda name: name)
DEAF = "trap 'echo asked' TERM; while :; do sleep 0.1; done"
"""Says that it was asked to end, and goes on."""
PARAMS: Mapping[str, Mapping[str, Scalar]] = {
    "kill": {},
    "stop": {},
    "pause": {},
    "disconnect": {},
    "cpu": {"cpus": 0.1},
    "memory": {"limit": 64 << 20},
}
INJECT = """
import json, sys
from harness.experiment import Fault
from harness.faults.container import ContainerFaults
kind, on, before = sys.argv[1:]
fault = Fault(name="f", driver="container", kind=kind, on=on, params={}, stage="s", after_ns=0, hold_ns=1)
ContainerFaults(lambda name: name).inject(fault, json.loads(before))
"""


def fault(kind: str, on: str = "") -> Fault:
    """A fault `f` on a container."""
    return Fault(
        name="f",
        driver="container",
        kind=kind,
        on=on,
        params=PARAMS.get(kind, {}),
        stage="s",
        after_ns=0,
        hold_ns=1,
    )


@pytest.fixture(scope="module")
def container(image: str) -> Iterator[RealContainer]:
    """A container with limits of its own, for all tests that leave it as it was."""
    with running(image, "--cpus", "1.5", "-m", "200m", "--memory-swap", "300m") as one:
        yield one


@pytest.mark.parametrize("kind", PARAMS)
def test_what_a_person_is_told_to_type_heals(container: RealContainer, kind: str) -> None:
    """In a shell, word for word; the residue scan sees the fault before, and nothing after."""
    found, wanted = container.state(), fault(kind, container.name)
    before = DRIVER.before(wanted)
    DRIVER.inject(wanted, before)
    assert DRIVER.residue([(wanted, before)])
    typed = subprocess.run(
        ["sh", "-c", DRIVER.by_hand(wanted, before)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (typed.returncode, container.state()) == (0, found), typed.stderr
    assert own_residue(container, wanted, before) == ()
    DRIVER.heal(wanted, before)


def own_residue(container: RealContainer, wanted: Fault, before: Before) -> tuple[str, ...]:
    """Of this container alone: other tests may be at work on this machine."""
    return tuple(line for line in DRIVER.residue([(wanted, before)]) if container.name in line)


@pytest.mark.parametrize("kind", ["stop", "restart"])
def test_what_the_engine_finishes_after_our_death_is_healed_once_more(image: str, kind: str) -> None:
    """A stop goes on in the Engine, so that a healing right after our death finds nothing to do, and comes too early:
    the next one, when the fault has settled, starts the container.
    """

    with running(image, "--stop-timeout", "3", command=DEAF) as container:
        wanted = fault(kind, container.name)
        before = DRIVER.before(wanted)
        words = [sys.executable, "-c", INJECT, kind, container.name, json.dumps(before)]
        caller = subprocess.Popen(words)
        try:
            assert poll(lambda: "asked" in docker("logs", container.id), IN_TIME_NS)
        finally:
            caller.kill()
            caller.wait()
        DRIVER.heal(wanted, before)
        assert container.state()["running"]
        assert container.inspect()["State"]["StartedAt"] == started(before)

        def settled() -> bool:
            state = container.inspect()["State"]
            return not state["Running"] if kind == "stop" else bool(state["StartedAt"] != started(before))

        assert poll(settled, DRIVER.settle_ns(wanted, before))
        DRIVER.heal(wanted, before)
        assert container.state()["running"]
        assert own_residue(container, wanted, before) == ()


def started(before: Mapping[str, object]) -> object:
    """The start time in `before`."""
    victims = before["victims"]
    assert isinstance(victims, list)
    return victims[0]["started_at"]


class Gateway:
    """The way to the real Engine, over TCP, that can be shut as if the daemon had ended."""

    def __init__(self) -> None:
        self.port = free_port()
        self._open: list[socket.socket] = []
        self._listener: socket.socket | None = None

    def open(self) -> None:
        """Let connections in."""
        self._listener = listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def shut(self) -> None:
        """End all connections and refuse new ones."""
        assert self._listener is not None
        for one in (self._listener, *self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._open = []

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                engine = socket.socket(socket.AF_UNIX)
                engine.connect("/var/run/docker.sock")
                self._open += [client, engine]
                for pair in ((client, engine), (engine, client)):
                    threading.Thread(target=self._carry, args=pair, daemon=True).start()

    def _carry(self, source: socket.socket, to: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                to.sendall(data)
            to.shutdown(socket.SHUT_WR)


def test_an_engine_that_goes_and_comes_back_is_met_again(
    container: RealContainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused while it is away, in words; then the same driver, whose connections have ended with it, heals."""
    gateway = Gateway()
    gateway.open()
    monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{gateway.port}")
    driver, wanted = ContainerFaults(lambda name: name), fault("pause", container.name)
    before = driver.before(wanted)
    driver.inject(wanted, before)
    gateway.shut()
    for _ in range(2):
        with pytest.raises(EnvironmentBroke, match="cannot inspect container"):
            driver.heal(wanted, before)
    gateway.open()
    driver.heal(wanted, before)
    monkeypatch.delenv("DOCKER_HOST")
    gateway.shut()
    assert not container.state()["paused"]


@pytest.fixture
def replicas(image: str) -> Iterator[tuple[str, ...]]:
    """Three containers as compose labels them, and a protected one; by name."""
    project = f"harness-test-{uuid.uuid4().hex[:8]}"
    names = tuple(f"{project}-api-{number}" for number in (1, 2, 3, 4))
    try:
        for name in names:
            labels = [f"com.docker.compose.project={project}", "com.docker.compose.service=api", LABEL]
            labels += ["harness.protect=true"] if name.endswith("4") else []
            options = [word for label in labels for word in ("--label", label)]
            docker("run", "-d", "--name", name, *options, image, "sleep", "600")
        yield names
    finally:
        subprocess.run(["docker", "rm", "-f", *names], capture_output=True, timeout=60, check=False)


def paused(names: tuple[str, ...]) -> tuple[str, ...]:
    """Which of them are paused, asked with the docker command."""
    states = docker("inspect", "-f", "{{.State.Paused}}", *names).split()
    return tuple(name for name, state in zip(names, states, strict=True) if state == "true")


def test_victims_of_a_service_are_hit_and_healed_and_no_other(replicas: tuple[str, ...]) -> None:
    """All of the project's replicas but the protected one; one removed meanwhile keeps nobody from being healed."""
    project = replicas[0].removesuffix("-api-1")
    driver = ContainerFaults(lambda name: name, project=project, seed=5)
    two = replace(fault("pause"), select=Selector(by="service", pattern="api", mode="count", amount=2))
    assert len(driver.victims(two)) == 2
    with pytest.raises(BadInput, match="hits 2 of 4"):
        ContainerFaults(lambda name: name, project=project, share_of_service=0.25).check(two)
    wanted = replace(fault("pause"), select=Selector(by="name", pattern=f"{project}-api-*", mode="all"))
    driver.check(wanted)
    before = driver.before(wanted)
    driver.inject(wanted, before)
    assert paused(replicas) == replicas[:3]
    assert driver.felt(wanted, before).felt
    docker("rm", "-f", replicas[0])
    DRIVER.heal(replace(wanted, select=None), before)
    assert paused(replicas[1:]) == ()


def test_an_accepted_kill_of_a_container_that_removes_itself(image: str) -> None:
    """It is gone: felt, and nothing to heal."""
    with running(image, "--rm") as container:
        wanted = replace(fault("kill", container.name), irreversible=True)
        DRIVER.check(wanted)
        before = DRIVER.before(wanted)
        DRIVER.inject(wanted, before)
        DRIVER.heal(wanted, before)
        assert poll(lambda: container.name not in docker("ps", "-a", "--format", "{{.Names}}").split(), IN_TIME_NS)
        DRIVER.heal(wanted, before)
        assert "is gone" in DRIVER.felt(wanted, before).proof


def test_a_link_on_a_network_comes_back(image: str) -> None:
    """A name that only this container has for another one."""
    with running(image) as other, running(image) as container:
        network = other.networks[0]
        docker("network", "connect", "--link", f"{other.name}:database", "--alias", "near", network, container.id)
        found = container.state()
        wanted = fault("disconnect", container.name)
        before = DRIVER.before(wanted)
        DRIVER.inject(wanted, before)
        assert container.state()["networks"] == {}
        DRIVER.heal(wanted, before)
        assert container.state() == found
        assert found["networks"][network]["links"] == [f"{other.name}:database"]
        docker("exec", container.id, "sh", "-c", "getent hosts database || ping -c1 -W1 database")
        docker("network", "disconnect", network, container.id)
