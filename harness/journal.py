"""The journal: one history of a run, on one clock, one JSON object a line.

Everything a verdict or a report needs is here, so both can be made again, years later, without the target.
`at_ns` is nanoseconds since the run's origin (monotonic). A line is written whole and flushed, so a run killed at
any moment leaves a readable prefix; `read` stops before a half-written last line.

The order of a run's events (checked by `Order`; traffic rows, readings and troubles may stand anywhere):

    RunStarted  (StageEntered LoadSet (FaultIntended (FaultInjected FaultFelt | FaultFailed) FaultHealed)*)*  RunEnded
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TextIO

from harness.errors import BadInput

SCHEMA = 1

Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A thing that happened at `at_ns`. On disk its class name stands under `event` (`kind` is a fault's)."""

    at_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(Event):
    """The header. `document` is the effective experiment, `plan_ns` its planned length, `facts` the provenance."""

    schema: int
    run: str
    wall: str
    seed: int
    plan_ns: int
    document: Mapping[str, Json]
    base_dir: str
    facts: Mapping[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageEntered(Event):
    """A stage's ramp begins; its hold is measured from `hold_at_ns` to `ends_at_ns` (or where the run ended).

    `rate` is in arrivals a second; the open model has no `users` of its own.
    """

    stage: str
    role: str
    users: int
    hold_at_ns: int
    ends_at_ns: int
    rate: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSet(Event):
    """The generator was told to follow a straight line of users, or of arrivals a second (`unit` rate)."""

    users_from: int
    users_to: int
    ramp_ns: int
    unit: str = "users"
    rate_from: float = 0.0
    rate_to: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultIntended(Event):
    """Written before a fault touches anything; `before` is what is needed to undo it."""

    fault: str
    driver: str
    kind: str
    on: str
    params: Mapping[str, Json]
    before: Mapping[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultInjected(Event):
    """Confirmed in force at `at_ns`, asked for at `asked_ns`."""

    fault: str
    asked_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultFelt(Event):
    """Whether the fault was shown to have its effect, and by what proof."""

    fault: str
    felt: bool
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultHealed(Event):
    """Confirmed over at `at_ns`, asked to end at `asked_ns`."""

    fault: str
    asked_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultFailed(Event):
    """A step of a fault (before, inject, heal) failed or ran out of time."""

    fault: str
    step: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic(Event):
    """What happened to the requests of one endpoint that were *due* in second `second` of the run clock.

    Rows are deltas: a second's late answers come in later rows of the same second, and adding all rows up is exact.
    Histograms are encoded as in histogram.py, microseconds: from the due time (`due_*`) and from the actual start
    (`service_*`), of successes (`_ok`) and of failures (`_failed`). A request that never answered is in `lost`.
    `failed` counts by class: timeout, connect, reset, 5xx, 4xx, assertion, other.
    """

    second: int
    worker: int
    endpoint: str
    started: int
    finished: int
    failed: Mapping[str, int]
    lost: int = 0
    clamped: int = 0
    due_ok: str = ""
    due_failed: str = ""
    service_ok: str = ""
    service_failed: str = ""
    arm: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exemplar(Event):
    """One of a bounded number of failed requests kept to look at. `due_ns` on the run clock."""

    worker: int
    endpoint: str
    failure: str
    message: str
    due_ns: int
    latency_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Generator(Event):
    """The load generator about itself, one row per worker per second.

    `due` counts task iterations that the schedule wanted begun in `second`, `begun` those that began in it.
    `lag` is the event loop's lateness, an encoded histogram in microseconds; `cpu` is a share of one core. `raised`
    counts iterations that the scenario's own code ended by an exception. `not_started` counts arrivals that were due
    while the pool of users was at its limit and all were busy; `start_lag` is how late iterations began, from due to
    start, as an encoded histogram; `sockets` are open connections; `gc_us` is the time that garbage collection took.
    """

    second: int
    worker: int
    users: int
    due: int
    begun: int
    in_flight: int
    cpu: float
    lag: str
    rss_bytes: int
    open_files: int
    raised: int = 0
    not_started: int = 0
    start_lag: str = ""
    sockets: int = 0
    gc_us: int = 0


NULL_TARGET, LAST_STEP, OTHER_LOAD = "the null target itself", "the highest rate tried", "other load on this machine"


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTest(Event):
    """What this machine's generator carried against a target that answers at once, measured before the run.

    `per_s` is the highest rate (requests a second, all workers) at which the event loop's lateness kept its P99 below
    10 ms (`lag_p99_us`); `cpu_us` is CPU time a request; `client` the kind of user that was measured; `rate_bound`
    what kept it from more. `users` is how many the machine has room for, `user_bytes` of memory each, and `users_bound`
    what would run out first.
    """

    client: str
    workers: int
    per_s: float
    users: int
    lag_p99_us: int
    cpu_us: float
    rate_bound: str = ""
    users_bound: str = ""
    user_bytes: int = 0

    @property
    def at_least(self) -> bool:
        """Whether something else than the generator ended the measurement: it carries `per_s` or more."""
        return self.rate_bound in (NULL_TARGET, LAST_STEP, OTHER_LOAD)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerJoined(Event):
    """A worker of another host has joined. Its monotonic clock minus ours, as measured then, and how wrong that can be.

    Its rows are stamped on the run clock by that offset.
    """

    worker: int
    name: str
    host: str
    address: str
    cores: int
    offset_ns: int
    uncertainty_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLost(Event):
    """A traffic worker died or went silent; its share of the load is missing from here on."""

    worker: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficEnded(Event):
    """Every worker has drained and reported; `unanswered` were still in flight and counted as lost."""

    unanswered: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading(Event):
    """What a probe saw: `probe` is its kind, `of` its subject; a missing value is absent, never zero."""

    probe: str
    of: str
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble(Event):
    """Something went wrong that is no fault of ours by plan: a dead probe, a service that left."""

    source: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Aborted(Event):
    """The run stops early. `by` is guard, signal, error (a part broke), generator (all its workers are lost) or
    steady_state (it did not hold before the first fault: nothing was injected)."""

    by: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded(Event):
    """All faults healed (or not: `dirty` names them), traffic drained, stack down."""

    completed: bool
    dirty: tuple[str, ...] = ()
    checked: str = ""


KINDS: dict[str, type[Event]] = {
    kind.__name__: kind
    for kind in (
        RunStarted, StageEntered, LoadSet, FaultIntended, FaultInjected, FaultFelt, FaultHealed, FaultFailed,
        Traffic, Exemplar, Generator, SelfTest, WorkerJoined, WorkerLost, TrafficEnded, Reading, Trouble,
        Aborted, RunEnded,
    )
}  # fmt: skip
_FIELD_NAMES: dict[type[Event], tuple[str, ...]] = {
    kind: tuple(spec.name for spec in fields(kind)) for kind in KINDS.values()
}
# Annotations are texts here (`from __future__ import annotations`); by their first word they name a JSON type.
_JSON_TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,), "float": (int, float), "str": (str,), "bool": (bool,), "Mapping": (dict,), "tuple": (tuple,),
}  # fmt: skip
_FIELD_TYPES: dict[type[Event], dict[str, tuple[type, ...]]] = {
    kind: {spec.name: _JSON_TYPES[str(spec.type).partition("[")[0]] for spec in fields(kind)} for kind in KINDS.values()
}


