"""What a person sees while a run is on: a small panel on a terminal, a line every five seconds elsewhere.

`fold` turns journal events into a `LiveState`, `lines` a state into words; both are pure. `LiveView` only prints.
No numpy here: this runs beside the load.
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

from harness.experiment import Experiment, LoadUnit
from harness.histogram import decode
from harness.journal import (
    Aborted,
    Event,
    FaultFailed,
    FaultHealed,
    FaultInjected,
    FaultIntended,
    Generator,
    RunEnded,
    StageEntered,
    Traffic,
    Trouble,
    WorkerLost,
)
from harness.plan import Plan, level_at
from harness.reports import words
from harness.reports.escape import clean
from harness.units import NS_PER_S, format_load, format_rate

if TYPE_CHECKING:
    from rich.console import Group
    from rich.live import Live

RECENT_S = 5
LINE_EVERY_NS = 5 * NS_PER_S
_NAME = 40
_SHORT = 27
"""Of a name in the panel: name, kind and time stand in one line of 80 columns."""
_MOST_FAULTS = 6
_WHOLE_FROM = 10
_BEGUN_S = 2
MISSED = "missed"
"""The label of arrivals that did not start."""
_STYLES = {MISSED: "bold yellow", "trouble": "yellow"}


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveState:
    """All that the live view knows: facts of the last events, and the traffic rows of the last seconds."""

    experiment: str
    plan: Plan
    now_ns: int = 0
    zero_ns: int | None = None
    stage: StageEntered | None = None
    unit: LoadUnit = "users"
    max_users: int = 0
    users: Mapping[int, int] = field(default_factory=dict)
    begun: tuple[Generator, ...] = ()
    not_started: int = 0
    recent: tuple[Traffic, ...] = ()
    finished: int = 0
    failed: int = 0
    kinds: Mapping[str, str] = field(default_factory=dict)
    active: Mapping[str, int] = field(default_factory=dict)
    trouble: str = ""
    ending: str = ""


def fold(state: LiveState, event: Event) -> LiveState:  # noqa: C901, PLR0911 - one line per kind of event
    """The state after an event."""
    state = replace(state, now_ns=max(state.now_ns, event.at_ns))
    match event:
        case StageEntered():
            return replace(state, stage=event, zero_ns=event.at_ns if state.zero_ns is None else state.zero_ns)
        case Traffic():
            return _traffic(state, event)
        case Generator():
            return _generator(state, event)
        case FaultIntended():
            return replace(state, kinds={**state.kinds, event.fault: f"{event.kind} on {event.on}"})
        case FaultInjected():
            return replace(state, active={**state.active, event.fault: event.at_ns})
        case FaultHealed():
            return replace(state, active={name: at for name, at in state.active.items() if name != event.fault})
        case FaultFailed():
            return replace(state, trouble=f"fault {event.fault}, {event.step}: {event.message}")
        case WorkerLost():
            left = {worker: users for worker, users in state.users.items() if worker != event.worker}
            return replace(state, users=left, trouble=f"traffic worker {event.worker} is lost: {event.why}")
        case Trouble():
            return replace(state, trouble=f"{event.source}: {event.message}")
        case Aborted():
            return replace(state, ending=f"stopping, by {event.by.replace('_', ' ')}: {event.why}")
        case RunEnded():
            return replace(state, ending=state.ending or "done")
        case _:
            return state


def _traffic(state: LiveState, row: Traffic) -> LiveState:
    newest = max(row.second, max((one.second for one in state.recent), default=0))
    recent = (*(one for one in state.recent if one.second >= newest - RECENT_S), row)
    failed = state.failed + sum(row.failed.values())
    return replace(state, recent=recent, finished=state.finished + row.finished, failed=failed)


def _generator(state: LiveState, row: Generator) -> LiveState:
    newest = max(row.second, max((one.second for one in state.begun), default=0))
    return replace(
        state,
        users={**state.users, row.worker: row.users},
        begun=(*(one for one in state.begun if one.second >= newest - _BEGUN_S), row),
        not_started=state.not_started + row.not_started,
    )


def lines(state: LiveState) -> tuple[tuple[str, str], ...]:
    """What to show, as (label, words)."""
    load = "load" if state.unit == "rate" else "users"
    shown = [("stage", _stage(state)), (load, _load(state)), ("answers", _answers(state))]
    if state.not_started:
        shown.insert(2, (MISSED, _missed(state)))
    # A line each, so that names of several faults never run into one another.
    faults = _faults(state, _SHORT) or ["none"]
    shown += [("faults" if index == 0 else "", told) for index, told in enumerate(faults[:_MOST_FAULTS])]
    if len(faults) > _MOST_FAULTS:
        shown.append(("", f"and {len(faults) - _MOST_FAULTS} more"))
    if state.trouble:
        shown.append(("trouble", clean(state.trouble, 200)))
    if state.ending:
        shown.append(("ending", clean(state.ending, 200)))
    return tuple(shown)


def line(state: LiveState) -> str:
    """Everything in one line, for logs."""
    parts = [_stage(state), _load(state), _answers(state)]
    parts += [f"NOT STARTED: {_missed(state)}"] if state.not_started else []
    parts += [f"faults: {', '.join(_faults(state, _NAME))}"] if state.active else []
    return " | ".join(parts)


def _since(state: LiveState) -> int:
    return state.now_ns - (state.now_ns if state.zero_ns is None else state.zero_ns)


def _stage(state: LiveState) -> str:
    if state.stage is None:
        return "starting: services, proxies and traffic come up"
    stage, now = state.stage, state.now_ns
    if now < stage.hold_at_ns:
        phase = f"ramp, hold in {words.clock(stage.hold_at_ns - now)}"
    elif now < stage.ends_at_ns:
        held, whole = now - stage.hold_at_ns, stage.ends_at_ns - stage.hold_at_ns
        phase = f"hold {words.clock(held)} of {words.clock(whole)}"
    else:
        phase = "over"
    left = max(0, state.plan.total_ns - _since(state))
    return f"{clean(stage.stage, _NAME)} ({stage.role}), {phase}; {words.clock(left)} left"


def _load(state: LiveState) -> str:
    """What is wanted beside what is there: users, or arrivals a second and the users that they keep busy."""
    wanted = level_at(state.plan, _since(state)) if state.zero_ns is not None else 0.0
    there = sum(state.users.values())
    users = f"{there:,}"
    if state.unit == "users":
        return f"{round(wanted):,} wanted, {users} there"
    started = _rate(sum(row.begun for row in _whole(state)) / _seconds(state))
    return f"{_rate(wanted)} wanted, {started} started, {users} user{'s' * (there != 1)} busy of {state.max_users:,}"


def _whole(state: LiveState) -> list[Generator]:
    """The rows of the last two whole seconds (on a ramp, more would lag behind what is wanted).

    The newest second may lack a worker's row, so it is left out once there is another.
    """
    newest = max((row.second for row in state.begun), default=0)
    return [row for row in state.begun if row.second < newest] or list(state.begun)


def _seconds(state: LiveState) -> int:
    return max(1, len({row.second for row in _whole(state)}))


def _rate(per_s: float) -> str:
    return format_rate(float(round(per_s)) if per_s >= _WHOLE_FROM else per_s)


def _missed(state: LiveState) -> str:
    """Arrivals that found no user: how many, and whether they still do."""
    now = sum(row.not_started for row in _whole(state)) / _seconds(state)
    text = f"{state.not_started:,} arrivals so far"
    return f"{text}, {_rate(now)} now: all users are busy" if now else f"{text}, none now"


def _answers(state: LiveState) -> str:
    """Of the last whole seconds: the newest one may still be filling up, so it is left out once there is another."""
    newest = max((row.second for row in state.recent), default=0)
    rows = [row for row in state.recent if row.second < newest] or list(state.recent)
    if not rows:
        return "none yet"
    seconds = len({row.second for row in rows})
    finished = sum(row.finished for row in rows)
    failed = sum(sum(row.failed.values()) for row in rows)
    merged = decode(text for row in rows for text in (row.due_ok, row.due_failed))
    percentiles = ", ".join(
        f"P{depth} {words.duration_us(merged.percentile_us(depth / 100))}" for depth in (50, 95, 99)
    )
    errors = words.percent(failed / finished) if finished else words.NO_VALUE
    rate = words.count(round(finished / seconds))
    return f"{rate}/s, {percentiles}, errors {errors} ({state.failed:,} of {state.finished:,} so far)"


def _faults(state: LiveState, size: int) -> list[str]:
    return [
        f"{clean(name, size)} ({clean(state.kinds.get(name, ''), size)}, {words.clock(state.now_ns - since)})"
        for name, since in state.active.items()
    ]


class LiveView:
    """Shows a run as its events come. A context manager: on leaving, the terminal is as it was."""

    def __init__(
        self, experiment: Experiment, plan: Plan, out: TextIO | None = None, *, terminal: bool | None = None
    ) -> None:
        self.state = LiveState(
            experiment=clean(experiment.name, _NAME),
            plan=plan,
            unit=experiment.unit,
            max_users=experiment.traffic.max_users,
        )
        self._out = sys.stdout if out is None else out
        self._terminal = self._out.isatty() and not os.environ.get("CI") if terminal is None else terminal
        self._live: Live | None = None
        self._next_ns = 0

    def __enter__(self) -> LiveView:
        if self._terminal:
            from rich.console import Console
            from rich.live import Live

            console = Console(file=self._out, highlight=False)
            self._live = Live(console=console, get_renderable=self._panel, refresh_per_second=4, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def on_event(self, event: Event) -> None:
        """Take an event into account, and print when it is time or when it is news."""
        self.state = fold(self.state, event)
        if self._live is not None:
            return
        news = _news(event)
        if news:
            self._say(news)
        if event.at_ns >= self._next_ns and self.state.stage is not None:
            self._next_ns = event.at_ns + LINE_EVERY_NS
            self._say(line(self.state))

    def _say(self, text: str) -> None:
        if not _writable(self._out):  # nobody reads, or Ctrl-S: a run must not wait for that
            return
        at = words.clock(_since(self.state))
        self._out.write(f"[{self.state.experiment} {at}] {text}\n")
        self._out.flush()

    def _panel(self) -> Group:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.text import Text

        state = self.state
        total = max(1, state.plan.total_ns)
        rows = [Text.assemble((f"{label:<8}", "dim"), (told, _STYLES.get(label, ""))) for label, told in lines(state)]
        bar = ProgressBar(total=total, completed=min(total, _since(state)), width=72)
        return Group(Text(state.experiment, style="bold"), *rows, bar)


def _writable(out: TextIO) -> bool:
    """Whether a line can be written without waiting: a pipe has room for 4 KiB, a terminal is not stopped."""
    try:
        return bool(select.select([], [out], [], 0)[1])
    except (OSError, ValueError):  # no file at all, or closed: writing it will tell
        return True


def _news(event: Event) -> str:
    """The line that an event is worth by itself, or nothing."""
    match event:
        case StageEntered():
            to = format_load(event.rate, "rate") if event.rate else format_load(event.users, "users")
            told = f"stage {clean(event.stage, _NAME)}: to {to}"
        case FaultInjected():
            told = f"fault {clean(event.fault, _NAME)} is in force"
        case FaultHealed():
            told = f"fault {clean(event.fault, _NAME)} is over"
        case FaultFailed():
            told = f"fault {clean(event.fault, _NAME)}: {event.step} failed: {clean(event.message)}"
        case WorkerLost():
            told = f"traffic worker {event.worker} is lost: {clean(event.why)}"
        case Aborted():
            told = f"stopping, by {event.by.replace('_', ' ')}: {clean(event.why)}"
        case _:
            told = ""
    return told
