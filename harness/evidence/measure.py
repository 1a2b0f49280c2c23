"""Journal in, evidence out: a pure function of events.

A stage's window is its hold in whole seconds of the run clock; a fault's window is the time that it was confirmed in
force. Requests belong to the second that they were *due* in, so a request still in flight when a stage ends counts
in that stage.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from statistics import median
from typing import TypeVar

import numpy as np

from harness.errors import BadInput
from harness.evidence import (
    Evidence,
    FaultSpan,
    GeneratorSummary,
    Latency,
    Resource,
    Series,
    StageSpan,
    Summary,
    Window,
)
from harness.evidence.cells import MIDDLES, Cells, Floats, cells, percentile
from harness.evidence.defects import defects_of
from harness.evidence.intended import mean_level
from harness.experiment import LoadUnit
from harness.histogram import decode
from harness.journal import (
    Aborted,
    Event,
    Exemplar,
    FaultFailed,
    FaultFelt,
    FaultHealed,
    FaultInjected,
    FaultIntended,
    Generator,
    LoadSet,
    Reading,
    RunEnded,
    RunStarted,
    SelfTest,
    StageEntered,
    Traffic,
    TrafficEnded,
    Trouble,
    WorkerLost,
)
from harness.loader import from_document
from harness.loader.catalogue import Kind
from harness.units import NS_PER_S

E = TypeVar("E", bound=Event)
Heap = dict[type[Event], list[Event]]

# Below these sample sizes no distribution-free 95 % upper bound on the percentile exists: ln 0.05 / ln q.
MIN_SAMPLES = {0.50: 5, 0.95: 59, 0.99: 299}


def measure(events: Iterable[Event], kinds: Iterable[Kind] = ()) -> Evidence:
    """The evidence of a journal, whole or cut off; `kinds` are those of plug-ins. Raises BadInput without a header."""
    heap: Heap = defaultdict(list)
    last_ns = 0
    for event in events:
        heap[type(event)].append(event)
        last_ns = max(last_ns, event.at_ns)
    headers = _all(heap, RunStarted)
    if not headers:
        raise BadInput("the journal has no header: the run never started", hint="there is nothing to judge")
    header = headers[0]
    ended, aborted, tested = _all(heap, RunEnded), _all(heap, Aborted), _all(heap, SelfTest)
    experiment = from_document(header.document, base_dir=header.base_dir, where="journal header", extra_kinds=kinds)
    stop_ns = min([event.at_ns for event in aborted], default=last_ns)
    stages = _stage_spans(_all(heap, StageEntered), stop_ns, experiment.unit)
    evidence = Evidence(
        experiment=experiment,
        header=header,
        windows=(),
        stages=stages,
        faults=_fault_spans(heap),
        cells=cells(_all(heap, Traffic)),
        series=_series(_all(heap, Reading)),
        generator=_all(heap, Generator),
        exemplars=_all(heap, Exemplar),
        troubles=_all(heap, Trouble),
        workers_lost=_all(heap, WorkerLost),
        drained=bool(heap[TrafficEnded]),
        completed=bool(ended and ended[0].completed),
        aborted=(aborted[0].by, aborted[0].why) if aborted else None,
        aborted_ns=aborted[0].at_ns if aborted else 0,
        dirty=tuple(ended[0].dirty) if ended else (),
        checked=ended[0].checked if ended else "",
        zero_ns=stages[0].start_ns if stages else 0,
        ended_ns=last_ns,
        orders=_all(heap, LoadSet),
        self_test=tested[-1] if tested else None,
    )
    windows = tuple(_windows(evidence))
    return replace(
        evidence,
        windows=tuple(replace(window, defects=defects_of(window, evidence)) for window in windows),
    )


def _all(heap: Heap, kind: type[E]) -> tuple[E, ...]:
    return tuple(event for event in heap[kind] if isinstance(event, kind))


def _stage_spans(entered: Sequence[StageEntered], stop_ns: int, unit: LoadUnit) -> tuple[StageSpan, ...]:
    spans = []
    for index, event in enumerate(entered):
        following = entered[index + 1].at_ns if index + 1 < len(entered) else stop_ns
        spans.append(
            StageSpan(
                name=event.stage,
                role=event.role,
                users=event.users,
                start_ns=event.at_ns,
                hold_ns=event.hold_at_ns,
                end_ns=max(event.at_ns, min(event.ends_at_ns, following)),
                planned_end_ns=event.ends_at_ns,
                unit=unit,
                rate=event.rate,
            )
        )
    return tuple(spans)


def _fault_spans(heap: Heap) -> tuple[FaultSpan, ...]:
    injected = {event.fault: event for event in _all(heap, FaultInjected)}
    healed = {event.fault: event for event in _all(heap, FaultHealed)}
    felt = {event.fault: event for event in _all(heap, FaultFelt)}
    failures = _all(heap, FaultFailed)
    stage_at = {event.at_ns: event.stage for event in _all(heap, StageEntered)}
    spans = []
    for intended in _all(heap, FaultIntended):
        name = intended.fault
        entered = [at_ns for at_ns in stage_at if at_ns <= intended.at_ns]
        proof = felt.get(name) if name in injected else None  # what never came cannot have been felt
        spans.append(
            FaultSpan(
                name=name,
                driver=intended.driver,
                kind=intended.kind,
                on=intended.on,
                stage=stage_at[max(entered)] if entered else "",
                asked_ns=injected[name].asked_ns if name in injected else intended.at_ns,
                in_force_ns=injected[name].at_ns if name in injected else None,
                heal_asked_ns=healed[name].asked_ns if name in healed else None,
                over_ns=healed[name].at_ns if name in healed else None,
                felt=proof.felt if proof else None,
                proof=proof.proof if proof else "",
                troubles=tuple(
                    f"{event.step}: {event.message.removeprefix(f'{event.step}: ')}"
                    for event in failures
                    if event.fault == name
                ),
            )
        )
    return tuple(spans)


def _series(readings: Sequence[Reading]) -> tuple[Series, ...]:
    points: dict[tuple[str, str, str], list[tuple[int, float]]] = defaultdict(list)
    for reading in readings:
        for metric, value in reading.values.items():
            points[reading.probe, reading.of, metric].append((reading.at_ns, value))
    return tuple(
        Series(
            probe=probe,
            of=of,
            metric=metric,
            at_ns=tuple(at_ns for at_ns, _ in found),
            values=tuple(value for _, value in found),
        )
        for (probe, of, metric), found in sorted(points.items())
    )


def _windows(evidence: Evidence) -> Iterator[Window]:
    for stage in evidence.stages:
        faults = tuple(fault.name for fault in evidence.faults if fault.stage == stage.name)
        planned_s = (stage.planned_end_ns - stage.hold_ns) / NS_PER_S
        yield _window(evidence, stage, "", stage.hold_ns, stage.end_ns, planned_s, faults)
        for fault in evidence.faults:
            if fault.stage == stage.name and fault.in_force_ns is not None:
                until_ns = min(fault.heal_asked_ns or stage.end_ns, stage.end_ns)
                seconds = (until_ns - fault.in_force_ns) / NS_PER_S
                yield _window(evidence, stage, fault.name, fault.in_force_ns, until_ns, seconds, (fault.name,))


def _window(
    evidence: Evidence,
    stage: StageSpan,
    fault: str,
    start_ns: int,
    end_ns: int,
    planned_s: float,
    faults: tuple[str, ...],
) -> Window:
    first = -(-start_ns // NS_PER_S)
    last = max(first, end_ns // NS_PER_S)
    part = evidence.cells.span(first, last)
    table = part.table()
    everything = table.sum(axis=1)
    seconds = last - first
    return Window(
        stage=stage.name,
        role=stage.role,
        users=stage.users,
        fault=fault,
        first=first,
        last=last,
        planned_s=planned_s,
        total=_summary("", part, everything, seconds),
        endpoints=tuple(
            _summary(name, part, table[:, index], seconds)
            for index, name in enumerate(part.endpoints)
            if part.of(name).any()
        ),
        generator=_generator(evidence, first, last),
        resources=_resources(evidence.series, first, last),
        faults=faults,
        defects=(),
        unit=stage.unit,
        rate=stage.rate,
        intended=mean_level(evidence.orders, first * NS_PER_S, last * NS_PER_S),
    )


def _summary(endpoint: str, part: Cells, columns: Floats, seconds: int) -> Summary:
    rows = part.of(endpoint)
    finished = int(part.finished[rows].sum())
    failed = part.failed[rows].sum(axis=0)
    return Summary(
        endpoint=endpoint,
        started=int(part.started[rows].sum()),
        finished=finished,
        lost=int(part.lost[rows].sum()),
        clamped=int(part.clamped[rows].sum()),
        failed={name: int(count) for name, count in zip(part.classes, failed, strict=True) if count},
        per_s=finished / seconds if seconds else 0.0,
        latency=latency(columns[0] + columns[1]),
        ok=latency(columns[0]),
        service=latency(columns[2] + columns[3]),
    )


def latency(counts: Floats) -> Latency:
    """Percentiles of merged bucket counts, only as deep as the sample supports (MIN_SAMPLES)."""
    n = int(counts.sum())
    found = {share: percentile(counts, share) if n >= least else None for share, least in MIN_SAMPLES.items()}
    filled = np.flatnonzero(counts)
    return Latency(
        n=n,
        p50_us=found[0.50],
        p95_us=found[0.95],
        p99_us=found[0.99],
        max_us=float(MIDDLES[filled[-1]]) if n else None,
        mean_us=float((counts[filled] * MIDDLES[filled]).sum()) / n if n else None,
    )


def _generator(evidence: Evidence, first: int, last: int) -> GeneratorSummary:
    rows = [row for row in evidence.generator if first <= row.second < last]
    by_worker: dict[int, list[float]] = defaultdict(list)
    for row in rows:
        by_worker[row.worker].append(row.cpu)
    users, in_flight = _by_second(rows, "users"), _by_second(rows, "in_flight")
    lag, start_lag = decode(row.lag for row in rows), decode(row.start_lag for row in rows)
    cpus = tuple((worker, sum(cpus) / len(cpus)) for worker, cpus in sorted(by_worker.items()))
    return GeneratorSummary(
        workers=len(by_worker),
        seconds_reported=min((len(cpus) for cpus in by_worker.values()), default=0),
        users=round(median(users)) if users else 0,
        due=sum(row.due for row in rows),
        begun=sum(row.begun for row in rows),
        in_flight_mean=sum(in_flight) / len(in_flight) if in_flight else 0.0,
        cpu_max=max((cpu for _, cpu in cpus), default=0.0),
        lag_p50_us=lag.percentile_us(0.5),
        lag_p99_us=lag.percentile_us(0.99),
        rss_max_bytes=max((row.rss_bytes for row in rows), default=0),
        open_files_max=max((row.open_files for row in rows), default=0),
        users_min=min(users, default=0),
        users_max=max(users, default=0),
        not_started=sum(row.not_started for row in rows),
        start_lag_p50_us=start_lag.percentile_us(0.5),
        start_lag_p99_us=start_lag.percentile_us(0.99),
        sockets_max=max(_by_second(rows, "sockets"), default=0),
        files_max=max(_by_second(rows, "open_files"), default=0),
        gc_us=sum(row.gc_us for row in rows),
        cpus=cpus,
    )


def _by_second(rows: Iterable[Generator], column: str) -> list[int]:
    """A number of the generator's rows, summed over the workers, of each second that was reported."""
    sums: dict[int, int] = defaultdict(int)
    for row in rows:
        sums[row.second] += getattr(row, column)
    return list(sums.values())


def _resources(series: Sequence[Series], first: int, last: int) -> tuple[Resource, ...]:
    found = []
    for one in series:
        values = [
            value
            for at_ns, value in zip(one.at_ns, one.values, strict=True)
            if first * NS_PER_S <= at_ns < last * NS_PER_S
        ]
        if values:
            found.append(
                Resource(
                    probe=one.probe,
                    of=one.of,
                    metric=one.metric,
                    n=len(values),
                    mean=sum(values) / len(values),
                    maximum=max(values),
                    last=values[-1],
                )
            )
    return tuple(found)
