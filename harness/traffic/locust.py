"""Traffic by Locust: one master and N workers in processes of their own, driven along the line and watched from here.

    harness ── channel ── master ══ Locust's messages ══ worker 0 .. N-1 ── HTTP ── target
       └───────── channel (settings, end of life) ──────────┘

Where workers of other hosts are expected (`gate`), theirs take the place of local ones: all but the master is there.

Nothing of Locust or gevent is imported in this process. One thread listens: it is the only one that reads channels,
judges silence and puts events into the inbox, so rows always come before the end.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

from harness.clock import Outbox
from harness.declared import to_json
from harness.errors import EnvironmentBroke, HarnessError
from harness.experiment import TrafficSpec
from harness.journal import Event, Json, Trouble
from harness.traffic import Load
from harness.traffic.children import Child, end, launch
from harness.traffic.hosts.gate import Gate
from harness.traffic.hosts.link import LinkLost
from harness.traffic.hosts.remote import Host, joined, require_reachable
from harness.traffic.hosts.shipment import pack
from harness.traffic.listener import Listener, require_scenario
from harness.traffic.locust_check import check_scenario
from harness.traffic.settings import ChildSettings, Role

START_LIMIT_S = 30.0
# Beyond the drain: last rows, listeners of the scenario, a worker that has to be found silent first.
_STOP_GRACE_S = 6.0
_MASTER_GRACE_S = 2.0


class LocustTraffic:
    """The TrafficDriver that runs a locustfile. `origin_ns` is the run clock's zero on CLOCK_MONOTONIC.

    With a `gate` the load comes from the workers that join there.
    """

    def __init__(
        self,
        spec: TrafficSpec,
        *,
        origin_ns: int,
        seed: int,
        base_dir: Path,
        log_dir: Path,
        gate: Gate | None = None,
    ) -> None:
        self._spec = spec
        self._gate = gate
        self._hosts: tuple[Host, ...] = ()
        self._workers = spec.processes if gate is None else gate.expect
        self._base_dir = base_dir
        self._origin_ns = origin_ns
        self._seed = seed
        self._scenario = (base_dir / spec.scenario).resolve()
        self._log_dir = log_dir
        self._children: list[Child] = []
        self._listener: Listener | None = None
        self._thread: threading.Thread | None = None

    def start(self, inbox: Outbox[Event], address: str) -> None:
        """Start the processes, import the scenario. Raises BadInput (scenario) or EnvironmentBroke; leaves nothing."""
        if self._spec.declared is None:
            require_scenario(self._scenario)
        outcome: queue.SimpleQueue[HarnessError | None] = queue.SimpleQueue()
        try:
            self._launch_all(address, inbox)
            self._listener = Listener(tuple(self._children), inbox, outcome, self._now, self._notes)
            self._thread = threading.Thread(target=self._listener.run, name="traffic-listener", daemon=True)
            self._thread.start()
            try:
                error = outcome.get(timeout=START_LIMIT_S)
            except queue.Empty:
                error = EnvironmentBroke(
                    f"the traffic processes were not ready within {START_LIMIT_S:.0f} s: {self._listener.progress}",
                    hint=f"see {self._log_dir}/traffic-*.log; the last lines: {self._children[0].log_tail()}",
                )
            if error is not None:
                raise error
        except BaseException as error:
            self._shut_down()
            if isinstance(error, LinkLost):
                raise EnvironmentBroke(f"a worker was lost while it was given its run: {error}") from error
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
        if self._gate is not None:
            self._gate.close()
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

    def _launch_all(self, address: str, inbox: Outbox[Event]) -> None:
        if self._gate is not None:
            self._gather(self._gate, address, inbox)
        self._children.append(launch(self._settings("master", address), "master", self._log_dir))
        if self._hosts:
            declared = self._spec.declared
            named = [self._base_dir / file for file in declared.files()] if declared else []
            shipment = pack(None if declared else self._scenario, self._base_dir, named)
            for worker, host in enumerate(self._hosts):
                log = self._log_dir / f"traffic-worker-{worker}.log"
                self._children.append(host.begin(self._settings("worker", address, worker), shipment, log))
            return
        for worker in range(self._workers):
            settings = self._settings("worker", address, worker)
            self._children.append(launch(settings, f"worker-{worker}", self._log_dir))

    def _gather(self, gate: Gate, address: str, inbox: Outbox[Event]) -> None:
        """Wait for the workers. What can be wrong without them is looked at first: they are somebody's patience."""
        check_scenario(self._spec, self._base_dir)
        gate.open()
        try:
            self._hosts = gate.gather()
            require_reachable(address, self._hosts)
        except BaseException:
            gate.dismiss()
            raise
        for worker, host in enumerate(self._hosts):
            inbox.put(joined(host, worker, self._now()))
        if gate.refused:
            inbox.put(Trouble(at_ns=self._now(), source="traffic", message=f"refused: {gate.told_refused()}"))

    def _notes(self) -> Iterator[str]:
        for worker, host in enumerate(self._hosts):
            for note in host.noted():
                yield f"worker {worker} ({host.about.name}): {note}"

    def _settings(self, role: Role, address: str, worker: int = 0) -> ChildSettings:
        return ChildSettings(
            role=role,
            scenario=str(self._scenario) if self._spec.declared is None else "",
            declared=None if self._spec.declared is None else to_json(self._spec.declared),
            base_dir=str(self._base_dir.resolve()),
            address=address.rstrip("/"),
            worker=worker,
            workers=self._workers,
            origin_ns=self._origin_ns,
            seed=self._seed,
            timeout_ns=self._spec.timeout_ns,
            arrivals=self._spec.arrivals,
            max_users=self._spec.max_users,
            tags=self._spec.tags,
            exclude_tags=self._spec.exclude_tags,
            source_addresses=self._spec.source_addresses,
        )

    def _shut_down(self) -> None:
        if self._listener is not None:
            self._listener.finished.set()
        if self._thread is not None:
            self._thread.join(timeout=2.0)
        end(self._children)
        self._children.clear()
        for host in self._hosts:
            host.release("is no longer needed")
        self._hosts = ()
        self._listener = self._thread = None

    def _tell_master(self, record: Mapping[str, Json]) -> None:
        if self._children:
            with contextlib.suppress(OSError):
                self._children[0].channel.send(record)

    def _now(self) -> int:
        return time.monotonic_ns() - self._origin_ns
