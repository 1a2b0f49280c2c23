"""Decisions of container faults, on an Engine in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import pytest

from harness.clients.docker import Docker
from harness.errors import BadInput, EnvironmentBroke
from harness.experiment import Fault, Scalar
from harness.faults.container import ContainerFaults
from harness.faults.container.facts import facts
from harness.faults.container.limits import cores
from tests.clients.clock import JumpClock
from tests.faults.engine import FakeDocker, document


def fault(kind: str, params: Mapping[str, Scalar] | None = None, on: str = "api") -> Fault:
    """A fault `f` on a container."""
    return Fault(name="f", driver="container", kind=kind, on=on, params=params or {}, stage="s", after_ns=0, hold_ns=1)


def driver(engine: FakeDocker) -> ContainerFaults:
    """The driver on that Engine, without any waiting."""
    return ContainerFaults(lambda name: name, docker=cast(Docker, engine), clock=JumpClock())


@pytest.mark.parametrize(
    ("wanted", "changes", "words"),
    [
        (fault("pause", on="nobody"), {}, "there is no container 'nobody'"),
        (fault("explode"), {}, "there is no container fault 'explode'"),
        (fault("pause"), {"Running": False, "ExitCode": 3}, "not running (exit code 3)"),
        (fault("cpu", {"cpus": 0.1}), {"Paused": True}, "paused already"),
        (fault("kill"), {"AutoRemove": True}, "started with --rm"),
        (fault("stop"), {"AutoRemove": True}, "started with --rm"),
        (fault("memory", {"limit": 64 << 20}), {"AutoRemove": True}, "which memory may end, was started with --rm"),
        (fault("memory", {"limit": 64 << 20}), {"Tmpfs": {"/run": ""}}, "keeps files in tmpfs"),
        (fault("memory", {"limit": 64 << 20}), {"PublishAllPorts": True}, "on a random host port"),
        (fault("restart"), {"PortBindings": {"80/tcp": [{"HostPort": ""}]}}, "80/tcp on a random host port"),
        (fault("disconnect"), {"PublishAllPorts": True}, "all exposed ports on a random host port"),
        (fault("disconnect"), {"NetworkMode": "host"}, "no network of its own"),
        (fault("disconnect", {"network": "nowhere"}), {}, "not on a network 'nowhere'"),
        (fault("kill", {"signal": "STOP"}), {}, "does not end a process"),
        (fault("cpu", {"cpus": 1.0}), {"NanoCpus": 500_000_000}, "limited to 0.5 cores already"),
        (fault("memory", {"limit": 1 << 20}), {}, "below Docker's least"),
        (fault("memory", {"limit": 64 << 20}), {"Memory": 32 << 20}, "limited to 33.6MB already"),
    ],
)
def test_check_refuses_in_words_and_touches_nothing(wanted: Fault, changes: dict[str, Any], words: str) -> None:
    """Each thing that cannot be done, or not undone, is bad input with what is the matter and what to do."""
    engine = FakeDocker(document(**changes))
    with pytest.raises(BadInput) as caught:
        driver(engine).check(wanted)
    assert words in str(caught.value)
    assert caught.value.hint
    assert engine.calls == []


def test_a_protected_container_is_never_touched() -> None:
    """The label is the owner's word."""
    protected = document()
    protected["Config"]["Labels"]["harness.protect"] = "true"
    with pytest.raises(BadInput, match="protected"):
        driver(FakeDocker(protected)).check(fault("pause"))


@pytest.mark.parametrize(
    ("kind", "params", "theirs"),
    [("cpu", {"cpus": 0.1}, {"CpuQuota": 77_000}), ("memory", {"limit": 64 << 20}, {"Memory": 99 << 20})],
)
def test_a_limit_that_somebody_set_meanwhile_is_left_alone(
    kind: str, params: Mapping[str, Scalar], theirs: dict[str, int]
) -> None:
    """Neither what was before nor what we set: healing would take their limit away."""
    engine = FakeDocker(document())
    wanted = fault(kind, params)
    before = driver(engine).before(wanted)
    driver(engine).inject(wanted, before)
    engine.of("api")["HostConfig"].update(theirs)
    driver(engine).heal(wanted, before)
    assert engine.of("api")["HostConfig"].items() >= theirs.items()
    assert not driver(engine).felt(wanted, before).felt


def test_a_limit_survives_a_restart_and_so_does_its_healing() -> None:
    """Limits belong to the container, not to its start."""
    engine = FakeDocker(document())
    wanted = fault("cpu", {"cpus": 0.1})
    before = driver(engine).before(wanted)
    driver(engine).inject(wanted, before)
    engine.restart("api")
    driver(engine).heal(wanted, before)
    assert engine.of("api")["HostConfig"]["CpuQuota"] == -1


def test_a_container_that_was_started_since_and_ended_again_is_left_so() -> None:
    """What happens after somebody else's start is not our doing."""
    engine = FakeDocker(document())
    wanted = fault("kill")
    before = driver(engine).before(wanted)
    driver(engine).inject(wanted, before)
    engine.start("api")
    engine.kill("api", "KILL")
    driver(engine).heal(wanted, before)
    assert not engine.of("api")["State"]["Running"]


