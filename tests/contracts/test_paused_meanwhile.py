"""Faults of a container that is frozen when they are to be healed: nothing can be run in it (a 409 of the Engine)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from harness.clients.poll import poll
from harness.experiment import Fault, Scalar
from harness.faults.container import ContainerFaults
from tests.contracts.containers import RealContainer, docker, running

DRIVER = ContainerFaults(lambda name: name)
IN_TIME_NS = 10_000_000_000
CASES: Mapping[str, Mapping[str, Scalar]] = {
    "cpu": {"cpus": 0.2},
    "memory": {"limit": 64 << 20},
    "disconnect": {},
    "stress-cpu": {"workers": 1, "load": 1.0},
    "stress-memory": {"size": 16 << 20},
    "fill-disk": {"path": "/tmp", "size": 4 << 20},
}
IN_ITS_NETWORK: Mapping[str, Mapping[str, Scalar]] = {
    "loss": {"share": 0.3, "port": 0},
    "rate": {"rate": 100_000},
    "dns": {"answer": "refuse"},
}


@pytest.fixture(scope="module")
def container(image: str) -> Iterator[RealContainer]:
    """A container of our own, which each test leaves as it was."""
    with running(image) as one:
        yield one


def fault(container: RealContainer, kind: str, params: Mapping[str, Scalar]) -> Fault:
    """A container fault."""
    return Fault(
        name=f"f-{kind}", driver="container", kind=kind, on=container.name, params=params, stage="s", after_ns=0,
        hold_ns=1_000_000_000,
    )  # fmt: skip


def processes_in(container: RealContainer) -> list[str]:
    """Every process in its control group, by the kernel's own word."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if container.id in (entry / "cgroup").read_text() and (entry / "cmdline").read_bytes():
                found.append(entry.name)
        except OSError:
            continue
    return sorted(found)


def heals_while_frozen(container: RealContainer, kind: str, params: Mapping[str, Scalar]) -> None:
    """In force, frozen by another, healed, let go: as it was found."""
    wanted = fault(container, kind, params)
    found, running_there = container.state(), processes_in(container)
    DRIVER.check(wanted)
    before = DRIVER.before(wanted)
    DRIVER.inject(wanted, before)
    docker("pause", container.id)
    DRIVER.heal(wanted, before)
    assert container.inspect()["State"]["Paused"], "somebody else's pause is not ours to end"
    docker("unpause", container.id)
    assert container.state() == found
    assert poll(lambda: len(processes_in(container)) == len(running_there), IN_TIME_NS)
    assert DRIVER.residue([(wanted, before)]) == ()
    assert not list(Path(f"/proc/{container.inspect()['State']['Pid']}/root/tmp").glob("harness-*"))


@pytest.mark.needs("docker", "root")
@pytest.mark.parametrize(("kind", "params"), CASES.items())
def test_a_fault_is_healed_while_its_container_is_paused(
    container: RealContainer, kind: str, params: Mapping[str, Scalar]
) -> None:
    """Limits, networks, helpers and files are reached from outside."""
    heals_while_frozen(container, kind, params)


@pytest.mark.needs("docker", "netns")
@pytest.mark.parametrize(("kind", "params"), IN_ITS_NETWORK.items())
def test_a_network_fault_is_healed_while_its_container_is_paused(
    container: RealContainer, kind: str, params: Mapping[str, Scalar]
) -> None:
    """Rules and queues of its namespace need none of its processes."""
    heals_while_frozen(container, kind, params)
