"""A journal written by hand: events are added in any order and come out as a run would have written them."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from harness.journal import (
    SCHEMA,
    Aborted,
    Event,
    Exemplar,
    FaultFelt,
    FaultHealed,
    FaultInjected,
    FaultIntended,
    Generator,
    Json,
    LoadSet,
    Reading,
    RunEnded,
    RunStarted,
    StageEntered,
    Traffic,
    TrafficEnded,
    Trouble,
    WorkerLost,
)
from harness.units import NS_PER_MS, NS_PER_S

Floats = npt.NDArray[np.float64]

_PAIRS = np.dtype([("bucket", "<u2"), ("count", "<u4")])
_INJECT_NS = 12 * NS_PER_MS
_FELT_NS = 40 * NS_PER_MS


def encoded(latencies_us: Floats | Sequence[float]) -> str:
    """The histogram of many latencies (us), in the text form of histogram.py, without a Python loop."""
    values = np.clip(np.asarray(latencies_us, dtype=np.int64), 0, 3_600_000_000)
    if not len(values):
        return ""
    shift = np.maximum(np.frexp(values.astype(np.float64))[1] - 11, 0)
    buckets, counts = np.unique((shift << 10) + (values >> shift), return_counts=True)
    pairs = np.empty(len(buckets), dtype=_PAIRS)
    pairs["bucket"], pairs["count"] = buckets, counts
    return base64.b64encode(pairs.tobytes()).decode("ascii")


class JournalBuilder:
    """Collects the events of an invented run. Times are seconds from the start of the first stage."""

    def __init__(
        self,
        document: Mapping[str, Json],
        *,
        run: str = "2026-11-21T21-04-10Z-7f3a",
        wall: str = "2026-11-21T21:04:10Z",
        seed: int = 7,
        origin_s: float = 2.0,
        facts: Mapping[str, Json] | None = None,
    ) -> None:
        self._document, self._run, self._wall, self._seed = document, run, wall, seed
        self._origin_ns = round(origin_s * NS_PER_S)
        self._facts = {"harness": "0.0", "proxy": "embedded"} if facts is None else facts
        self._events: list[Event] = []
        self._next_s, self._users, self._rate = 0.0, 0, 0.0
        self._ended = False

    def ns(self, at_s: float) -> int:
        """The run clock's nanoseconds of a time in seconds from the start of the first stage."""
        return self._origin_ns + round(at_s * NS_PER_S)

    def add(self, *events: Event) -> None:
        """Add finished events; they are put in order of time at the end."""
        self._events.extend(events)

    def stage(self, name: str, role: str, users: int, *, ramp_s: float, hold_s: float) -> tuple[float, float]:
        """Enter a stage where the last one ended. Returns the seconds at which its hold begins and ends."""
        start_s, hold_at_s = self._next_s, self._next_s + ramp_s
        end_s = hold_at_s + hold_s
        self.add(
            StageEntered(
                at_ns=self.ns(start_s), stage=name, role=role, users=users,
                hold_at_ns=self.ns(hold_at_s), ends_at_ns=self.ns(end_s),
            ),
            LoadSet(
                at_ns=self.ns(start_s), users_from=self._users, users_to=users,
                ramp_ns=round(ramp_s * NS_PER_S),
            ),
        )  # fmt: skip
        self._next_s, self._users = end_s, users
        return hold_at_s, end_s

    def arrivals(
        self,
        name: str,
        role: str,
        rate: float,
        *,
        ramp_s: float = 0.0,
        hold_s: float,
        curve: Sequence[tuple[float, float]] = (),
    ) -> tuple[float, float]:
        """The same of the open model: a stage of `rate` arrivals a second, or one that runs through the points of
        `curve` (seconds from its start, rate)."""
        start_s, hold_at_s = self._next_s, self._next_s + ramp_s
        end_s = hold_at_s + hold_s
        points = curve or ((0.0, self._rate), (ramp_s, rate))
        self.add(
            StageEntered(
                at_ns=self.ns(start_s), stage=name, role=role, users=0, rate=float(rate),
                hold_at_ns=self.ns(hold_at_s), ends_at_ns=self.ns(end_s),
            ),
            *(
                LoadSet(
                    at_ns=self.ns(start_s + left_s), users_from=0, users_to=0, unit="rate", rate_from=float(left),
                    rate_to=float(right), ramp_ns=round((right_s - left_s) * NS_PER_S),
                )
                for (left_s, left), (right_s, right) in pairwise(points)
            ),
        )  # fmt: skip
        self._next_s, self._rate = end_s, float(rate)
        return hold_at_s, end_s

    def fault(
        self,
        name: str,
        driver: str,
        kind: str,
        on: str,
        start_s: float,
        end_s: float,
        *,
        params: Mapping[str, Json] | None = None,
        felt: bool = True,
        proof: str = "the effect was measured",
    ) -> None:
        """A fault in force from `start_s` to `end_s`, asked for and healed a few milliseconds before."""
        start_ns, end_ns = self.ns(start_s), self.ns(end_s)
        self.add(
            FaultIntended(
                at_ns=start_ns - _INJECT_NS, fault=name, driver=driver, kind=kind, on=on,
                params=params or {}, before={},
            ),
            FaultInjected(at_ns=start_ns, fault=name, asked_ns=start_ns - _INJECT_NS),
            FaultFelt(at_ns=start_ns + _FELT_NS, fault=name, felt=felt, proof=proof),
            FaultHealed(at_ns=end_ns, fault=name, asked_ns=end_ns - _INJECT_NS),
        )  # fmt: skip

    def traffic(
        self,
        at_s: int,
        endpoint: str,
        ok_us: Floats | Sequence[float],
        failed_us: Mapping[str, Floats | Sequence[float]] | None = None,
        *,
        lost: int = 0,
        late_us: float = 300.0,
        worker: int = 1,
    ) -> None:
        """One row: the requests due in second `at_s`. Due-time latencies are `late_us` above those given."""
        failed = {name: np.asarray(values, dtype=float) for name, values in (failed_us or {}).items()}
        ok = np.asarray(ok_us, dtype=float)
        bad = np.concatenate([*failed.values(), np.zeros(0)])
        finished = len(ok) + len(bad)
        self.add(
            Traffic(
                at_ns=self.ns(at_s + 1), second=self.ns(at_s) // NS_PER_S, worker=worker, endpoint=endpoint,
                started=finished + lost, finished=finished, lost=lost,
                failed={name: len(values) for name, values in failed.items() if len(values)},
                due_ok=encoded(ok + late_us), due_failed=encoded(bad + late_us),
                service_ok=encoded(ok), service_failed=encoded(bad),
            )
        )  # fmt: skip

    def exemplar(self, at_s: float, endpoint: str, failure: str, message: str, latency_us: int) -> None:
        """A failed request that was kept to look at."""
        due_ns = self.ns(at_s)
        self.add(
            Exemplar(
                at_ns=due_ns + latency_us * 1_000, worker=1, endpoint=endpoint, failure=failure,
                message=message, due_ns=due_ns, latency_us=latency_us,
            )
        )  # fmt: skip

    def generator(
        self,
        at_s: int,
        users: int,
        due: int,
        *,
        begun: int | None = None,
        in_flight: int = 0,
        cpu: float = 0.2,
        worker: int = 1,
        not_started: int = 0,
        lag_us: Sequence[float] = (400.0, 500.0, 600.0, 900.0),
        start_lag_us: Sequence[float] = (),
        sockets: int = 0,
        gc_us: int = 0,
    ) -> None:
        """A worker's own row for second `at_s`; its loop is half a millisecond late unless told."""
        self.add(
            Generator(
                at_ns=self.ns(at_s + 1), second=self.ns(at_s) // NS_PER_S, worker=worker, users=users, due=due,
                begun=due - not_started if begun is None else begun, in_flight=in_flight, cpu=cpu,
                lag=encoded(lag_us), rss_bytes=90_000_000 + 8_000 * users,
                open_files=40 + users, not_started=not_started, start_lag=encoded(start_lag_us), sockets=sockets,
                gc_us=gc_us,
            )
        )  # fmt: skip

    def reading(self, at_s: float, probe: str, of: str, values: Mapping[str, float]) -> None:
        """What a probe saw."""
        self.add(Reading(at_ns=self.ns(at_s), probe=probe, of=of, values=values))

    def trouble(self, at_s: float, source: str, message: str) -> None:
        """Something that went wrong beside the plan."""
        self.add(Trouble(at_ns=self.ns(at_s), source=source, message=message))

    def worker_lost(self, at_s: float, why: str) -> None:
        """A traffic worker is gone from here on."""
        self.add(WorkerLost(at_ns=self.ns(at_s), worker=1, why=why))

    def end(
        self, *, at_s: float | None = None, aborted: tuple[str, str] | None = None, dirty: tuple[str, ...] = ()
    ) -> None:
        """The run's end, by default that of the last stage; `aborted` is (by, why). Later events are dropped."""
        at_ns = self.ns(self._next_s if at_s is None else at_s)
        self._events = [event for event in self._events if event.at_ns <= at_ns + NS_PER_S]
        if aborted is not None:
            self.add(Aborted(at_ns=at_ns, by=aborted[0], why=aborted[1]))
        self.add(
            TrafficEnded(at_ns=at_ns + NS_PER_S, unanswered=0),
            RunEnded(at_ns=at_ns + NS_PER_S, completed=aborted is None, dirty=dirty),
        )
        self._ended = True

    def events(self) -> list[Event]:
        """The journal: the header, then everything in order of time, as added where times are equal."""
        if not self._ended:
            self.end()
        header = RunStarted(
            at_ns=0, schema=SCHEMA, run=self._run, wall=self._wall, seed=self._seed,
            plan_ns=round(self._next_s * NS_PER_S), document=self._document, base_dir=".", facts=self._facts,
        )  # fmt: skip
        return [header, *sorted(self._events, key=lambda event: event.at_ns)]
