"""Finer points of a fault's life: order at one instant, late effects, and what a journal must be told of healing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from harness.experiment import Fault
from harness.faults import Before, Felt
from harness.journal import FaultFailed, FaultFelt, FaultInjected, Trouble
from harness.ledger import Healed
from harness.run import Ending
from harness.run.loop import Stop
from harness.testing import FakeCalls, FakeFaults, World
from harness.units import NS_PER_MS, NS_PER_S
from tests.run.test_run import Scene, fault, timeline


def test_faults_due_at_one_instant_on_one_thing_come_into_force_in_the_files_order() -> None:
    """Toxics act in the order in which they were added: each waits until the one before it is confirmed."""
    scene = Scene()
    scene.calls.takes_ns = 30 * NS_PER_MS
    scene.run(timeline(fault("a", 5, 4), fault("b", 5, 4), fault("c", 5, 4)))
    asked = [words for _, words in scene.world.asked if words.startswith(("before", "inject"))]
    assert asked == ["before a", "inject a", "before b", "inject b", "before c", "inject c"]
    injected = [event for event in scene.journal.events if isinstance(event, FaultInjected)]
    assert [event.fault for event in injected] == ["a", "b", "c"]
    assert injected[2].at_ns - injected[0].at_ns < NS_PER_S // 2


def test_a_fault_that_comes_into_force_after_its_injection_failed_is_healed_again() -> None:
    """The Engine was slow: our call ran out of time, was healed for nothing, and took effect half a second later."""
    scene = Scene()

    def late(words: str) -> None:
        if words == "heal freeze" and not scene.world.in_force and not came:
            came.append(words)
            scene.world.in_force.add("freeze")

    came: list[str] = []
    scene.world.failing.add("inject freeze")
    driver = LateFaults(scene.world, late)
    scene.faults = driver
    ending = scene.run(timeline(fault("freeze", 5, 4)))
    assert came
    assert scene.clean()
    assert ending.dirty == ()


def test_a_failed_injection_is_never_felt_whatever_its_driver_says() -> None:
    """The driver is not even asked: what it would see is not the fault that was planned."""
    scene = Scene()
    scene.world.failing.add("inject freeze")
    scene.run(timeline(fault("freeze", 5, 4)))
    (felt,) = [event for event in scene.journal.events if isinstance(event, FaultFelt)]
    assert (felt.felt, felt.proof) == (False, "its injection failed")
    assert not any(words.startswith("felt") for _, words in scene.world.asked)


class SlowFaults(FakeFaults):
    """A driver whose injection takes 18 s."""

    calls: FakeCalls

    def inject(self, fault: Fault, before: Before) -> None:
        """Answer late."""
        super().inject(fault, before)
        self.calls.takes_ns = 18 * NS_PER_S

    def felt(self, fault: Fault, before: Before) -> Felt:
        """At once again."""
        self.calls.takes_ns = NS_PER_MS
        return super().felt(fault, before)

    def heal(self, fault: Fault, before: Before) -> None:
        """At once again."""
        self.calls.takes_ns = NS_PER_MS
        super().heal(fault, before)


class PatientFaults(SlowFaults):
    """One that says so."""

    def limits_ns(self, fault: Fault, before: Before) -> tuple[int, int]:
        """For either."""
        assert before
        return 30 * NS_PER_S, 30 * NS_PER_S


@pytest.mark.parametrize(("driver", "in_time"), [(SlowFaults, False), (PatientFaults, True)])
def test_a_driver_says_how_long_its_steps_may_take(driver: type[SlowFaults], in_time: bool) -> None:
    """A deployment may be a fault; without a word 15 s must be enough."""
    scene = Scene()
    scene.faults = slow = driver(scene.world)
    slow.calls = scene.calls
    scene.run(timeline(fault("deploy", 5, 4)))
    assert any(isinstance(event, FaultInjected) for event in scene.journal.events) is in_time
    assert any(isinstance(event, FaultFailed) for event in scene.journal.events) is not in_time


class LateFaults(FakeFaults):
    """A driver whose failed injection is not in force at once."""

    def __init__(self, world: World, late: Callable[[str], None]) -> None:
        super().__init__(world)
        self._late = late

    def inject(self, fault: Fault, before: Before) -> None:
        """Fail, for now."""
        try:
            super().inject(fault, before)
        finally:
            self._world.in_force.discard(fault.name)

    def heal(self, fault: Fault, before: Before) -> None:
        """Heal, then let the late effect come."""
        super().heal(fault, before)
        self._late(f"heal {fault.name}")


class NotingFaults(FakeFaults):
    """A driver that had to take an unusual way."""

    def notes(self) -> tuple[str, ...]:
        """Once per heal."""
        return ("the proxy was made anew: its clients were cut off",)


def test_an_unusual_way_of_healing_stands_in_the_journal() -> None:
    """Whoever reads the latencies of that second must know of it."""
    scene = Scene()
    scene.faults = NotingFaults(scene.world)
    scene.run(timeline(fault("freeze", 5, 4)))
    told = [event for event in scene.journal.events if isinstance(event, Trouble)]
    assert [(event.source, event.message) for event in told] == [
        ("healing freeze", "the proxy was made anew: its clients were cut off")
    ]


class DefectiveFaults(FakeFaults):
    """A plug-in's driver with defects: what it says of itself raises, or cannot be written down."""

    def __init__(self, world: World, *defects: str) -> None:
        super().__init__(world)
        self.defects = defects

    odd: Any = (None,)

    def felt(self, fault: Fault, before: Before) -> Felt:
        """Something that is no text, if the test wants that."""
        felt = super().felt(fault, before)
        return Felt(felt=felt.felt, proof=self.odd) if "odd" in self.defects else felt

    def before(self, fault: Fault) -> Before:
        """Something that is no JSON."""
        before = super().before(fault)
        return {**before, "seen": {1, 2}} if "before" in self.defects else before  # type: ignore[dict-item]

    def by_hand(self, fault: Fault, before: Before) -> str:
        """Fail, if the test wants that."""
        if "by_hand" in self.defects:
            raise KeyError("by_hand")
        return super().by_hand(fault, before)

    def notes(self) -> tuple[str, ...]:
        """Fail, if the test wants that."""
        if "notes" in self.defects:
            raise KeyError("notes")
        return (self.odd,) if "odd" in self.defects else ()

    def settle_ns(self, fault: Fault, before: Before) -> int:
        """Fail, if the test wants that."""
        if "settle" in self.defects:
            raise KeyError("settle")
        return self.odd if "odd" in self.defects else NS_PER_S


