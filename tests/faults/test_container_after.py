"""What is left of container faults, what a person types, how long they linger, and what cannot be given back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, cast

import pytest

from harness.clients.docker import Docker
from harness.errors import BadInput, EnvironmentBroke
from harness.experiment import Fault, Scalar
from harness.faults import Before
from harness.faults.container import ContainerFaults
from harness.faults.container.facts import Container, facts
from harness.faults.container.hands import Hands
from harness.faults.container.kinds import TABLE
from harness.faults.container.state import Pause
from harness.units import NS_PER_S
from tests.clients.clock import JumpClock
from tests.faults.engine import FakeDocker, document

PARAMS: Mapping[str, Mapping[str, Scalar]] = {
    "kill": {},
    "stop": {},
    "restart": {},
    "pause": {},
    "disconnect": {},
    "cpu": {"cpus": 0.1},
    "memory": {"limit": 64 << 20},
}
ID = document()["Id"]


def fault(kind: str, params: Mapping[str, Scalar] | None = None, *, irreversible: bool = False) -> Fault:
    """A fault `f` on a container."""
    return Fault(
        name="f",
        driver="container",
        kind=kind,
        on="api",
        params=PARAMS.get(kind, {}) if params is None else params,
        stage="s",
        after_ns=0,
        hold_ns=1,
        irreversible=irreversible,
    )


def driver(engine: FakeDocker) -> ContainerFaults:
    """The driver on that Engine, without any waiting."""
    return ContainerFaults(lambda name: name, docker=cast(Docker, engine), clock=JumpClock())


@pytest.fixture(autouse=True)
def only_these(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kinds that look for their marks on this very host have tests of their own."""
    monkeypatch.setattr("harness.faults.container.TABLE", {kind: TABLE[kind] for kind in PARAMS})


def injected(engine: FakeDocker, wanted: Fault) -> Before:
    """Put in force."""
    before = driver(engine).before(wanted)
    driver(engine).inject(wanted, before)
    return before


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("kill", "container api does not run since the kill of f (docker start api)"),
        ("stop", "container api does not run since the stop of f (docker start api)"),
        ("pause", "container api is paused since f (docker unpause api)"),
        ("disconnect", "container api is not on network back since f (docker network connect --alias api back api)"),
        ("cpu", f"container api still has the limit of f (docker update --cpu-quota -1 {ID})"),
        ("memory", "container api still has the limit of f (docker update --memory 4611686018427387904b"),
    ],
)
def test_residue_asks_the_engine_and_says_what_to_type(kind: str, words: str) -> None:
    """A fault that the books call healed is there all the same; after healing nothing is."""
    engine, wanted = FakeDocker(document()), fault(kind)
    before = injected(engine, wanted)
    found = driver(engine).residue([(wanted, before)])
    assert found[0].startswith(words)
    driver(engine).heal(wanted, before)
    assert driver(engine).residue([(wanted, before)]) == ()


def test_residue_of_a_restart_that_was_left_half_way() -> None:
    """It was stopped and not started."""
    engine, wanted = FakeDocker(document()), fault("restart")
    before = driver(engine).before(wanted)
    engine.stop("api")
    assert driver(engine).residue([(wanted, before)]) == (
        "container api does not run since the restart of f (docker start api)",
    )


@pytest.mark.parametrize(
    ("kind", "theirs"),
    [
        ("pause", lambda engine: (engine.restart("api"), engine.pause("api"))),
        ("kill", lambda engine: (engine.start("api"), engine.kill("api", "KILL"))),
        ("cpu", lambda engine: engine.update("api", {"CpuQuota": 33_000})),
        ("memory", lambda engine: engine.update("api", {"Memory": 99 << 20})),
        ("disconnect", lambda engine: engine.documents.clear()),
        ("kill", lambda engine: engine.documents.clear()),
    ],
)
def test_residue_says_nothing_of_what_somebody_else_did(kind: str, theirs: Callable[[FakeDocker], object]) -> None:
    """Started again, limited anew or removed by another since: not ours to report."""
    engine, wanted = FakeDocker(document()), fault(kind)
    before = injected(engine, wanted)
    driver(engine).heal(wanted, before)
    theirs(engine)
    assert driver(engine).residue([(wanted, before)]) == ()


def test_residue_tells_an_alias_that_was_lost() -> None:
    """On the network again, but not by all its names: nobody finds it by the old one."""
    engine, wanted = FakeDocker(document()), fault("disconnect")
    before = injected(engine, wanted)
    driver(engine).heal(wanted, before)
    engine.of("api")["NetworkSettings"]["Networks"]["fixed"]["Aliases"] = [ID[:12]]
    (line,) = driver(engine).residue([(wanted, before)])
    assert line.startswith("container api lacks far on network fixed")


