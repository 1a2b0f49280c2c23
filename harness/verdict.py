"""The verdict: findings, each with its evidence, merged by one rule.

The law (tested as properties in tests/test_verdict.py):
    1. FAIL beats INCONCLUSIVE beats PASS; no findings at all is INCONCLUSIVE.
    2. A window with a defect cannot give PASS; only a defect that flatters the target lets a FAIL stand.
    3. More failed or slow requests never turn FAIL into PASS; less data never turns INCONCLUSIVE into PASS.
    4. Missing data, an unknown word, a crash inside a judge: never PASS.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from harness.errors import ExitCode
from harness.evidence import Defect


class Outcome(Enum):
    """The three words of a verdict, as they stand in verdict.json."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


_SEVERITY = {Outcome.FAIL: 2, Outcome.INCONCLUSIVE: 1, Outcome.PASS: 0}
_EXIT = {
    Outcome.PASS: ExitCode.PASS,
    Outcome.FAIL: ExitCode.FAIL,
    Outcome.INCONCLUSIVE: ExitCode.INCONCLUSIVE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """The place that a finding speaks of; times in seconds from the start of the first stage."""

    stage: str = ""
    endpoint: str = ""
    arm: str = ""
    fault: str = ""
    start_s: float | None = None
    end_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One answer with its reason.

    `observed`, `interval` and `limit` are in `unit`: us, share, bytes, per_s, number or users.

    An end of the interval is None where the sample bounds nothing on that side.
    """

    question: str
    subject: str
    outcome: Outcome
    because: str
    observed: float | None = None
    unit: str = "number"
    interval: tuple[float | None, float | None] | None = None
    limit: float | None = None
    where: Where = Where()
    guards: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bottleneck:
    """The resource that was at its limit when the target broke: e.g. db_pool_in_use of api, 8 of 8."""

    resource: str
    of: str
    value: float
    limit: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """A rung of the ladder as the breaking-point judge saw it. Latency in microseconds, errors as a share.

    Its load is counted in `unit`: users, or per_s, the `rate` of arrivals, of which `not_started` found no user.
    """

    stage: str
    users: int
    state: str
    per_s: float
    p50_us: float | None
    p95_us: float | None
    p99_us: float | None
    errors: float | None
    broke: tuple[str, ...]
    because: str
    unit: str = "users"
    rate: float = 0.0
    not_started: int = 0

    @property
    def load(self) -> float:
        """Users, or arrivals a second."""
        return self.rate if self.unit == "per_s" else float(self.users)


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakingPoint:
    """Between which loads the target broke, in `unit` (users, per_s). `status`: broke_at, no_break or inconclusive."""

    status: str
    unit: str
    last_good: float | None
    first_bad: float | None
    estimate: float | None
    interval: tuple[float, float] | None
    first_metric: str
    bottleneck: Bottleneck | None
    because: str
    levels: tuple[Level, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a judge gives for one question."""

    findings: tuple[Finding, ...]
    breaking_point: BreakingPoint | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The outcome and all that it rests on."""

    outcome: Outcome
    findings: tuple[Finding, ...]
    breaking_point: BreakingPoint | None = None
    warnings: tuple[str, ...] = ()
    dirty: tuple[str, ...] = ()
    interrupted: bool = False

    @property
    def exit_code(self) -> ExitCode:
        """The exit code: a dirty target and an interruption outrank the outcome."""
        if self.dirty:
            return ExitCode.DIRTY
        if self.interrupted:
            return ExitCode.INTERRUPTED
        return _EXIT[self.outcome]


def merge(outcomes: Iterable[Outcome]) -> Outcome:
    """FAIL beats INCONCLUSIVE beats PASS; nothing is INCONCLUSIVE."""
    return max(outcomes, key=lambda outcome: _SEVERITY[outcome], default=Outcome.INCONCLUSIVE)


def under_defects(outcome: Outcome, defects: Iterable[Defect]) -> Outcome:
    """What may stand of an outcome when its window has these defects (law 2)."""
    found = tuple(defects)
    if not found or outcome is Outcome.INCONCLUSIVE:
        return outcome
    if outcome is Outcome.FAIL and all(defect.flatters for defect in found):
        return outcome
    return Outcome.INCONCLUSIVE
