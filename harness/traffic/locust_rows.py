"""The rows that a worker sends each second: of requests, of itself, of kept failures and troubles."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import gevent

from harness.journal import Event, Generator, Trouble
from harness.traffic.gauges import Gauges, Lateness
from harness.traffic.locust_crowd import Crowd
from harness.traffic.pacing import NS_PER_S, Ledger
from harness.traffic.recorder import Recorder

# A second is reported this long after its end, so that its fast answers make one row.
_SETTLE_NS = 250_000_000


class RowMaker:
    """Closes seconds, each once, in order."""

    def __init__(self, worker: int, recorder: Recorder, ledger: Ledger, crowd: Crowd, now: Callable[[], int]) -> None:
        self._worker = worker
        self._recorder = recorder
        self._ledger = ledger
        self._crowd = crowd
        self._now = now
        self._gauges = Gauges()
        self._lateness = Lateness(now())
        self._closed_second = now() // NS_PER_S - 1

    def watch_loop(self) -> None:
        """Feel the event loop's lateness; never returns."""
        self._lateness = Lateness(self._now())
        while True:
            gevent.sleep(self._lateness.beat(self._now()) / 1e9)

    def next_report_s(self) -> float:
        """How long until the current second may be reported."""
        now_ns = self._now()
        return ((now_ns - _SETTLE_NS) // NS_PER_S + 1) * NS_PER_S / 1e9 + _SETTLE_NS / 1e9 - now_ns / 1e9

    def closed(self) -> Iterator[Event]:
        """The rows of the seconds that have ended since the last call."""
        last = (self._now() - _SETTLE_NS) // NS_PER_S - 1
        yield from self._rows(last)

    def final(self) -> Iterator[Event]:
        """Everything that is left, the current second included, and a trouble for each request that went missing."""
        yield from self._rows(self._now() // NS_PER_S + 1, all_seconds=True)
        missing = self._recorder.audit()
        if missing:
            text = f"worker {self._worker}: started is not finished + lost in seconds {missing}"
            yield Trouble(at_ns=self._now(), source="traffic", message=text)

    def _rows(self, last: int, *, all_seconds: bool = False) -> Iterator[Event]:
        at_ns = self._now()
        if last > self._closed_second:
            # After a stall several seconds close at once: the row of the last one carries the gauges of all.
            self._closed_second = min(last, at_ns // NS_PER_S)
            yield self._generator(self._closed_second, at_ns)
        yield from self._recorder.rows(last + 1 if not all_seconds else 1 << 62, at_ns)
        yield from self._recorder.exemplars(at_ns)
        troubles, self._crowd.troubles = self._crowd.troubles, []
        yield from troubles

    def _generator(self, second: int, at_ns: int) -> Generator:
        due, begun = self._ledger.close(second)
        return Generator(
            at_ns=at_ns,
            second=second,
            worker=self._worker,
            users=self._crowd.size,
            due=due,
            begun=begun,
            in_flight=self._recorder.in_flight,
            cpu=self._gauges.cpu(),
            lag=self._lateness.take(),
            rss_bytes=self._gauges.rss_bytes(),
            open_files=self._gauges.open_files(),
        )