class Leaving(Pause):
    """A kind that leaves a mark."""

    def marks(self, now: Container) -> tuple[str, ...]:
        """By a label."""
        return (f"mark in {now.name}",) if "marked" in now.labels else ()


def test_marks_are_looked_for_everywhere_and_are_nobodys_residue(monkeypatch: pytest.MonkeyPatch) -> None:
    """They may be another run's on the same container: a person is told, a run is not made dirty."""
    monkeypatch.setattr("harness.faults.container.TABLE", {"pause": Pause, "leaving": Leaving})
    engine = FakeDocker(document(), document("other"), document("ended", Running=False))
    wanted = fault("pause")
    before = driver(engine).before(wanted)
    for one in engine.documents.values():
        one["Config"]["Labels"]["marked"] = "1"
    assert driver(engine).residue([(wanted, before)]) == ()
    assert driver(engine).marks() == ("mark in api", "mark in other")


@pytest.mark.parametrize(
    ("kind", "changes", "command"),
    [
        ("pause", {}, f"docker unpause {ID}"),
        ("kill", {}, f"docker start {ID}"),
        ("cpu", {"NanoCpus": 1_500_000_000}, f"docker update --cpus 1.5 {ID}"),
        ("cpu", {"CpuQuota": 40_000}, f"docker update --cpu-quota 40000 {ID}"),
        ("memory", {"Memory": 256 << 20, "MemorySwap": 512 << 20},
         f"docker update --memory 268435456b --memory-swap 536870912b {ID}; docker start {ID}"),
        ("disconnect", {}, f"docker network connect --alias api back {ID}; docker network connect --alias far "
                           f"--link db:database --ip 10.9.9.9 fixed {ID}"),
    ],
)  # fmt: skip
def test_what_a_person_types_is_complete(kind: str, changes: dict[str, Any], command: str) -> None:
    """By id, from `before` alone: the Engine may not answer when it is asked for."""
    engine, wanted = FakeDocker(document(**changes)), fault(kind)
    before = driver(engine).before(wanted)
    engine.answers = 0
    assert driver(engine).by_hand(wanted, before) == command


def test_a_stop_lingers_for_its_grace_period_and_the_rest_for_a_moment() -> None:
    """The Engine goes on with a stop whose caller has died."""
    engine = FakeDocker(document())
    engine.of("api")["Config"]["StopTimeout"] = 4
    settles = {kind: driver(engine).settle_ns(fault(kind), driver(engine).before(fault(kind))) for kind in PARAMS}
    assert settles.pop("stop") == settles.pop("restart") == 6 * NS_PER_S
    assert set(settles.values()) == {1_500_000_000}


@pytest.mark.parametrize(("grace_s", "words"), [(13, "may take 13 s to stop"), (-1, "may take for ever to stop")])
def test_a_stop_that_may_take_longer_than_an_injection_is_refused(grace_s: int, words: str) -> None:
    """It would still go on when it is taken for failed and healed, and end the container after that."""
    engine = FakeDocker(document())
    engine.of("api")["Config"]["StopTimeout"] = grace_s
    with pytest.raises(BadInput, match=words) as caught:
        driver(engine).check(fault("stop"))
    assert "stop_grace_period" in caught.value.hint
    driver(engine).check(fault("kill"))
    engine.of("api")["Config"]["StopTimeout"] = 12
    driver(engine).check(fault("restart"))


@pytest.mark.parametrize("kind", ["kill", "stop", "restart"])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"HostConfig": {"AutoRemove": True}}, "--rm"),
        ({"HostConfig": {"Tmpfs": {"/data": ""}}}, "tmpfs (/data)"),
        ({"Mounts": [{"Type": "tmpfs", "Destination": "/cache"}]}, "tmpfs (/cache)"),
    ],
)
def test_what_nobody_can_give_back_must_be_accepted(kind: str, change: dict[str, Any], words: str) -> None:
    """Refused with the words to write, and done when they are written."""
    one = document()
    one["HostConfig"].update(change.get("HostConfig", {}))
    one["Mounts"] = change.get("Mounts", [{"Type": "volume", "Destination": "/kept"}])
    engine = FakeDocker(one)
    with pytest.raises(BadInput) as caught:
        driver(engine).check(fault(kind))
    assert words in str(caught.value)
    assert "irreversible: accepted" in caught.value.hint
    driver(engine).check(fault(kind, irreversible=True))
    driver(engine).check(fault("pause"))
    driver(engine).check(fault("disconnect"))


