"""The rows that a worker sends each second: of requests, of itself, of kept failures and troubles."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import gevent

from harness.journal import Event, Generator, Trouble
from harness.traffic.child.users import Users
from harness.traffic.gauges import Collections, Gauges, Lateness
from harness.traffic.pacing import NS_PER_S, Ledger
from harness.traffic.recorder import Recorder

# A second is reported this long after its end, so that its fast answers make one row.
_SETTLE_NS = 250_000_000


class RowMaker:
    """Closes seconds, each once, in order."""

    def __init__(
        self,
        worker: int,
        recorder: Recorder,
        ledger: Ledger,
        users: Users,
        now: Callable[[], int],
        busy: Callable[[], int],
    ) -> None:
        self._worker = worker
        self._recorder = recorder
        self._ledger = ledger
        self._users = users
        self._busy = busy
        self._now = now
        self._gauges = Gauges()
        self._collections = Collections()
        self._files_before = 0
        self._lateness = Lateness(now())
        self._closed_second = now() // NS_PER_S - 1
        self._seen_in: dict[int, tuple[int, int]] = {}

    def begin(self) -> None:
        """The load is about to begin: what is open now is not a connection of a user."""
        self._files_before = self._gauges.open_files()
        self._collections.watch()

    def watch_loop(self) -> None:
        """Feel the event loop's lateness and see how many users and requests each second ends with; never returns."""
        self._lateness = Lateness(self._now())
        while True:
            now_ns = self._now()
            self._seen_in[now_ns // NS_PER_S] = (self._busy(), self._recorder.in_flight)
            gevent.sleep(self._lateness.beat(now_ns) / 1e9)

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
        yield from self._generators(min(last, at_ns // NS_PER_S), at_ns)
        yield from self._recorder.rows(last + 1 if not all_seconds else 1 << 62, at_ns)
        yield from self._recorder.exemplars(at_ns)
        troubles, self._users.troubles = self._users.troubles, []
        yield from troubles

    def _generators(self, last: int, at_ns: int) -> Iterator[Generator]:
        """A row for each second not yet closed. After a stall these are several, and the gauges hold for them all."""
        if last <= self._closed_second:
            return
        cpu, lag = self._gauges.cpu(), self._lateness.take()
        rss_bytes, open_files = self._gauges.rss_bytes(), self._gauges.open_files()
        raised, self._users.raised = self._users.raised, 0
        start_lag, gc_us = self._ledger.start_lag(), self._collections.take_us()
        for second in range(self._closed_second + 1, last + 1):
            due, begun = self._ledger.close(second)
            users, in_flight = self._seen_in.pop(second, (self._busy(), self._recorder.in_flight))
            yield Generator(
                at_ns=at_ns,
                second=second,
                worker=self._worker,
                users=users,
                due=due,
                begun=begun,
                in_flight=in_flight,
                cpu=cpu,
                lag=lag,
                rss_bytes=rss_bytes,
                open_files=open_files,
                raised=raised,
                not_started=self._ledger.not_started(second),
                start_lag=start_lag,
                sockets=max(0, open_files - self._files_before),
                gc_us=gc_us,
            )
            raised, start_lag, gc_us = 0, "", 0
        self._closed_second = last
