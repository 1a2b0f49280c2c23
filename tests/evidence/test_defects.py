"""What is wrong with a window: here, faults in force that are not its own."""

from __future__ import annotations

from dataclasses import replace

from harness.evidence import Evidence, Window
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


def arriving(
    *, begun: int, not_started: int = 0, cpu: float = 0.2, intended: float = 100.0
) -> dict[str, tuple[bool, str]]:
    """Defects of a window of the open model at 100/s for 20 s: kind -> (does it flatter the target, detail)."""
    evidence = measure(synthetic_ladder(hold_s=20))
    window: Window = next(one for one in evidence.windows if not one.fault and one.role == "stress")
    generator = replace(
        window.generator, users=3, begun=begun, not_started=not_started, due=begun + not_started, cpu_max=cpu
    )
    window = replace(
        window, unit="rate", users=0, rate=100.0, intended=intended, generator=generator, first=100, last=120
    )
    found = defects_of(window, evidence)
    return {defect.kind: (defect.flatters, defect.detail) for defect in found if defect.kind != "clock jump"}


def test_arrivals_that_came_as_the_line_said_are_no_defect() -> None:
    """2,000 are expected; drawn, they may be some 5 sigma fewer, and a handful of users is enough for them."""
    assert arriving(begun=2000) == arriving(begun=1770) == {}


def test_too_few_arrivals_are_the_generator_s_limit() -> None:
    """Fewer than chance explains, or the mean of a curve that was not followed: the load was not the one asked for."""
    flatters, detail = arriving(begun=1700)["generator limited"]
    assert not flatters
    assert detail.endswith("1,700 of 2,000 arrivals came")
    assert "generator limited" in arriving(begun=2000, intended=150.0)


def test_arrivals_that_were_not_started_flatter_the_target() -> None:
    """One is enough to block a pass: it would have waited. It is load that came, not load that was missing."""
    assert arriving(begun=1999, not_started=1).keys() == {"arrivals not started"}
    flatters, detail = arriving(begun=1000, not_started=1000)["arrivals not started"]
    assert flatters
    assert "1,000 of 2,000 arrivals; they waited for the target" in detail


def test_who_kept_the_users_busy_is_said() -> None:
    """A generator without CPU keeps them itself: both defects then name it, and no verdict stands."""
    found = arriving(begun=1000, not_started=1000, cpu=0.97)
    assert "the generator kept them: the busiest worker used 97" in found["arrivals not started"][1]
    assert "generator limited" in found
