"""What happened to requests, by endpoint and by the second they were due in; the source of a worker's Traffic rows.

A request is opened when it is sent and closed when its outcome is known: started = finished + lost holds by due
second, and `audit` checks it with counters of its own. Rows are deltas: each call of `rows` hands out what is new.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from harness.histogram import Histogram
from harness.journal import Exemplar, Traffic

NS_PER_S = 1_000_000_000
MAX_ENDPOINTS = 500
OTHER_ENDPOINTS = "(other endpoints)"
EXEMPLARS_PER_FAILURE = 5


class OpenRequest:
    """A request in flight. `answer` is what a with-block still has to judge; `timer` its running time limit."""

    __slots__ = ("answer", "closed", "due_ns", "endpoint", "lag_us", "timer")

    def __init__(self, endpoint: str, due_ns: int, lag_us: int) -> None:
        self.endpoint = endpoint
        self.due_ns = due_ns
        self.lag_us = lag_us
        self.closed = False
        self.answer: object = None
        self.timer: object = None


@dataclass(slots=True)
class _Cell:
    """The counts of one endpoint and second since they were last handed out."""

    started: int = 0
    finished: int = 0
    lost: int = 0
    failed: dict[str, int] = field(default_factory=dict)
    due_ok: Histogram = field(default_factory=Histogram)
    due_failed: Histogram = field(default_factory=Histogram)
    service_ok: Histogram = field(default_factory=Histogram)
    service_failed: Histogram = field(default_factory=Histogram)


class Recorder:
    """The books of one worker. `exemplars` is its share of the failures that a run may keep."""

    def __init__(self, worker: int, *, exemplars: int) -> None:
        self._worker = worker
        self._exemplars_left = exemplars
        self._exemplars_of: dict[tuple[str, str], int] = {}
        self._exemplars: list[tuple[str, str, str, int, int]] = []
        self._cells: dict[tuple[int, str], _Cell] = {}
        self._endpoints: set[str] = set()
        self._open: set[OpenRequest] = set()
        self._balance: dict[int, int] = {}

    @property
    def in_flight(self) -> int:
        """Requests opened and not closed."""
        return len(self._open)

    def open(self, endpoint: str, start_ns: int, lag_ns: int) -> OpenRequest:
        """A request is sent at `start_ns`, `lag_ns` after it was due."""
        due_ns = start_ns - lag_ns
        request = OpenRequest(endpoint, due_ns, lag_ns // 1000)
        second = due_ns // NS_PER_S
        self._cell(second, endpoint).started += 1
        self._balance[second] = self._balance.get(second, 0) + 1
        self._open.add(request)
        return request

    def close(self, request: OpenRequest, endpoint: str, service_us: int, failure: str = "", message: str = "") -> None:
        """Its outcome: `failure` is a class of failures.py, or empty. A request closed before stays as it was."""
        if request.closed:
            return
        second = self._settle(request)
        cell = self._cell(second, endpoint)
        if endpoint != request.endpoint:  # renamed by the scenario after it was sent
            self._cell(second, request.endpoint).started -= 1
            cell.started += 1
        due_us = service_us + request.lag_us
        cell.finished += 1
        if failure:
            cell.failed[failure] = cell.failed.get(failure, 0) + 1
            cell.due_failed.record(due_us)
            cell.service_failed.record(service_us)
            self._keep(endpoint, failure, message, request.due_ns, due_us)
        else:
            cell.due_ok.record(due_us)
            cell.service_ok.record(service_us)

    def lose(self, request: OpenRequest) -> None:
        """It will never be answered: the user was killed or the run ended."""
        if not request.closed:
            self._cell(self._settle(request), request.endpoint).lost += 1

    def lose_all(self) -> int:
        """The run ends: everything still in flight is lost. Returns how many."""
        lost = list(self._open)
        for request in lost:
            self.lose(request)
        return len(lost)

    def rows(self, before_second: int, at_ns: int) -> Iterator[Traffic]:
        """What is new of the seconds before `before_second`; made one by one so that the caller may breathe between."""
        keys = sorted(key for key in self._cells if key[0] < before_second)
        cells = [(key, self._cells.pop(key)) for key in keys]
        for second in [second for second, open_ in self._balance.items() if not open_ and second < before_second]:
            del self._balance[second]
        for (second, endpoint), cell in cells:
            if cell.started or cell.finished or cell.lost:
                yield _row(self._worker, second, endpoint, cell, at_ns)

    def exemplars(self, at_ns: int) -> list[Exemplar]:
        """The failures kept since the last call."""
        kept, self._exemplars = self._exemplars, []
        return [
            Exemplar(
                at_ns=at_ns, worker=self._worker, endpoint=endpoint, failure=failure, message=message, due_ns=due_ns,
                latency_us=latency_us,
            )
            for endpoint, failure, message, due_ns, latency_us in kept
        ]  # fmt: skip

    def audit(self) -> dict[int, int]:
        """Requests that were started and neither finished nor lost, by due second; all of them in flight."""
        return {second: open_ for second, open_ in self._balance.items() if open_}

    def _settle(self, request: OpenRequest) -> int:
        request.closed = True
        self._open.discard(request)
        second = request.due_ns // NS_PER_S
        self._balance[second] = self._balance.get(second, 0) - 1
        return second

    def _cell(self, second: int, endpoint: str) -> _Cell:
        key = (second, endpoint)
        cell = self._cells.get(key)
        if cell is None:
            # Unnamed ids in paths would make a row each: past a bound they share one.
            if endpoint not in self._endpoints:
                if len(self._endpoints) >= MAX_ENDPOINTS:
                    key = (second, OTHER_ENDPOINTS)
                else:
                    self._endpoints.add(endpoint)
            cell = self._cells.setdefault(key, _Cell())
        return cell

    def _keep(self, endpoint: str, failure: str, message: str, due_ns: int, latency_us: int) -> None:
        kept = self._exemplars_of.get((endpoint, failure), 0)
        if self._exemplars_left > 0 and kept < EXEMPLARS_PER_FAILURE:
            self._exemplars_of[endpoint, failure] = kept + 1
            self._exemplars_left -= 1
            self._exemplars.append((endpoint, failure, message, due_ns, latency_us))


def _row(worker: int, second: int, endpoint: str, cell: _Cell, at_ns: int) -> Traffic:
    return Traffic(
        at_ns=at_ns,
        second=second,
        worker=worker,
        endpoint=endpoint,
        started=cell.started,
        finished=cell.finished,
        failed=cell.failed,
        lost=cell.lost,
        clamped=cell.due_ok.clamped + cell.due_failed.clamped,
        due_ok=cell.due_ok.encode(),
        due_failed=cell.due_failed.encode(),
        service_ok=cell.service_ok.encode(),
        service_failed=cell.service_failed.encode(),
    )