@pytest.mark.parametrize("defect", ["before", "by_hand"])
def test_what_cannot_be_written_down_is_not_injected_and_the_run_goes_on(defect: str) -> None:
    """An undo record that is no JSON, or none at all: that fault fails before anything was touched; the run ends."""
    scene = Scene()
    scene.faults = DefectiveFaults(scene.world, defect)
    ending = scene.run(timeline(fault("freeze", 5, 4)))
    assert [event.step for event in scene.journal.events if isinstance(event, FaultFailed)] == ["before"]
    assert not any(words.startswith("inject") for _, words in scene.world.asked)
    assert scene.clean()
    assert ending.completed


@pytest.mark.parametrize("defects", [("notes", "settle"), ("odd",)])
@pytest.mark.parametrize("failing", ["", "inject freeze"])
def test_a_driver_that_cannot_tell_how_it_healed_has_healed_all_the_same(
    failing: str, defects: tuple[str, ...]
) -> None:
    """What notes, settling time and proof raise, or are of an odd type, ends neither healing nor winding down."""
    scene = Scene()
    scene.faults = DefectiveFaults(scene.world, *defects)
    scene.world.failing = {failing} - {""}
    ending = scene.run(timeline(fault("freeze", 5, 4), fault("second", 6, 4)))
    assert scene.clean()
    assert (ending.dirty, ending.error) == ((), None)
    assert scene.ledger.closed


class PatientFaults(FakeFaults):
    """A driver whose injection may take ten minutes, and that settles after `settles_ns`."""

    settles_ns = NS_PER_S

    def limits_ns(self, fault: Fault, before: Before) -> tuple[int, int]:
        """As a deployment would."""
        return 600 * NS_PER_S, 20 * NS_PER_S

    def settle_ns(self, fault: Fault, before: Before) -> int:
        """As the test says."""
        return self.settles_ns


def stopped_while_injecting(settles_ns: int) -> tuple[Scene, Ending]:
    """The injection of second 5 never answers; Ctrl-C comes at second 8."""
    scene = Scene()
    scene.faults = driver = PatientFaults(scene.world)
    driver.settles_ns = settles_ns
    scene.world.hanging.add("inject freeze")
    scene.world.clock.at(8 * NS_PER_S, Stop(why="SIGINT"))
    return scene, scene.run(timeline(fault("freeze", 5, 10)))


def test_a_run_that_is_stopped_does_not_wait_for_a_long_injection() -> None:
    """After a while it heals, and heals again once the injection could have settled."""
    scene, ending = stopped_while_injecting(NS_PER_S)
    healed = [at_s for at_s, words in scene.world.asked if words == "heal freeze"]
    assert [round(at_s) for at_s in healed] == [23, 24]
    assert ending.dirty == ()
    assert scene.clean()


def test_an_injection_that_may_come_long_after_the_run_leaves_it_dirty() -> None:
    """It cannot be waited for, and nobody may call that clean: the ledger keeps it, with what to type."""
    scene, ending = stopped_while_injecting(300 * NS_PER_S)
    assert ending.dirty == (
        "freeze: freeze on web: its injection may still take effect; healed once; type: unfreeze web freeze",
    )
    assert not any(isinstance(record, Healed) for record in scene.ledger.records)
