"""Evidence: a journal condensed into windows, each with what was seen and what is wrong with what was seen.

`measure` is a pure function of events. A window is the hold of a stage, or the time that a fault was in force, in
whole seconds of the run clock. A **defect** says why a window's numbers cannot carry every verdict; one that
*flatters* makes the target look better than it is, so it blocks PASS but not FAIL.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.evidence.cells import Cells
from harness.experiment import Experiment, LoadUnit
from harness.journal import Exemplar, Generator, LoadSet, RunStarted, SelfTest, Trouble, WorkerLost


@dataclass(frozen=True, slots=True, kw_only=True)
class Defect:
    """Why a window cannot be trusted wholly. `kind` is one of DEFECTS."""

    kind: str
    flatters: bool
    detail: str


DEFECTS: Mapping[str, str] = {
    "no data": "no request finished in the window",
    "not steady": "the steady state did not hold, so the experiment did not take place",
    "cut short": "the window ended before its planned end",
    "run broke": "a part of the harness broke in the window, so what was seen may be its doing",
    "worker lost": "a traffic worker died or went silent, so its load is missing",
    "generator limited": "the load generator, not the target, was at its limit",
    "arrivals not started": "all users that max_users allows were busy, so arrivals that were due never began",
    "scenario raised": "the scenario's own code failed, so what it meant to check was not checked",
    "requests lost": "requests never answered before the run ended; their latency is unknown and long",
    "not accounted": "started is not finished + lost: requests disappeared",
    "fault not felt": "a fault of this window was not shown to have its effect",
    "fault left over": "a fault that should have been over was still in force",
    "fault failed": "a fault of this window could not be injected or healed as planned",
    "latency clamped": "latencies beyond one hour were recorded as one hour",
    "clock jump": "the generator reported no second for a while: a suspended or stalled machine",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Percentiles in microseconds; None where the sample is too small to bound that percentile at all."""

    n: int
    p50_us: float | None
    p95_us: float | None
    p99_us: float | None
    max_us: float | None
    mean_us: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The requests of one endpoint ("" = all together) that were due in a window."""

    endpoint: str
    started: int
    finished: int
    lost: int
    clamped: int
    failed: Mapping[str, int]
    per_s: float
    latency: Latency
    ok: Latency
    service: Latency

    @property
    def errors(self) -> float | None:
        """Failed / finished as a share; None when nothing finished."""
        return sum(self.failed.values()) / self.finished if self.finished else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A probe's metric over a window: `of` its subject. Values in base units (share, bytes, per second, number)."""

    probe: str
    of: str
    metric: str
    n: int
    mean: float
    maximum: float
    last: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorSummary:
    """The generator over a window: `users` is the median of its seconds, `cpu_max` the busiest worker's mean share of a
    core, lag its event loop's lateness, start lag that of iterations from due to start (None: not recorded).

    In the open model users are those that were busy with an arrival, and `not_started` the arrivals that found none.
    `cpus` are (worker, mean share of a core); sockets and `files_max` are of all workers
    together, memory and `open_files_max` of the fullest one.
    """

    workers: int
    seconds_reported: int
    users: int
    due: int
    begun: int
    in_flight_mean: float
    cpu_max: float
    lag_p50_us: float | None
    lag_p99_us: float | None
    rss_max_bytes: int
    open_files_max: int
    users_min: int = 0
    users_max: int = 0
    not_started: int = 0
    start_lag_p50_us: float | None = None
    start_lag_p99_us: float | None = None
    sockets_max: int = 0
    files_max: int = 0
    gc_us: int = 0
    cpus: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultSpan:
    """One fault's four edges on the run clock (None = did not happen), and whether it was felt."""

    name: str
    driver: str
    kind: str
    on: str
    stage: str
    asked_ns: int | None
    in_force_ns: int | None
    heal_asked_ns: int | None
    over_ns: int | None
    felt: bool | None
    proof: str
    troubles: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Whole seconds first..last (exclusive): the hold of `stage`, or (with `fault`) that fault in force in it.

    Its load is counted in `unit`: `users`, or arrivals a second (`rate`), at the end of the stage. `intended` is the
    mean of the line that the generator was told to follow, which on a curve is not the level at its end.
    """

    stage: str
    role: str
    users: int
    fault: str
    first: int
    last: int
    planned_s: float
    total: Summary
    endpoints: tuple[Summary, ...]
    generator: GeneratorSummary
    resources: tuple[Resource, ...]
    faults: tuple[str, ...]
    defects: tuple[Defect, ...]
    unit: LoadUnit = "users"
    rate: float = 0.0
    intended: float | None = None

    @property
    def level(self) -> float:
        """Users, or arrivals a second, at the end of the stage."""
        return self.rate if self.unit == "rate" else self.users

    @property
    def begun_per_s(self) -> float:
        """Iterations begun a second: in the open model, the arrival rate that was achieved."""
        return self.generator.begun / len(self.seconds) if self.seconds else 0.0

    @property
    def seconds(self) -> range:
        """The seconds of the run clock that the window covers."""
        return range(self.first, self.last)


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A probe's metric over time: parallel tuples of run-clock nanoseconds and values."""

    probe: str
    of: str
    metric: str
    at_ns: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSpan:
    """A stage as it really happened, on the run clock: its ramp starts, its hold starts, it ends."""

    name: str
    role: str
    users: int
    start_ns: int
    hold_ns: int
    end_ns: int
    planned_end_ns: int
    unit: LoadUnit = "users"
    rate: float = 0.0

    @property
    def level(self) -> float:
        """Users, or arrivals a second, at the end of the ramp."""
        return self.rate if self.unit == "rate" else self.users


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that judges and reports know of a run. `zero_ns` is the start of the first stage: 0 on every plot."""

    experiment: Experiment
    header: RunStarted
    windows: tuple[Window, ...]
    stages: tuple[StageSpan, ...]
    faults: tuple[FaultSpan, ...]
    cells: Cells
    series: tuple[Series, ...]
    generator: tuple[Generator, ...]
    exemplars: tuple[Exemplar, ...]
    troubles: tuple[Trouble, ...]
    workers_lost: tuple[WorkerLost, ...]
    drained: bool
    completed: bool
    aborted: tuple[str, str] | None
    """(by, why): by is guard, signal, error or generator."""
    aborted_ns: int = 0
    dirty: tuple[str, ...]
    checked: str
    zero_ns: int
    ended_ns: int
    orders: tuple[LoadSet, ...] = ()
    """What the generator was told, in order of time."""
    self_test: SelfTest | None = None

    @property
    def unit(self) -> LoadUnit:
        """What the run's load is counted in."""
        return self.experiment.unit

    def window(self, stage: str, fault: str = "") -> Window | None:
        """The window of a stage, or of a fault in force in it."""
        for window in self.windows:
            if window.stage == stage and window.fault == fault:
                return window
        return None
