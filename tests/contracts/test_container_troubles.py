"""Container faults on a real Engine when something goes wrong meanwhile, and on containers that are special."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from harness.clients.poll import poll
from harness.errors import BadInput, EnvironmentBroke
from harness.experiment import Fault, Scalar
from harness.faults.container import ContainerFaults
from tests.contracts.containers import RealContainer, docker, running

pytestmark = pytest.mark.needs("docker")

IN_TIME_NS = 20_000_000_000
DRIVER = ContainerFaults(lambda name: name)
GROWS = "while [ ! -e /go ]; do sleep 0.05; done; rm /go; exec tail /dev/zero"
"""Once /go is there, the container's first process takes memory until it is killed for it."""


def fault(container: RealContainer, kind: str, params: Mapping[str, Scalar] | None = None) -> Fault:
    """A container fault."""
    return Fault(
        name="f",
        driver="container",
        kind=kind,
        on=container.name,
        params=params or {},
        stage="s",
        after_ns=0,
        hold_ns=1,
    )


@pytest.fixture
def container(image: str) -> Iterator[RealContainer]:
    """A container of our own."""
    with running(image) as one:
        yield one


def cgroup_file(container: RealContainer, controller: str, name: str) -> str:
    """A file of the container's cgroup, read here without our own reader; empty on hosts with cgroup version 2."""
    for line in Path(f"/proc/{container.inspect()['State']['Pid']}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return Path(f"/sys/fs/cgroup/{controller}{path}/{name}").read_text().strip()
    return ""


def test_a_container_killed_while_paused_is_left_dead(container: RealContainer) -> None:
    """Unpausing a killed container would be a 500; whoever killed it wanted it dead."""
    wanted = fault(container, "pause")
    before = DRIVER.before(wanted)
    DRIVER.inject(wanted, before)
    docker("kill", container.id)
    DRIVER.heal(wanted, before)
    DRIVER.heal(wanted, before)
    assert not container.state()["running"]
    assert not DRIVER.felt(wanted, before).felt


@pytest.mark.parametrize("kind", ["kill", "stop", "pause", "disconnect", "cpu", "memory"])
def test_a_container_removed_meanwhile_needs_no_healing(container: RealContainer, kind: str) -> None:
    """It is gone, the fault with it: healing says nothing, the proof says so."""
    wanted = fault(container, kind, {"cpus": 0.1, "limit": 64 << 20})
    before = DRIVER.before(wanted)
    DRIVER.inject(wanted, before)
    docker("rm", "-f", container.id)
    DRIVER.heal(wanted, before)
    felt = DRIVER.felt(wanted, before)
    assert not felt.felt
    assert "gone" in felt.proof


def test_a_container_recreated_under_the_name_is_not_touched(container: RealContainer, image: str) -> None:
    """The pause of the new one is somebody else's."""
    wanted = fault(container, "pause")
    before = DRIVER.before(wanted)
    DRIVER.inject(wanted, before)
    docker("rm", "-f", container.id)
    docker("run", "-d", "--name", container.name, image, "sleep", "60")
    docker("pause", container.name)
    DRIVER.heal(wanted, before)
    assert docker("inspect", "-f", "{{.State.Paused}}", container.name) == "true"


def test_a_pause_after_a_restart_is_not_ours(container: RealContainer) -> None:
    """The same container, started again since and paused by somebody: its start time says that it is not our pause."""
    wanted = fault(container, "pause")
    before = DRIVER.before(wanted)
    DRIVER.inject(wanted, before)
    docker("unpause", container.id)
    docker("restart", "-t", "1", container.id)
    docker("pause", container.id)
    DRIVER.heal(wanted, before)
    assert container.state()["paused"]


def test_a_network_removed_meanwhile_is_said_with_the_command_to_type(container: RealContainer) -> None:
    """The other networks are joined again all the same."""
    back, fixed = container.networks
    wanted = fault(container, "disconnect")
    before = DRIVER.before(wanted)
    DRIVER.inject(wanted, before)
    docker("network", "rm", back)
    with pytest.raises(EnvironmentBroke, match="network") as caught:
        DRIVER.heal(wanted, before)
    assert f"docker network connect --alias front {back} {container.name}" in caught.value.hint
    assert list(container.state()["networks"]) == [fixed]


def test_one_network_of_two(container: RealContainer) -> None:
    """Only the network that is named is left, and its fixed address and aliases come back."""
    _, fixed = container.networks
    found = container.state()
    wanted = fault(container, "disconnect", {"network": fixed})
    before = DRIVER.before(wanted)
    DRIVER.inject(wanted, before)
    assert list(container.state()["networks"]) == [container.networks[0]]
    DRIVER.heal(wanted, before)
    assert container.state() == found
    address = container.inspect()["NetworkSettings"]["Networks"][fixed]["IPAddress"]
    assert address == found["networks"][fixed]["asked"]


def test_the_kernel_has_no_limit_left_after_healing(container: RealContainer) -> None:
    """Docker ignores a zero, so the kernel's own files are asked."""
    files = [("cpu", "cpu.cfs_quota_us"), ("cpu", "cpu.cfs_period_us"), ("memory", "memory.memsw.limit_in_bytes")]
    found = [cgroup_file(container, *file) for file in files]
    for kind, params in (("cpu", {"cpus": 0.1}), ("memory", {"limit": 64 << 20})):
        wanted = fault(container, kind, params)
        before = DRIVER.before(wanted)
        DRIVER.inject(wanted, before)
        DRIVER.heal(wanted, before)
    assert [cgroup_file(container, *file) for file in files] == found
    assert int(cgroup_file(container, "memory", "memory.limit_in_bytes") or 1 << 62) >= 1 << 62


def test_limits_that_were_there_come_back_exactly(image: str) -> None:
    """--cpus is a limit of its own kind, beside which the Engine refuses a quota; memory comes with its swap limit."""
    with running(image, "--cpus", "1.5", "-m", "200m", "--memory-swap", "300m") as container:
        names = ("NanoCpus", "CpuQuota", "CpuPeriod", "Memory", "MemorySwap")
        found = {name: container.inspect()["HostConfig"][name] for name in names}
        for kind, params in (("cpu", {"cpus": 0.1}), ("memory", {"limit": 64 << 20})):
            wanted = fault(container, kind, params)
            DRIVER.check(wanted)
            before = DRIVER.before(wanted)
            DRIVER.inject(wanted, before)
            assert container.inspect()["HostConfig"] != found
            DRIVER.heal(wanted, before)
        assert {name: container.inspect()["HostConfig"][name] for name in names} == found


def test_a_quota_and_period_of_its_own_come_back_exactly(image: str) -> None:
    """The ceiling is written in the period that the container has."""
    with running(image, "--cpu-period", "50000", "--cpu-quota", "40000") as container:
        wanted = fault(container, "cpu", {"cpus": 0.1})
        before = DRIVER.before(wanted)
        DRIVER.inject(wanted, before)
        assert container.inspect()["HostConfig"]["CpuQuota"] == 5000
        DRIVER.heal(wanted, before)
        host = container.inspect()["HostConfig"]
        assert (host["CpuQuota"], host["CpuPeriod"]) == (40000, 50000)


def test_a_container_killed_by_the_kernel_for_our_limit_is_started_again(image: str) -> None:
    """It runs after healing, and with the limit that it had."""
    with running(image, "-m", "256m", command=GROWS) as container:
        wanted = fault(container, "memory", {"limit": 32 << 20})
        before = DRIVER.before(wanted)
        DRIVER.inject(wanted, before)
        docker("exec", container.id, "touch", "/go")
        assert poll(lambda: not container.state()["running"], IN_TIME_NS)
        assert "killed by the kernel" in DRIVER.felt(wanted, before).proof
        DRIVER.heal(wanted, before)
        host = container.inspect()["HostConfig"]
        assert container.state()["running"]
        assert (host["Memory"], host["MemorySwap"]) == (256 << 20, 512 << 20)


def test_a_limit_below_use_is_refused_in_words(image: str) -> None:
    """The Engine would refuse it, or the kernel would kill at once: neither is a slow service."""
    eat = "dd if=/dev/zero of=/dev/shm/f bs=1M count=40; while :; do sleep 1; done"
    with running(image, "-m", "256m", command=eat) as container:
        wanted = fault(container, "memory", {"limit": 16 << 20})

        def refused() -> str:
            try:
                DRIVER.check(wanted)
            except EnvironmentBroke as error:
                return str(error)
            return ""

        assert "a limit of 16.8MB would be refused" in poll(refused, IN_TIME_NS)


def test_what_cannot_be_undone_is_refused(image: str) -> None:
    """--rm, files in tmpfs however mounted, a random host port, and a protected one: each with its own words."""
    for option, words in (("--rm", "--rm"), ("--tmpfs=/a", "/a"), ("--mount=type=tmpfs,dst=/b", "/b")):
        with running(image, option) as gone, pytest.raises(BadInput, match=words):
            DRIVER.check(fault(gone, "kill"))
    with running(image, "-p", "127.0.0.1::9000") as loose, pytest.raises(BadInput, match="9000/tcp"):
        DRIVER.check(fault(loose, "disconnect"))
    with running(image, "--label", "harness.protect=true") as protected, pytest.raises(BadInput, match="protected"):
        DRIVER.check(fault(protected, "pause"))
