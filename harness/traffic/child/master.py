"""The master process: Locust's own message hub between harness and workers, and the master side of a scenario."""

from __future__ import annotations

import threading
from typing import Any

import gevent
from locust.runners import STATE_RUNNING, STATE_STOPPED, STATE_STOPPING

from harness.traffic.channel import Channel, control
from harness.traffic.child.hooks import install_pacing, switch_off_statistics
from harness.traffic.child.runners import QuietMaster, leave_quitting_to_us
from harness.traffic.child.setup import load_scenario, make_environment, report_failure, uses_statistics
from harness.traffic.pacing import Ledger
from harness.traffic.scenario import ScenarioError
from harness.traffic.settings import ChildSettings

READY, BEGIN, BEGUN, LOAD, STOP, ROWS, ENDED = (
    "harness_ready", "harness_begin", "harness_begun", "harness_load", "harness_stop", "harness_rows", "harness_ended",
)  # fmt: skip


def run(settings: ChildSettings, channel: Channel, events: Any) -> None:
    """Serve until the harness says quit."""
    install_pacing(Ledger(), lambda: 0, lambda _: None)  # the scenario must look the same here as in a worker
    try:
        loaded = load_scenario(settings)
        environment = make_environment(settings, loaded, events)
    except ScenarioError as error:
        report_failure(channel, error)
        return
    runner = QuietMaster(environment)
    environment.runner = runner
    if not uses_statistics(settings):
        switch_off_statistics(events)
    leave_quitting_to_us(events)
    hub = _Hub(settings, channel, runner)
    events.init.fire(environment=environment, runner=runner, web_ui=None)
    channel.send({"port": runner.server.port})
    hub.serve()


class _Hub:
    """Passes what the harness says to the workers and what they say to the harness."""

    def __init__(self, settings: ChildSettings, channel: Channel, runner: QuietMaster) -> None:
        self._channel = channel
        self._runner = runner
        self._workers = settings.workers
        self._ready: set[int] = set()
        self._begun: set[int] = set()
        self._sending = threading.Lock()
        runner.register_message(READY, self._on_ready)
        runner.register_message(BEGUN, self._on_begun)
        runner.register_message(ROWS, self._on_rows)
        runner.register_message(ENDED, self._on_ended)

    def serve(self) -> None:
        """Obey the harness until it says quit or leaves."""
        gevent.spawn(self._beat)
        for order in self._channel.records():
            if "load" in order:
                if order["load"]["unit"] == "users":
                    self._runner.target_user_count = int(order["load"]["level_to"])
                self._runner.send_message(LOAD, order["load"])
            elif "stop" in order:
                self._stop(order["stop"])
            elif "quit" in order:
                self._quit()
                return

    def _stop(self, terms: dict[str, Any]) -> None:
        environment: Any = self._runner.environment
        if self._runner.state != STATE_STOPPING:  # a second order only shortens the drain
            environment.events.test_stopping.fire(environment=environment)
            self._runner.update_state(STATE_STOPPING)
        self._runner.send_message(STOP, terms)

    def _quit(self) -> None:
        environment: Any = self._runner.environment
        if self._runner.state == STATE_STOPPING:
            self._runner.update_state(STATE_STOPPED)
            environment.events.test_stop.fire(environment=environment)
        environment.events.quitting.fire(environment=environment, reverse=True)
        environment.events.quit.fire(exit_code=0)
        self._runner.greenlet.kill(block=False)
        server: Any = self._runner.server
        server.close(linger=0)  # else the exit waits for a dead worker to take its messages

    def _on_ready(self, environment: Any, msg: Any) -> None:
        self._ready.add(msg.data["worker"])
        self._send(control({"joined": msg.data["worker"]}))
        if len(self._ready) == self._workers:
            gevent.spawn(self._begin, environment)

    def _begin(self, environment: Any) -> None:
        environment.events.test_start.fire(environment=environment)
        self._runner.update_state(STATE_RUNNING)
        self._runner.send_message(BEGIN, {})

    def _on_begun(self, environment: Any, msg: Any) -> None:  # noqa: ARG002 - Locust's shape of a listener
        self._begun.add(msg.data["worker"])
        if len(self._begun) == self._workers:
            self._send(control({"ready": True}))

    def _on_rows(self, environment: Any, msg: Any) -> None:  # noqa: ARG002
        self._send("\n".join(msg.data["lines"]))

    def _on_ended(self, environment: Any, msg: Any) -> None:  # noqa: ARG002
        self._send("\n".join([*msg.data["lines"], control({"ended": msg.data["ended"]})]))

    def _beat(self) -> None:
        while True:
            self._send(control({"beat": True}))
            gevent.sleep(0.5)

    def _send(self, lines: str) -> None:
        with self._sending:  # a send may yield in the middle of a line
            self._channel.send_line(lines)