def test_an_accepted_loss_is_no_residue_and_needs_no_healing() -> None:
    """A container started with --rm is gone after a kill: that was wished, felt, and said to who would undo it."""
    engine = FakeDocker(document(AutoRemove=True))
    wanted = fault("kill", irreversible=True)
    before = injected(engine, wanted)
    driver(engine).heal(wanted, before)  # the Engine has not removed it yet
    engine.documents.clear()
    driver(engine).heal(wanted, before)
    felt = driver(engine).felt(wanted, before)
    assert (felt.felt, felt.proof) == (True, "container api has ended and, as --rm says, is gone")
    assert driver(engine).residue([(wanted, before)]) == ()
    assert driver(engine).by_hand(wanted, before).startswith("echo 'container api was started with --rm")
    assert [call[0] for call in engine.calls] == ["kill"]


@pytest.mark.parametrize("kind", PARAMS)
def test_a_container_started_anew_before_the_injection_is_not_hit(kind: str) -> None:
    """A pause of another start would not be known as ours, and never be healed."""
    engine, wanted = FakeDocker(document()), fault(kind)
    before = driver(engine).before(wanted)
    engine.restart("api")
    done = len(engine.calls)
    with pytest.raises(EnvironmentBroke, match="was started anew meanwhile"):
        driver(engine).inject(wanted, before)
    driver(engine).heal(wanted, before)
    assert engine.calls[done:] == []


def as_found(engine: FakeDocker) -> Any:
    """All that must come back."""
    seen = engine.inspect("api")
    limits = {name: value if 0 < value < 1 << 60 else 0 for name, value in facts(seen).limits.items()}
    return seen["State"]["Running"], seen["State"]["Paused"], seen["NetworkSettings"], limits


@pytest.mark.parametrize("kind", PARAMS)
def test_an_injection_cut_off_after_any_call_is_healed(kind: str) -> None:
    """We were killed there, or the Docker daemon ended: `before` is enough to heal whatever was done."""
    for answers in range(12):
        engine, wanted = FakeDocker(document(Memory=256 << 20, CpuQuota=80_000)), fault(kind)
        found, before = as_found(engine), driver(engine).before(wanted)
        engine.answers = answers
        with suppress(EnvironmentBroke):
            driver(engine).inject(wanted, before)
        engine.answers = None
        driver(engine).heal(wanted, before)
        assert as_found(engine) == found
        assert driver(engine).residue([(wanted, before)]) == ()


@pytest.mark.parametrize("kind", PARAMS)
def test_a_healing_cut_off_after_any_call_is_finished_by_the_next(kind: str) -> None:
    """The Docker daemon is started again mid-fault: a try fails in words, and the caller's next one heals."""
    failed = 0
    for answers in range(12):
        engine, wanted = FakeDocker(document(Memory=256 << 20, CpuQuota=80_000)), fault(kind)
        found = as_found(engine)
        before = injected(engine, wanted)
        engine.answers = answers
        try:
            driver(engine).heal(wanted, before)
        except EnvironmentBroke as error:
            assert "connection refused" in str(error)
            failed += 1
        engine.answers = None
        driver(engine).heal(wanted, before)
        assert as_found(engine) == found
        assert driver(engine).residue([(wanted, before)]) == ()
    assert failed


@pytest.mark.parametrize(("signal", "sent"), [("SIGSEGV", "SEGV"), ("9", "KILL"), ("rtmin", "RTMIN")])
def test_any_signal_may_be_sent_by_name_or_number(signal: str, sent: str) -> None:
    """As Docker writes it."""
    engine = FakeDocker(document())
    wanted = fault("kill", {"signal": signal})
    driver(engine).check(wanted)
    injected(engine, wanted)
    assert engine.calls == [("kill", "api", sent)]


@pytest.mark.parametrize("signal", ["NONE", "0", "99", "STOP", "CONT", "19"])
def test_a_signal_that_is_none_or_freezes_is_refused(signal: str) -> None:
    """Nothing would undo a STOP."""
    with pytest.raises(BadInput, match=r"no signal|does not end a process"):
        driver(FakeDocker(document())).check(fault("kill", {"signal": signal}))


def test_limits_are_never_restored_with_a_zero() -> None:
    """The Engine answers 200 to a zero and does nothing."""
    engine = FakeDocker(document())
    for kind in ("cpu", "memory"):
        wanted = fault(kind)
        before = injected(engine, wanted)
        driver(engine).heal(wanted, before)
    updates = [value for call in engine.calls if call[0] == "update" for value in call[2].values()]
    assert updates
    assert 0 not in updates


def test_a_crowd_of_one_shape() -> None:
    """One victim or many, `before` looks the same, and JSON can hold it."""
    engine = FakeDocker(document())
    before = driver(engine).before(replace(fault("pause"), on="api"))
    assert before == {"victims": [{"id": ID, "name": "api", "started_at": "start-1"}]}
    assert Hands(cast(Docker, engine)).look("api").same_start({"started_at": "start-1"})
