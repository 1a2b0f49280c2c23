"""What is wrong with a window: here, faults in force that are not its own."""

from __future__ import annotations

from dataclasses import replace

from harness.evidence import Evidence
from harness.evidence.defects import defects_of
from harness.evidence.measure import measure
from harness.journal import FaultInjected
from harness.testing import synthetic_ladder
from harness.units import NS_PER_S


def overlapping(*, over_s: float | None, heal_asked_s: float | None) -> Evidence:
    """The seeded ladder whose first fault has a neighbour, in force from 3 s before it."""
    evidence = measure(synthetic_ladder(hold_s=20))
    fault = evidence.faults[0]
    began_ns = (fault.in_force_ns or 0) - 3 * NS_PER_S
    neighbour = replace(
        fault, name="neighbour", asked_ns=began_ns, in_force_ns=began_ns,
        heal_asked_ns=None if heal_asked_s is None else began_ns + round(heal_asked_s * NS_PER_S),
        over_ns=None if over_s is None else began_ns + round(over_s * NS_PER_S),
    )  # fmt: skip
    return replace(evidence, faults=(neighbour, *evidence.faults))


def left_over(evidence: Evidence, fault: str) -> bool:
    """Whether the fault's window is said to have had another fault left over in it."""
    (window,) = (one for one in evidence.windows if one.fault == fault)
    return any(defect.kind == "fault left over" for defect in defects_of(window, evidence))


def test_faults_that_overlap_by_plan_are_no_defect() -> None:
    """Two faults of one stage at one time: what was seen is what was asked for, and can be judged."""
    assert not left_over(overlapping(heal_asked_s=5.0, over_s=5.1), "slow-db")


def test_a_fault_that_outlives_its_end_is_left_over() -> None:
    """Its healing was asked for before the other began, or never came: the other's window is not its own."""
    assert left_over(overlapping(heal_asked_s=1.0, over_s=5.0), "slow-db")
    assert left_over(overlapping(heal_asked_s=None, over_s=None), "slow-db")


def test_a_fault_that_never_came_was_not_felt() -> None:
    """A driver is asked for its proof after a failed injection too; what it says then proves nothing."""
    events = [
        one for one in synthetic_ladder(hold_s=20) if not (isinstance(one, FaultInjected) and one.fault == "slow-db")
    ]
    fault = next(one for one in measure(events).faults if one.name == "slow-db")
    assert (fault.in_force_ns, fault.felt, fault.proof) == (None, None, "")
