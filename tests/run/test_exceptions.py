"""A mistake of ours anywhere in the loop, while faults are in force: they are healed before anything is said of it."""

from __future__ import annotations

import pytest

from harness.journal import Aborted, FaultHealed, RunEnded
from harness.units import NS_PER_S
from tests.run.test_run import Scene, fault, timeline

FAULTS = (fault("one", 3, 15), fault("two", 5, 10))


@pytest.mark.parametrize("at_s", [2, 4, 7, 16, 19])
@pytest.mark.parametrize("place", ["check_guard", "check_steady", "turn"])
@pytest.mark.parametrize("error", [ValueError("a slip of ours"), MemoryError("no memory")], ids=["slip", "memory"])
def test_an_exception_heals_first(monkeypatch: pytest.MonkeyPatch, at_s: int, place: str, error: Exception) -> None:
    """Wherever it comes from: nothing is in force or up, the last fault is healed first, the journal ends whole."""
    scene = Scene()
    method, raised = getattr(scene.loop, place), []

    def failing(*args: object) -> object:
        if scene.world.clock.now() > at_s * NS_PER_S and not raised:
            raised.append(error)
            raise error
        return method(*args)

    monkeypatch.setattr(scene.loop, place, failing)
    ending = scene.run(timeline(*FAULTS))
    if not raised:
        assert place == "check_steady", "it is asked once, before the first fault"
        return
    assert ending.error is error
    assert scene.clean()
    assert not scene.world.in_force
    events = scene.journal.events
    assert isinstance(events[-1], RunEnded)
    assert not events[-1].completed
    assert [event.why for event in events if isinstance(event, Aborted)] == [str(error)]
    if 5 < at_s < 15:
        assert [event.fault for event in events if isinstance(event, FaultHealed)] == ["two", "one"]