def encode(event: Event) -> str:
    """The line of an event, without its newline. Empty strings and zeros of rows are kept: a row is self-contained."""
    kind = type(event)
    record: dict[str, object] = {"event": kind.__name__}
    for name in _FIELD_NAMES[kind]:
        record[name] = getattr(event, name)
    return json.dumps(record, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def decode(line: str) -> Event:
    """The event of a line. Raises ValueError when the line is no event of this schema."""
    record = json.loads(line)
    if not isinstance(record, dict):
        raise ValueError("a journal line is a JSON object")
    name = record.pop("event", None)
    kind = KINDS.get(name)
    if kind is None:
        raise ValueError(f"unknown event kind {name!r}; known: {', '.join(KINDS)}")
    if name == "RunEnded":
        record["dirty"] = tuple(record.get("dirty", ()))
    if record.get("schema", SCHEMA) != SCHEMA:
        raise ValueError(f"its schema is {record['schema']}, this harness reads {SCHEMA}")
    for field_name, value in record.items():
        if not isinstance(value, _FIELD_TYPES[kind].get(field_name, object)):
            raise ValueError(f"{name}: {field_name} is {value!r:.80}")
    try:
        return kind(**record)
    except TypeError as error:
        raise ValueError(f"{name}: {error}") from error


class Writer:
    """Appends events, one flushed line each. `sync` forces the line to the disk: used before a fault is injected."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    @classmethod
    def create(cls, path: Path) -> Writer:
        """A writer on a new file. Raises FileExistsError: a journal is never overwritten."""
        return cls(path.open("x", encoding="utf-8"))

    @classmethod
    def resume(cls, path: Path) -> Writer:
        """A writer at the end of a journal that was cut off; a half-written last line is removed."""
        with path.open("rb+") as file:
            whole = file.read().rpartition(b"\n")[0]
            file.truncate(len(whole) + 1 if whole else 0)
        return cls(path.open("a", encoding="utf-8"))

    def append(self, event: Event, *, sync: bool = False) -> None:
        """Write one event. Raises OSError when the disk is full: the run must then heal and stop."""
        self._file.write(encode(event) + "\n")
        self._file.flush()
        if sync:
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Flush and close; appending afterwards is an error."""
        self._file.close()


def read(path: Path) -> Iterator[Event]:
    """The events of a journal, up to its last whole line. Raises BadInput with file and line on a damaged one."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    return
                try:
                    yield decode(line.decode("utf-8"))
                except ValueError as error:
                    raise BadInput(
                        f"{path}:{number}: not a journal line: {error}",
                        hint="the journal is damaged, or was written by another version of the harness",
                    ) from error
    except OSError as error:
        raise BadInput(f"{path}: cannot read the journal: {error.strerror}", hint="give a run's folder") from error
