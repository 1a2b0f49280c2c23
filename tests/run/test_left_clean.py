"""What a run says of its target at the end: clean only when every driver was asked and none saw anything."""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.errors import EnvironmentBroke
from harness.experiment import Fault
from harness.faults import Before
from harness.journal import RunEnded, Trouble
from harness.testing import FakeFaults, FakeLinks
from harness.units import NS_PER_S
from tests.run.test_run import Scene, fault, timeline


class Forgetful(FakeFaults):
    """Says that it has healed, and has not."""

    def heal(self, fault: Fault, before: Before) -> None:
        """Do nothing."""


class Silent(FakeFaults):
    """Its target does not answer when it is asked what is left."""

    def residue(self, known: Sequence[tuple[Fault, Before]]) -> tuple[str, ...]:
        """Never."""
        raise EnvironmentBroke("no Docker Engine answers")


def ended(scene: Scene) -> RunEnded:
    """How the run ended, by its journal."""
    scene.run(timeline(fault("freeze", 5, 5)))
    last = scene.journal.events[-1]
    assert isinstance(last, RunEnded)
    return last


def test_a_target_that_was_asked_and_is_clean_is_said_to_be_with_the_time() -> None:
    """And who was asked."""
    last = ended(Scene())
    assert last.dirty == ()
    assert re.fullmatch(r"target left clean: checked at \d+\.\d s, and asked of fake", last.checked)


def test_the_target_is_believed_and_not_our_own_books() -> None:
    """Every heal answered well, and the fault is in force: dirty, never clean."""
    scene = Scene()
    scene.faults = Forgetful(scene.world)
    last = ended(scene)
    assert last.dirty == ("freeze",)
    assert last.checked == ""


def test_a_target_that_cannot_be_asked_is_not_said_to_be_clean() -> None:
    """Nor dirty: the reason stands in the journal."""
    scene = Scene()
    scene.faults = Silent(scene.world)
    last = ended(scene)
    assert (last.dirty, last.checked) == ((), "")
    troubles = [event.message for event in scene.journal.events if isinstance(event, Trouble)]
    assert troubles == ["cannot tell whether anything is left: no Docker Engine answers"]


class ClosingLinks(FakeLinks):
    """Links whose server has ended once they are closed, as a server of our own has."""

    def close(self) -> None:
        """End the server."""
        super().close()
        self.why_lost = "the server has ended"


def test_links_that_the_run_itself_closes_are_not_lost() -> None:
    """Taking down is slow here, so the links are asked about after they were closed: that is no abort."""
    scene = Scene()
    scene.links = ClosingLinks(scene.world)
    scene.calls.takes_ns = NS_PER_S // 3
    ending = scene.run(timeline())
    assert ending.error is None
    assert ending.completed
