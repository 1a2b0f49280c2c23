"""Traffic by Locust: one master and N workers in processes of their own, driven along the line and watched from here.

    harness ── channel ── master ══ Locust's messages ══ worker 0 .. N-1 ── HTTP ── target
       └───────── channel (settings, end of life) ──────────┘

Nothing of Locust or gevent is imported in this process. One thread listens: it is the only one that reads channels,
judges silence and puts events into the inbox, so rows always come before the end.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from harness.clock import Outbox
from harness.errors import EnvironmentBroke, HarnessError
from harness.experiment import TrafficSpec
from harness.journal import Event, Json
from harness.traffic import Load
from harness.traffic.children import Child, end, launch
from harness.traffic.listener import Listener, require_scenario
from harness.traffic.settings import ChildSettings, Role

START_LIMIT_S = 30.0
# Beyond the drain: last rows, listeners of the scenario, a worker that has to be found silent first.
_STOP_GRACE_S = 6.0
_MASTER_GRACE_S = 2.0


class LocustTraffic:
    """The TrafficDriver that runs a locustfile. `origin_ns` is the run clock's zero on CLOCK_MONOTONIC."""

    def __init__(self, spec: TrafficSpec, *, origin_ns: int, seed: int, base_dir: Path, log_dir: Path) -> None:
        self._spec = spec
        self._origin_ns = origin_ns
        self._seed = seed
        self._scenario = (base_dir / spec.scenario).resolve()
        self._log_dir = log_dir
        self._children: list[Child] = []
        self._listener: Listener | None = None
        self._thread: threading.Thread | None = None

    def start(self, inbox: Outbox[Event], address: str) -> None:
        """Start the processes, import the scenario. Raises BadInput (scenario) or EnvironmentBroke; leaves nothing."""
        require_scenario(self._scenario)
        outcome: queue.SimpleQueue[HarnessError | None] = queue.SimpleQueue()
        try:
            self._launch_all(address)
            self._listener = Listener(tuple(self._children), inbox, outcome, self._now)
            self._thread = threading.Thread(target=self._listener.run, name="traffic-listener", daemon=True)
            self._thread.start()
            try:
                error = outcome.get(timeout=START_LIMIT_S)
            except queue.Empty:
                error = EnvironmentBroke(
                    f"the traffic processes were not ready within {START_LIMIT_S:.0f} s",
                    hint=f"see {self._log_dir}/traffic-*.log; the last lines: {self._children[0].log_tail()}",
                )
            if error is not None:
                raise error
        except BaseException as error:
            self._shut_down()
            if isinstance(error, OSError):
                raise EnvironmentBroke(f"the traffic processes could not be started: {error}") from error
            raise

    def set_load(self, load: Load) -> None:
        """Tell all workers the new line. A master that is gone is the listener's news, not an error here."""
        self._tell_master({"load": asdict(load)})

    def stop(self, drain_ns: int) -> None:
        """No new iterations, wait up to `drain_ns` for answers, call the rest lost, end the processes.

        A second call, from another thread, ends the waiting of the first.
        """
        listener = self._listener
        if listener is None or listener.stopping.is_set():
            self._tell_master({"stop": {"drain_ns": 0}})
            return
        listener.stopping.set()
        if not listener.ready:  # nobody has sent anything yet, and a child that is importing hears nothing
            listener.give_up.set()
            listener.over.wait(_MASTER_GRACE_S)
            self._shut_down()
            return
        self._tell_master({"stop": {"drain_ns": drain_ns}})
        if not listener.over.wait(drain_ns / 1e9 + _STOP_GRACE_S):
            listener.give_up.set()
            listener.over.wait(_MASTER_GRACE_S)
        self._tell_master({"quit": True})
        for master in self._children[:1]:
            master.exited(time.monotonic() + _MASTER_GRACE_S)
        self._shut_down()

    def _launch_all(self, address: str) -> None:
        self._children.append(launch(self._settings("master", address), "master", self._log_dir))
        for worker in range(self._spec.processes):
            settings = self._settings("worker", address, worker)
            self._children.append(launch(settings, f"worker-{worker}", self._log_dir))

    def _settings(self, role: Role, address: str, worker: int = 0) -> ChildSettings:
        return ChildSettings(
            role=role,
            scenario=str(self._scenario),
            address=address.rstrip("/"),
            worker=worker,
            workers=self._spec.processes,
            origin_ns=self._origin_ns,
            seed=self._seed,
            timeout_ns=self._spec.timeout_ns,
            tags=self._spec.tags,
            exclude_tags=self._spec.exclude_tags,
        )

    def _shut_down(self) -> None:
        if self._listener is not None:
            self._listener.finished.set()
        if self._thread is not None:
            self._thread.join(timeout=2.0)
        end(self._children)
        self._children.clear()
        self._listener = self._thread = None

    def _tell_master(self, record: Mapping[str, Json]) -> None:
        if self._children:
            with contextlib.suppress(OSError):
                self._children[0].channel.send(record)

    def _now(self) -> int:
        return time.monotonic_ns() - self._origin_ns