def test_a_restart_left_half_way_is_finished() -> None:
    """The harness died between stop and start."""
    engine = FakeDocker(document())
    wanted = fault("restart")
    before = driver(engine).before(wanted)
    engine.stop("api")
    driver(engine).heal(wanted, before)
    assert engine.of("api")["State"]["Running"]


def test_joining_again_gives_back_aliases_links_and_the_address_asked_for() -> None:
    """The short id is the Engine's own alias, and is not asked for."""
    engine = FakeDocker(document())
    wanted = fault("disconnect")
    before = driver(engine).before(wanted)
    driver(engine).inject(wanted, before)
    driver(engine).heal(wanted, before)
    assert [call for call in engine.calls if call[0] == "connect"] == [
        ("connect", "api", "net-back", {"Aliases": ["api"]}),
        (
            "connect",
            "api",
            "net-fixed",
            {"Aliases": ["far"], "Links": ["db:database"], "IPAMConfig": {"IPv4Address": "10.9.9.9"}},
        ),
    ]


def test_every_network_is_tried_before_an_error_is_said() -> None:
    """One network that cannot be joined does not keep the container off the other."""
    engine = FakeDocker(document())
    wanted = fault("disconnect")
    before = driver(engine).before(wanted)
    driver(engine).inject(wanted, before)
    del engine.networks["net-back"]
    with pytest.raises(EnvironmentBroke, match="no such network: net-back") as caught:
        driver(engine).heal(wanted, before)
    assert caught.value.hint == "docker network connect --alias api back api"
    assert list(engine.of("api")["NetworkSettings"]["Networks"]) == ["fixed"]


def test_a_network_of_a_compose_project_has_its_short_name_too() -> None:
    """Compose calls it project_back."""
    one = document()
    one["NetworkSettings"]["Networks"]["shop_front"] = {"NetworkID": "net-shop", "Aliases": None}
    engine = FakeDocker(one)
    (victim,) = cast(Any, driver(engine).before(fault("disconnect", {"network": "front"})))["victims"]
    assert list(victim["networks"]) == ["shop_front"]


def test_an_error_of_the_engine_is_none_when_the_wish_is_fulfilled() -> None:
    """Somebody unpauses at the same moment: the Engine's 500 is not ours to report."""
    engine = FakeDocker(document())
    wanted = fault("pause")
    before = driver(engine).before(wanted)
    driver(engine).inject(wanted, before)
    unpause = engine.unpause

    def late(container: str) -> None:
        unpause(container)
        unpause(container)

    engine.unpause = late  # type: ignore[method-assign]
    driver(engine).heal(wanted, before)
    assert not engine.of("api")["State"]["Paused"]


def test_what_cannot_be_healed_names_the_command_to_type() -> None:
    """The Engine's words, and the way out."""
    engine = FakeDocker(document())
    wanted = fault("pause")
    before = driver(engine).before(wanted)
    driver(engine).inject(wanted, before)
    engine.broken["unpause"] = "500: the freezer is stuck"
    with pytest.raises(EnvironmentBroke, match="the freezer is stuck") as caught:
        driver(engine).heal(wanted, before)
    assert caught.value.hint == "docker unpause api"


def test_a_signal_that_ends_nothing_is_an_error_with_what_to_do() -> None:
    """The first process of a container ignores signals that it does not handle."""
    engine = FakeDocker(document())
    engine.deaf.add("kill HUP")
    wanted = fault("kill", {"signal": "SIGHUP"})
    with pytest.raises(EnvironmentBroke, match="did not end within 10 s") as caught:
        driver(engine).inject(wanted, driver(engine).before(wanted))
    assert "signal: KILL" in caught.value.hint


def test_a_ceiling_is_written_in_the_words_the_container_uses() -> None:
    """A quota beside NanoCpus is refused by the Engine."""
    nano, quota = FakeDocker(document(NanoCpus=2 * 10**9)), FakeDocker(document(CpuQuota=80_000, CpuPeriod=40_000))
    for engine in (nano, quota):
        wanted = fault("cpu", {"cpus": 0.5})
        before = driver(engine).before(wanted)
        driver(engine).inject(wanted, before)
        driver(engine).heal(wanted, before)
    assert [call[2] for call in nano.calls] == [{"NanoCpus": 500_000_000}, {"NanoCpus": 2_000_000_000}]
    assert [call[2] for call in quota.calls] == [{"CpuQuota": 20_000}, {"CpuQuota": 80_000}]


def test_cores_reads_each_spelling_of_a_ceiling() -> None:
    """A quota without a period is of the kernel's 100 ms."""
    spelt = [(0, 0, 0), (0, -1, 0), (1_500_000_000, 0, 0), (0, 25_000, 0), (0, 25_000, 50_000)]
    read = [cores({"NanoCpus": n, "CpuQuota": q, "CpuPeriod": p}) for n, q, p in spelt]
    assert read == [None, None, 1.5, 0.25, 0.5]


def test_facts_do_without_what_an_engine_leaves_out() -> None:
    """Old and foreign Engines leave fields out, and Docker writes null for an empty list."""
    bare = {
        "Id": "i" * 64,
        "Name": "/x",
        "State": {"Running": True, "StartedAt": "s"},
        "Config": {"Labels": None},
        "HostConfig": {"PortBindings": None},
        "NetworkSettings": {"Networks": None},
    }
    seen = facts(bare)
    assert (seen.running, seen.paused, seen.loose_ports, seen.networks) == (True, False, (), {})
