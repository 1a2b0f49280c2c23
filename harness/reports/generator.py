"""The load generator told beside the target: whose the numbers are, in one line, and what it did in each stage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.evidence import DEFECTS, Evidence, GeneratorSummary, Window
from harness.journal import OTHER_LOAD
from harness.reports import words
from harness.reports.escape import clean
from harness.units import format_load, format_rate

# What a window suffers from when the load itself was not what it should have been.
OURS = ("generator limited", "worker lost", "clock jump")
_MOST_WORKERS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorTold:
    """`blame` says whose the numbers are; `self_test` what was measured before the run ("" when it was not)."""

    blame: str
    self_test: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def generator_of(evidence: Evidence) -> GeneratorTold:
    """The generator of a run in words. All is empty for a journal in which it never reported."""
    told = [window for window in evidence.windows if not window.fault and window.generator.workers]
    rate = evidence.unit == "rate"
    heads = ("Stage", "Wanted", *(("Not started",) if rate else ()), "Begun", "Users busy" if rate else "Users",
             "CPU by worker", "Loop lag P50, P99", "Start lag P99", "Sockets", "Files", "GC")  # fmt: skip
    return GeneratorTold(
        blame=_blame(evidence, told),
        self_test=_self_test(evidence),
        heads=heads,
        rows=tuple(tuple(_row(window, rate=rate)) for window in told),
    )


def _row(window: Window, *, rate: bool) -> Iterator[str]:
    """Cells under the heads; what a journal of an older version does not tell is left open."""
    seen = window.generator
    told = seen.start_lag_p99_us is not None
    intended = window.level if window.intended is None else window.intended
    yield clean(window.stage, 40)
    yield f"{words.count(round(intended, 1))}/s" if rate else words.count(round(intended))
    if rate:
        yield words.count(seen.not_started)
    yield f"{words.count(round(window.begun_per_s, 1))}/s"
    low, high = words.count(seen.users_min), words.count(seen.users_max)
    yield low if low == high else f"{low}{words.NO_VALUE}{high}"
    yield _cpus(seen)
    yield f"{words.duration_us(seen.lag_p50_us)}, {words.duration_us(seen.lag_p99_us)}"
    yield words.duration_us(seen.start_lag_p99_us)
    yield words.count(seen.sockets_max) if told else words.NO_VALUE
    yield words.count(seen.files_max)
    spent = seen.gc_us / (seen.workers * max(1, seen.seconds_reported) * 1e6)
    yield words.percent(spent) if told else words.NO_VALUE


def _cpus(seen: GeneratorSummary) -> str:
    """The share of a core of each worker while they are few, else of the least and the most busy."""
    shares = [round(share, 2) for _, share in seen.cpus]
    if len(shares) <= _MOST_WORKERS:
        return ", ".join(words.percent(share) for share in shares)
    return f"{words.percent(min(shares))} to {words.percent(max(shares))} ({len(shares)} workers)"


def _blame(evidence: Evidence, told: Sequence[Window]) -> str:
    """Target or generator, with the numbers that say so."""
    ours = [
        (window, defect)
        for window in evidence.windows
        for defect in window.defects
        if defect.kind in OURS and window.role != "warmup"
    ]
    if ours:
        window, defect = ours[0]
        places = len({(one.stage, one.fault) for one, _ in ours})
        more = f", and {places - 1} more window{'s' * (places != 2)}" if places > 1 else ""
        during = f", during {clean(window.fault, 40)}" if window.fault else ""
        detail = clean(defect.detail.removeprefix(f"{DEFECTS[defect.kind]}: "))
        return f"Generator: {detail} ({clean(window.stage, 40)}{during}{more})"
    measured = [window for window in told if window.role != "warmup"]
    if not measured:
        return ""
    lags = [window.generator.lag_p99_us or 0.0 for window in measured]
    late = [window.generator.start_lag_p99_us for window in measured if window.generator.start_lag_p99_us is not None]
    kept_up = (
        f"busiest worker {words.percent(round(max(window.generator.cpu_max for window in measured), 2))} of a core,"
        f" loop lag P99 {words.duration_us(max(lags))}"
    )
    kept_up += f", starts {words.duration_us(max(late))} late at P99" if late else ""
    if not any(window.total.started for window in measured):
        return f"Nobody: not one request was sent, the generator kept up ({kept_up})"
    missing = sum(window.generator.not_started for window in measured)
    if missing:
        due = sum(window.generator.due for window in measured)
        most = max(window.generator.users_max for window in measured)
        return (
            f"Target: it kept all {most:,} users waiting, so {missing:,} of {due:,} arrivals did not start;"
            f" the generator kept up ({kept_up})"
        )
    return f"Target: latency and errors are its own, the generator kept up ({kept_up})"


def _self_test(evidence: Evidence) -> str:
    """What the generator can carry, beside what was planned."""
    tested = evidence.self_test
    if tested is None:
        return ""
    most = max(stage.peak for stage in evidence.experiment.stages)
    over = evidence.unit == "rate" and most > tested.per_s and not tested.at_least
    beyond = ", more than that" if over else ""
    processes = f"{tested.workers} worker{'s' * (tested.workers != 1)}"
    if tested.rate_bound == OTHER_LOAD and not tested.per_s:
        return (
            f"What this machine's generator carries is not known: {OTHER_LOAD} kept its event loop"
            f" {words.duration_us(tested.lag_p99_us)} late at P99 ({clean(tested.client, 40)}, {processes})"
        )
    least = "at least " if tested.at_least else ""
    return (
        f"This machine's generator carried {least}{format_rate(tested.per_s)} ({clean(tested.client, 40)}, {processes})"
        f" at loop lag P99 {words.duration_us(tested.lag_p99_us)};"
        f" planned at most {format_load(most, evidence.unit)}{beyond}"
    )
