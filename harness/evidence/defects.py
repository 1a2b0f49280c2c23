"""What is wrong with a window: the guards that stand between numbers and a verdict.

Thresholds are named here, once, with their reason. Each guard is one function: window in, detail out or nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from harness.evidence import DEFECTS, Defect, Evidence, Window
from harness.units import NS_PER_S, format_duration, format_percent

# A worker above this share of its core queues requests inside itself; its latencies are its own.
GENERATOR_CPU_LIMIT = 0.8
# Lateness of the generator's event loop is added to every latency. Below a tenth of the tightest latency limit it
# cannot decide a verdict; 10 ms is always forgiven, because a busy host's scheduler alone makes that.
LAG_SHARE_OF_LIMIT = 0.1
LAG_FLOOR_US = 10_000
# Of the seconds of a window, this share may be unreported before the clock or the machine is in doubt.
SILENT_SHARE = 0.05
# A lost worker is noticed up to this long after it stopped, so it may have been missing before the event.
WORKER_NOTICE_NS = 5 * NS_PER_S
# A part of ours that hangs is noticed up to this long after it began to.
BREAK_NOTICE_NS = 15 * NS_PER_S

# Arrivals are drawn: their number lies within 5 sigma of what the line says but for one window in a million. Beyond
# that, this share may be missing before the rate was not the one asked for.
ARRIVALS_SIGMAS = 5
ARRIVALS_SHARE = 0.01

# Of the iterations begun, this share may end by an exception of the scenario's own code before its checks are in doubt.
RAISED_SHARE = 0.005

Guard = Callable[[Window, Evidence], str]


def _no_data(window: Window, evidence: Evidence) -> str:  # noqa: ARG001 - one shape for all guards
    if window.total.finished:
        return ""
    return f"{window.total.started} began" if window.seconds else "it is too short to hold a whole second of the clock"


def _not_steady(window: Window, evidence: Evidence) -> str:  # noqa: ARG001 - one shape for all guards
    return evidence.aborted[1] if evidence.aborted is not None and evidence.aborted[0] == "steady_state" else ""


def _cut_short(window: Window, evidence: Evidence) -> str:  # noqa: ARG001 - one shape for all guards
    lacking = window.planned_s - (window.last - window.first)
    return f"{window.last - window.first} of {window.planned_s:.0f} s" if lacking > 2 else ""


def _run_broke(window: Window, evidence: Evidence) -> str:
    if evidence.aborted is None or evidence.aborted[0] != "error":
        return ""
    return evidence.aborted[1] if evidence.aborted_ns - BREAK_NOTICE_NS < window.last * NS_PER_S else ""


def _worker_lost(window: Window, evidence: Evidence) -> str:
    for lost in evidence.workers_lost:
        if lost.at_ns - WORKER_NOTICE_NS < window.last * NS_PER_S:
            return f"worker {lost.worker}: {lost.why}"
    return ""


def lag_limit_us(evidence: Evidence) -> float:
    """The event-loop lag (P99, us) from which latencies are the generator's: see LAG_SHARE_OF_LIMIT."""
    limits = [limit.bound for limit in evidence.experiment.budget if limit.unit == "us"]
    return max(LAG_FLOOR_US, LAG_SHARE_OF_LIMIT * min(limits, default=0.0))


def _generator_limited(window: Window, evidence: Evidence) -> str:
    return _overloaded(window, evidence) or _short_of_load(window)


def _overloaded(window: Window, evidence: Evidence) -> str:
    generator = window.generator
    if generator.cpu_max > GENERATOR_CPU_LIMIT:
        return (
            f"the busiest worker used {format_percent(generator.cpu_max)} of its core (limit {GENERATOR_CPU_LIMIT:.0%})"
        )
    limit_us = lag_limit_us(evidence)
    if generator.lag_p99_us is not None and generator.lag_p99_us > limit_us:
        seen, allowed = format_duration(generator.lag_p99_us * 1000), format_duration(limit_us * 1000)
        return f"event-loop lag P99 {seen} (limit {allowed})"
    return ""


def _short_of_load(window: Window) -> str:
    generator = window.generator
    if not generator.workers or window.fault:
        return ""
    if window.unit == "users":
        return f"{generator.users} of {window.users} users were there" if generator.users < window.users else ""
    wanted = (window.intended or 0.0) * len(window.seconds)
    came = generator.begun + generator.not_started
    least = wanted * (1 - ARRIVALS_SHARE) - ARRIVALS_SIGMAS * math.sqrt(wanted)
    return f"{came:,} of {wanted:,.0f} arrivals came" if came < least else ""


