"""A worker process: its share of the users, on the line, and a row of books each second."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable
from typing import Any

import gevent
from gevent.event import Event as Signal
from locust.runners import STATE_CLEANUP, STATE_RUNNING, STATE_STOPPED

from harness.journal import Event, Trouble, encode
from harness.traffic import Load
from harness.traffic.channel import Channel
from harness.traffic.child.arrivals import Pool
from harness.traffic.child.crowd import Crowd
from harness.traffic.child.declared import attach
from harness.traffic.child.hooks import SHORTEST_S, install_pacing, install_socket_check, switch_off_statistics
from harness.traffic.child.master import BEGIN, BEGUN, ENDED, LOAD, READY, ROWS, STOP
from harness.traffic.child.requests import Books
from harness.traffic.child.rows import RowMaker
from harness.traffic.child.runners import SteadyWorker, leave_quitting_to_us
from harness.traffic.child.setup import load_scenario, make_environment, report_failure, uses_statistics
from harness.traffic.child.users import Users
from harness.traffic.pacing import Ledger
from harness.traffic.recorder import Recorder
from harness.traffic.scenario import ScenarioError
from harness.traffic.settings import ChildSettings

EXEMPLARS_PER_RUN = 100
# A collection stops all users for as long as it has objects to look at (some 0.3 us each): look at few at a time, and
# at the survivors seldom, since users stay and Users.settle_memory takes them out of sight each second of a ramp.
_GC_THRESHOLDS = (1_000, 200, 100)
_LAST_WORDS_MS = 1000
_ENCODE_BURST_NS = 1_000_000
_SHAPE_IGNORED = "the scenario's LoadTestShape is ignored: the experiment's stages set the load"


def run(settings: ChildSettings, channel: Channel, events: Any) -> None:
    """Import the scenario, join the master, follow the line until told to stop."""

    def now() -> int:
        return time.monotonic_ns() - settings.origin_ns

    recorder = Recorder(settings.worker, exemplars=-(-EXEMPLARS_PER_RUN // settings.workers))
    ledger = Ledger()
    books = Books(recorder, now, settings.timeout_ns)
    install_socket_check()
    install_pacing(ledger, now, books.leave_iteration)
    try:
        loaded = load_scenario(settings)
        environment = make_environment(settings, loaded, events)
    except ScenarioError as error:
        report_failure(channel, error)
        return
    port = next((record["port"] for record in channel.records()), None)
    if port is None:
        return
    runner = SteadyWorker(environment, port)
    environment.runner = runner
    runner.worker_index = settings.worker
    if not uses_statistics(settings):
        switch_off_statistics(events)
    leave_quitting_to_us(events)
    books.install(events)
    events.init.fire(environment=environment, runner=runner, web_ui=None)
    users = Users(runner, ledger, books, now)
    attach(loaded, events, users.tell, users.count_raised)
    model = Pool(settings, users, ledger, now) if settings.max_users else Crowd(settings, users, now)
    rows = RowMaker(settings.worker, recorder, ledger, users, now, lambda: model.busy)
    troubles = [_SHAPE_IGNORED] if loaded.shapes else []
    _Worker(settings, runner, users, model, rows, books, now).serve(troubles)


class _Worker:
    """Joins the runner's messages with the users, the model that moves them, and the rows."""

    def __init__(
        self,
        settings: ChildSettings,
        runner: SteadyWorker,
        users: Users,
        model: Crowd | Pool,
        rows: RowMaker,
        books: Books,
        now: Callable[[], int],
    ) -> None:
        self._settings = settings
        self._runner = runner
        self._users = users
        self._model = model
        self._rows = rows
        self._books = books
        self._now = now
        self._begin = Signal()
        self._stop = Signal()
        self._drain_until_ns = 0
        self._unanswered = 0
        runner.register_message(BEGIN, lambda environment, msg: self._begin.set())  # noqa: ARG005 - Locust's shape
        runner.register_message(LOAD, self._on_load)
        runner.register_message(STOP, self._on_stop)

    def serve(self, troubles: list[str]) -> None:
        """Wait for the master's word, fire test_start, then live by the line until the stop."""
        environment: Any = self._runner.environment
        self._runner.send_message(READY, {"worker": self._settings.worker})
        self._begin.wait()
        environment.events.test_start.fire(environment=environment)
        self._runner.update_state(STATE_RUNNING)
        self._runner.worker_state = STATE_RUNNING
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_GC_THRESHOLDS)
        self._runner.send_message(BEGUN, {"worker": self._settings.worker})
        self._rows.begin()
        beating = gevent.spawn(self._rows.watch_loop)
        reporting = gevent.spawn(self._report)
        self._send([Trouble(at_ns=self._now(), source="scenario", message=text) for text in troubles])
        following = gevent.spawn(self._model.follow)
        self._stop.wait()
        self._drain(following)
        gevent.killall([beating, reporting], block=True)
        self._end()

    def _drain(self, following: gevent.Greenlet) -> None:
        environment: Any = self._runner.environment
        environment.events.test_stopping.fire(environment=environment)
        self._runner.update_state(STATE_CLEANUP)
        following.kill(block=True)
        self._model.dismiss()
        self._users.wait_gone(lambda: (self._drain_until_ns - time.monotonic_ns()) / 1e9)
        self._unanswered = self._books.lose_all()
        self._users.end_rest()
        self._runner.update_state(STATE_STOPPED)
        environment.events.test_stop.fire(environment=environment)

    def _end(self) -> None:
        """Last rows, the proof that no request went missing, and the news that this worker is done."""
        self._unanswered += self._books.lose_all()  # requests of on_stop and test_stop listeners
        lines = [encode(event) for event in self._rows.final()]
        ended = {"worker": self._settings.worker, "unanswered": self._unanswered}
        self._runner.send_message(ENDED, {"lines": lines, "ended": ended})
        environment: Any = self._runner.environment
        environment.events.quitting.fire(environment=environment, reverse=True)
        environment.events.quit.fire(exit_code=0)
        self._runner.greenlet.kill(block=False)
        client: Any = self._runner.client
        client.close(linger=_LAST_WORDS_MS)  # the exit waits that long for the message to leave

    def _report(self) -> None:
        while True:
            gevent.sleep(self._rows.next_report_s())
            self._users.settle_memory()
            self._send(self._rows.closed())

    def _send(self, events: Iterable[Event]) -> None:
        lines: list[str] = []
        yielded_ns = time.monotonic_ns()
        for event in events:
            lines.append(encode(event))
            # Fifty endpoints must not hold up the users; yielding after each would take ages when these are too many.
            if time.monotonic_ns() - yielded_ns > _ENCODE_BURST_NS:
                self._runner.send_message(ROWS, {"lines": lines})
                lines = []
                gevent.sleep(SHORTEST_S)
                yielded_ns = time.monotonic_ns()
        if lines:
            self._runner.send_message(ROWS, {"lines": lines})

    def _on_load(self, environment: Any, msg: Any) -> None:  # noqa: ARG002 - Locust's shape of a listener
        self._model.set_load(Load(**msg.data))

    def _on_stop(self, environment: Any, msg: Any) -> None:  # noqa: ARG002
        self._drain_until_ns = time.monotonic_ns() + msg.data["drain_ns"]  # a second order may shorten the first
        self._stop.set()
