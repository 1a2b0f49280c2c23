"""verdict.json and evidence.json: for machines, the same bytes for the same values, whatever the machine.

Keys stand in a fixed order, floats have six significant digits, text is ASCII (foreign text cannot reach a terminal
raw), secrets are masked. docs/report.md says what each field means.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from math import isfinite

from harness.evidence import Evidence, FaultSpan, GeneratorSummary, Latency, Resource, Summary, Window
from harness.journal import SelfTest
from harness.secrets import mask
from harness.units import NS_PER_S
from harness.verdict import BreakingPoint, Finding, Level, Verdict, Where

SCHEMA = 1
_DIGITS = 6

Tree = str | int | float | bool | None | list["Tree"] | dict[str, "Tree"]


def verdict_json(verdict: Verdict, evidence: Evidence) -> bytes:
    """The verdict: outcome, findings with their evidence, answers."""
    point = verdict.breaking_point
    return _dump(
        {
            "schema": SCHEMA,
            "experiment": evidence.experiment.name,
            "run": evidence.header.run,
            "outcome": verdict.outcome.value,
            "exit_code": int(verdict.exit_code),
            "findings": [_finding(finding) for finding in verdict.findings],
            "answers": {} if point is None else {"breaking_point": _point(point)},
            "warnings": list(verdict.warnings),
            "dirty": list(verdict.dirty),
            "interrupted": verdict.interrupted,
        }
    )


def evidence_json(evidence: Evidence) -> bytes:
    """What the verdict rests on: windows with their numbers and defects, faults, troubles."""
    aborted: Tree = None
    if evidence.aborted is not None:
        aborted = {"by": evidence.aborted[0], "why": evidence.aborted[1]}
    tree: dict[str, Tree] = {
        "schema": SCHEMA,
        "experiment": evidence.experiment.name,
        "run": evidence.header.run,
        "wall": evidence.header.wall,
        "seed": evidence.header.seed,
        "completed": evidence.completed,
        "aborted": aborted,
        "dirty": list(evidence.dirty),
        "drained": evidence.drained,
        "stages": [
            {
                "name": stage.name,
                "role": stage.role,
                "users": stage.users,
                "unit": stage.unit,
                "rate": stage.rate,
                "start_s": _seconds(stage.start_ns, evidence),
                "hold_s": _seconds(stage.hold_ns, evidence),
                "end_s": _seconds(stage.end_ns, evidence),
                "planned_end_s": _seconds(stage.planned_end_ns, evidence),
            }
            for stage in evidence.stages
        ],
        "windows": [_window(window, evidence) for window in evidence.windows],
        "self_test": _self_test(evidence.self_test),
        "faults": [_fault(fault, evidence) for fault in evidence.faults],
        "troubles": [
            {"at_s": _seconds(trouble.at_ns, evidence), "source": trouble.source, "message": trouble.message}
            for trouble in evidence.troubles
        ],
        "workers_lost": [
            {"at_s": _seconds(lost.at_ns, evidence), "worker": lost.worker, "why": lost.why}
            for lost in evidence.workers_lost
        ],
    }
    return _dump(tree)


def _dump(tree: Mapping[str, Tree]) -> bytes:
    text = json.dumps(_rounded(mask(dict(tree))), indent=2, ensure_ascii=True, allow_nan=False)
    return (text + "\n").encode("ascii")


def _rounded(tree: Tree) -> Tree:
    """Six significant digits: below what any verdict depends on, above what machines differ in."""
    if isinstance(tree, dict):
        return {key: _rounded(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_rounded(value) for value in tree]
    if isinstance(tree, float):
        return float(f"{tree:.{_DIGITS}g}") if isfinite(tree) else None
    return tree


def _seconds(ns: int | None, evidence: Evidence) -> float | None:
    """Seconds from the start of the first stage, to the millisecond (six digits alone would blur long runs)."""
    return None if ns is None else round((ns - evidence.zero_ns) / NS_PER_S, 3)


def _finding(finding: Finding) -> dict[str, Tree]:
    return {
        "question": finding.question,
        "subject": finding.subject,
        "outcome": finding.outcome.value,
        "observed": finding.observed,
        "unit": finding.unit,
        "interval": _bounds(finding.interval),
        "limit": finding.limit,
        "because": finding.because,
        "where": _where(finding.where),
        "guards": list(finding.guards),
    }


def _where(where: Where) -> dict[str, Tree]:
    return {
        "stage": where.stage or None,
        "endpoint": where.endpoint or None,
        "arm": where.arm or None,
        "fault": where.fault or None,
        "start_s": where.start_s,
        "end_s": where.end_s,
    }


def _point(point: BreakingPoint) -> dict[str, Tree]:
    found = point.bottleneck
    bottleneck: dict[str, Tree] | None = None
    if found is not None:
        bottleneck = {"resource": found.resource, "of": found.of, "value": found.value, "limit": found.limit}
    return {
        "status": point.status,
        "unit": point.unit,
        "last_good": point.last_good,
        "first_bad": point.first_bad,
        "estimate": point.estimate,
        "interval": _bounds(point.interval),
        "first_metric": point.first_metric or None,
        "bottleneck": bottleneck,
        "because": point.because,
        "levels": [_level(level) for level in point.levels],
    }


def _level(level: Level) -> dict[str, Tree]:
    return {
        "stage": level.stage,
        "users": level.users,
        "unit": level.unit,
        "rate": level.rate,
        "not_started": level.not_started,
        "state": level.state,
        "per_s": level.per_s,
        "p50_us": level.p50_us,
        "p95_us": level.p95_us,
        "p99_us": level.p99_us,
        "errors": level.errors,
        "broke": list(level.broke),
        "because": level.because,
    }


def _bounds(interval: Iterable[float | None] | None) -> list[Tree] | None:
    return None if interval is None else list(interval)


def _window(window: Window, evidence: Evidence) -> dict[str, Tree]:
    zero_s = evidence.zero_ns / NS_PER_S
    return {
        "stage": window.stage,
        "role": window.role,
        "users": window.users,
        "unit": window.unit,
        "rate": window.rate,
        "intended": window.intended,
        "begun_per_s": window.begun_per_s,
        "fault": window.fault or None,
        "start_s": round(window.first - zero_s, 3),
        "end_s": round(window.last - zero_s, 3),
        "planned_s": window.planned_s,
        "faults": list(window.faults),
        "total": _summary(window.total),
        "endpoints": [_summary(summary) for summary in window.endpoints],
        "generator": _generator(window.generator),
        "resources": [_resource(resource) for resource in window.resources],
        "defects": [
            {"kind": defect.kind, "flatters": defect.flatters, "detail": defect.detail} for defect in window.defects
        ],
    }


def _summary(summary: Summary) -> dict[str, Tree]:
    return {
        "endpoint": summary.endpoint or None,
        "started": summary.started,
        "finished": summary.finished,
        "lost": summary.lost,
        "failed": dict(sorted(summary.failed.items())),
        "errors": summary.errors,
        "per_s": summary.per_s,
        "latency": _latency(summary.latency),
        "ok": _latency(summary.ok),
        "service": _latency(summary.service),
    }


def _latency(latency: Latency) -> dict[str, Tree]:
    return {
        "n": latency.n,
        "p50_us": latency.p50_us,
        "p95_us": latency.p95_us,
        "p99_us": latency.p99_us,
        "max_us": latency.max_us,
        "mean_us": latency.mean_us,
    }


def _generator(generator: GeneratorSummary) -> dict[str, Tree]:
    return {
        "workers": generator.workers,
        "seconds_reported": generator.seconds_reported,
        "users": generator.users,
        "due": generator.due,
        "begun": generator.begun,
        "in_flight_mean": generator.in_flight_mean,
        "cpu_max": generator.cpu_max,
        "lag_p50_us": generator.lag_p50_us,
        "lag_p99_us": generator.lag_p99_us,
        "rss_max_bytes": generator.rss_max_bytes,
        "open_files_max": generator.open_files_max,
        "users_min": generator.users_min,
        "users_max": generator.users_max,
        "not_started": generator.not_started,
        "start_lag_p50_us": generator.start_lag_p50_us,
        "start_lag_p99_us": generator.start_lag_p99_us,
        "sockets_max": generator.sockets_max,
        "files_max": generator.files_max,
        "gc_us": generator.gc_us,
        "cpus": [{"worker": worker, "cpu": cpu} for worker, cpu in generator.cpus],
    }


def _self_test(tested: SelfTest | None) -> dict[str, Tree] | None:
    if tested is None:
        return None
    return {
        "client": tested.client,
        "workers": tested.workers,
        "per_s": tested.per_s,
        "users": tested.users,
        "lag_p99_us": tested.lag_p99_us,
        "cpu_us": tested.cpu_us,
        "rate_bound": tested.rate_bound,
        "users_bound": tested.users_bound,
        "user_bytes": tested.user_bytes,
    }


def _resource(resource: Resource) -> dict[str, Tree]:
    return {
        "probe": resource.probe,
        "of": resource.of,
        "metric": resource.metric,
        "n": resource.n,
        "mean": resource.mean,
        "maximum": resource.maximum,
        "last": resource.last,
    }


def _fault(fault: FaultSpan, evidence: Evidence) -> dict[str, Tree]:
    return {
        "name": fault.name,
        "driver": fault.driver,
        "kind": fault.kind,
        "on": fault.on,
        "stage": fault.stage,
        "asked_s": _seconds(fault.asked_ns, evidence),
        "in_force_s": _seconds(fault.in_force_ns, evidence),
        "heal_asked_s": _seconds(fault.heal_asked_ns, evidence),
        "over_s": _seconds(fault.over_ns, evidence),
        "felt": fault.felt,
        "proof": fault.proof,
        "troubles": list(fault.troubles),
    }