def _not_started(window: Window, evidence: Evidence) -> str:
    """Who kept the users busy is said too: the target that answers slowly, unless the generator itself was late."""
    missing = window.generator.not_started
    if not missing:
        return ""
    own = _overloaded(window, evidence)
    blame = f"the generator kept them: {own}" if own else "they waited for the target, not for the generator"
    return f"{missing:,} of {window.generator.due:,} arrivals; {blame}"


def _scenario_raised(window: Window, evidence: Evidence) -> str:
    rows = [row for row in evidence.generator if window.first <= row.second < window.last]
    raised, begun = sum(row.raised for row in rows), sum(row.begun for row in rows)
    return f"{raised} of {begun} task iterations" if raised > RAISED_SHARE * begun else ""


def _requests_lost(window: Window, evidence: Evidence) -> str:  # noqa: ARG001 - one shape for all guards
    return f"{window.total.lost} requests never answered" if window.total.lost else ""


def _not_accounted(window: Window, evidence: Evidence) -> str:
    missing = window.total.started - window.total.finished - window.total.lost
    if not missing or not evidence.drained:
        return "" if not missing else f"{missing} requests were in flight when the journal ended"
    return f"{missing} of {window.total.started} requests are neither finished nor lost"


def _fault_not_felt(window: Window, evidence: Evidence) -> str:
    for fault in evidence.faults:
        if fault.name in window.faults and fault.in_force_ns is not None and fault.felt is not True:
            return f"{fault.name}: {fault.proof or 'nothing proves that it had an effect'}"
    return ""


def _fault_failed(window: Window, evidence: Evidence) -> str:
    for fault in evidence.faults:
        if fault.name in window.faults and (fault.in_force_ns is None or fault.troubles):
            return f"{fault.name}: {'; '.join(fault.troubles) or 'was never in force'}"
    return ""


def _fault_left(window: Window, evidence: Evidence) -> str:
    for fault in evidence.faults:
        if fault.stage == window.stage and fault.over_ns and (fault.heal_asked_ns or 0) > window.first * NS_PER_S:
            continue  # they overlap by plan
        after_stage = window.first * NS_PER_S >= (fault.asked_ns or 0) and fault.name not in window.faults
        if after_stage and (fault.over_ns is None or fault.over_ns > window.first * NS_PER_S):
            return f"{fault.name} was still in force"
    return ""


def _clamped(window: Window, evidence: Evidence) -> str:  # noqa: ARG001 - one shape for all guards
    return f"{window.total.clamped} latencies" if window.total.clamped else ""


def _clock_jump(window: Window, evidence: Evidence) -> str:  # noqa: ARG001 - one shape for all guards
    seconds = window.last - window.first
    reported = window.generator.seconds_reported
    if seconds - reported > max(2.0, SILENT_SHARE * seconds):
        return f"the generator reported {reported} of {seconds} seconds"
    return ""


# kind -> (guard, does the defect make the target look better than it is?)
GUARDS: dict[str, tuple[Guard, bool]] = {
    "no data": (_no_data, True),
    "not steady": (_not_steady, False),
    "cut short": (_cut_short, True),
    "run broke": (_run_broke, False),
    "worker lost": (_worker_lost, False),
    "generator limited": (_generator_limited, False),
    "arrivals not started": (_not_started, True),
    "scenario raised": (_scenario_raised, True),
    "requests lost": (_requests_lost, True),
    "not accounted": (_not_accounted, True),
    "fault not felt": (_fault_not_felt, True),
    "fault failed": (_fault_failed, True),
    "fault left over": (_fault_left, False),
    "latency clamped": (_clamped, True),
    "clock jump": (_clock_jump, False),
}


def defects_of(window: Window, evidence: Evidence) -> tuple[Defect, ...]:
    """All that is wrong with a window, in the order of GUARDS."""
    found = []
    for kind, (guard, flatters) in GUARDS.items():
        detail = guard(window, evidence)
        if detail:
            found.append(Defect(kind=kind, flatters=flatters, detail=f"{DEFECTS[kind]}: {detail}"))
    return tuple(found)
