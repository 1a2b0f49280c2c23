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

    __slots__ = ("answer", "closed", "due_ns", "endpoint", "lag_us", "second", "timer")

    def __init__(self, endpoint: str, second: _Second, due_ns: int, lag_us: int) -> None:
        self.endpoint = endpoint
        self.second = second
        self.due_ns = due_ns
        self.lag_us = lag_us
        self.closed = False
        self.answer: object = None
        self.timer: object = None


class _Second:
    """The requests due in one second: what is new of each endpoint, and how many are in flight."""

    __slots__ = ("cells", "in_flight", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.cells: dict[str, _Cell] = {}
        self.in_flight = 0


@dataclass(slots=True)
class _Cell:
    """The counts of one endpoint and second since they were last handed out.

    `prompt` are the good answers of requests that began when they were due, so that both their latencies are one.
    """

    started: int = 0
    finished: int = 0
    lost: int = 0
    failed: dict[str, int] = field(default_factory=dict)
    prompt: Histogram = field(default_factory=Histogram)
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
        self._seconds: dict[int, _Second] = {}
        self._endpoints: set[str] = set()
        self._open: set[OpenRequest] = set()

    @property
    def in_flight(self) -> int:
        """Requests opened and not closed."""
        return len(self._open)

    def open(self, endpoint: str, start_ns: int, lag_ns: int) -> OpenRequest:
        """A request is sent at `start_ns`, `lag_ns` after it was due."""
        due_ns = start_ns - lag_ns
        number = due_ns // NS_PER_S
        second = self._seconds.get(number)
        if second is None:
            second = self._seconds[number] = _Second(number)
        second.in_flight += 1
        (second.cells.get(endpoint) or self._cell(second, endpoint)).started += 1
        request = OpenRequest(endpoint, second, due_ns, lag_ns // 1000)
        self._open.add(request)
        return request

    def close(self, request: OpenRequest, endpoint: str, service_us: int, failure: str = "", message: str = "") -> None:
        """Its outcome: `failure` is a class of failures.py, or empty. A request closed before stays as it was."""
        if request.closed:
            return
        second = self._settle(request)
        cell = second.cells.get(endpoint) or self._cell(second, endpoint)
        if endpoint != request.endpoint:  # renamed by the scenario after it was sent
            self._cell(second, request.endpoint).started -= 1
            cell.started += 1
        cell.finished += 1
        if failure:
            due_us = service_us + request.lag_us
            cell.failed[failure] = cell.failed.get(failure, 0) + 1
            cell.due_failed.record(due_us)
            cell.service_failed.record(service_us)
            self._keep(endpoint, failure, message, request.due_ns, due_us)
        elif request.lag_us:
            cell.due_ok.record(service_us + request.lag_us)
            cell.service_ok.record(service_us)
        else:
            cell.prompt.record(service_us)

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
        ended = sorted(number for number in self._seconds if number < before_second)
        cells: list[tuple[int, str, _Cell]] = []
        for number in ended:
            second = self._seconds[number]
            cells += [(number, endpoint, cell) for endpoint, cell in sorted(second.cells.items())]
            second.cells = {}
            if not second.in_flight:
                del self._seconds[number]
        for number, endpoint, cell in cells:
            if cell.started or cell.finished or cell.lost:
                yield _row(self._worker, number, endpoint, cell, at_ns)

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
        return {number: second.in_flight for number, second in self._seconds.items() if second.in_flight}

    def _settle(self, request: OpenRequest) -> _Second:
        request.closed = True
        self._open.discard(request)
        second = request.second
        second.in_flight -= 1
        return second

    def _cell(self, second: _Second, endpoint: str) -> _Cell:
        cell = second.cells.get(endpoint)
        if cell is None:
            # Unnamed ids in paths would make a row each: past a bound they share one.
            if endpoint not in self._endpoints:
                if len(self._endpoints) >= MAX_ENDPOINTS:
                    endpoint = OTHER_ENDPOINTS
                else:
                    self._endpoints.add(endpoint)
            cell = second.cells.setdefault(endpoint, _Cell())
        return cell

    def _keep(self, endpoint: str, failure: str, message: str, due_ns: int, latency_us: int) -> None:
        kept = self._exemplars_of.get((endpoint, failure), 0)
        if self._exemplars_left > 0 and kept < EXEMPLARS_PER_FAILURE:
            self._exemplars_of[endpoint, failure] = kept + 1
            self._exemplars_left -= 1
            self._exemplars.append((endpoint, failure, message, due_ns, latency_us))


def _row(worker: int, second: int, endpoint: str, cell: _Cell, at_ns: int) -> Traffic:
    cell.due_ok.add(cell.prompt)
    cell.service_ok.add(cell.prompt)
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
