"""The one reader of all channels: passes events on, finds out who died or fell silent, knows when all is over."""

from __future__ import annotations

import contextlib
import os
import queue
import selectors
import signal
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from harness.clock import Outbox
from harness.errors import BadInput, EnvironmentBroke, HarnessError
from harness.journal import Event, Generator, TrafficEnded, Trouble, WorkerLost, decode
from harness.traffic.channel import control_of
from harness.traffic.children import CLEAN_EXIT, Child
from harness.traffic.silence import MASTER, Silence

_POLL_S = 0.2
_LAST_WORDS_S = 2.0


class Listener:
    """`over` is set after `stopping` once every worker has ended or is lost, or on `give_up`; `finished` is the end."""

    def __init__(
        self,
        children: tuple[Child, ...],
        inbox: Outbox[Event],
        outcome: queue.SimpleQueue[HarnessError | None],
        now: Callable[[], int],
        notes: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        self._notes = notes
        self._workers = {child.worker: child for child in children if child.worker >= 0}
        self._children = children
        self._inbox = inbox
        self._outcome = outcome
        self._now = now
        self.ready = False
        self._failed = False
        self._silence = Silence(self._workers, time.monotonic())
        self._in_flight: dict[int, int] = {}
        self._listening = False
        self._joined: set[int] = set()
        self._ended: dict[int, int] = {}
        self._lost: set[int] = set()
        self._departed: dict[int, float] = {}
        self._master_lost = False
        self.stopping = threading.Event()
        self.give_up = threading.Event()
        self.over = threading.Event()
        self.finished = threading.Event()

    def run(self) -> None:
        """Listen until told that all is finished. A defect here must not look like a quiet run."""
        try:
            self._listen()
        except Exception as error:  # noqa: BLE001 - whatever it is, the run must hear of it and end
            message = f"listening to the traffic processes broke: {type(error).__name__}: {error}"
            self._fail(EnvironmentBroke(message))
            self._inbox.put(Trouble(at_ns=self._now(), source="traffic", message=message))
            for worker in self._workers:
                self._lose(worker, "its rows cannot be read")
            while not (self.stopping.wait(_POLL_S) or self.finished.is_set()):
                pass
            self._finish_when_done()

    def _listen(self) -> None:
        with selectors.DefaultSelector() as selector:
            for child in self._children:
                selector.register(child.channel.sock, selectors.EVENT_READ, child)
            while not self.finished.is_set():
                for key, _ in selector.select(_POLL_S):
                    child = key.data
                    alive = child.channel.feed()
                    for line in child.channel.drain():
                        self._take(line, child.worker)
                    if not alive:
                        selector.unregister(child.channel.sock)
                        self._gone(child)
                self._judge_silence()
                self._judge_departed()
                self._tell_notes()
                self._finish_when_done()

    @property
    def progress(self) -> str:
        """How far a start has come that is not over."""
        if not self._listening:
            return "the master has not imported the scenario yet"
        missing = sorted(self._workers.keys() - self._joined)
        if missing:
            return f"workers {missing} of {len(self._workers)} have not imported the scenario, or found the master, yet"
        return "all have imported the scenario; its test_start listeners are not done"

    def unanswered(self) -> int:
        """Requests lost by workers that ended, and those last seen in flight of workers that did not."""
        open_ = sum(count for worker, count in self._in_flight.items() if worker not in self._ended)
        return sum(self._ended.values()) + open_

    def _take(self, line: str, sender: int) -> None:
        if self.over.is_set():  # nothing comes after the end
            return
        record = control_of(line)
        if record is None:
            event = decode(line)
            if isinstance(event, Generator):
                self._silence.row(event.worker, time.monotonic())
                self._in_flight[event.worker] = event.in_flight
            self._inbox.put(event)
        else:
            self._learn(record, sender)

    def _learn(self, record: Mapping[str, Any], sender: int) -> None:
        """What a child says of itself."""
        if "beat" in record:
            self._silence.beat(sender, time.monotonic())
        elif "port" in record:
            self._listening = True
            for child in self._workers.values():
                with contextlib.suppress(OSError):
                    child.channel.send({"port": record["port"]})
        elif "joined" in record:
            self._joined.add(record["joined"])
        elif "ready" in record:
            self.ready = True
            self._silence = Silence(self._workers, time.monotonic())
            self._outcome.put(None)
        elif "failed" in record:
            self._fail(bad_scenario(record["failed"]))
        elif "ended" in record:
            self._ended[record["ended"]["worker"]] = record["ended"]["unanswered"]

    def _gone(self, child: Child) -> None:
        """A channel has closed: the process is dead, or as good as."""
        if self.over.is_set() or child.worker in self._ended:
            return
        how = child.how_ended()
        if not self.ready:
            tail = child.log_tail()
            message = f"the traffic {child.name} {how} while starting"
            self._fail(EnvironmentBroke(message, hint=f"{child.log}: {tail}"))
        elif child.worker >= 0 and self.stopping.is_set() and how == CLEAN_EXIT:
            self._departed[child.worker] = time.monotonic() + _LAST_WORDS_S  # its last words may be with the master
        elif child.worker >= 0:
            self._lose(child.worker, f"the worker process {how}")
        else:
            self._lose_master(f"the traffic master {how}")

    def _fail(self, error: HarnessError) -> None:
        if not self._failed:  # every child may say the same of one scenario
            self._failed = True
            self._outcome.put(error)

    def _lose(self, worker: int, why: str) -> None:
        """Its share of the load is gone for good: killed, so that it cannot come back and load the target unseen."""
        if worker in self._lost or worker in self._ended:
            return
        self._lost.add(worker)
        self._workers[worker].send_signal(signal.SIGKILL)
        self._inbox.put(WorkerLost(at_ns=self._now(), worker=worker, why=why))

    def _lose_master(self, why: str) -> None:
        """Without it no row comes through any more: the workers load the target unseen until they are ended."""
        if not self._master_lost:
            self._master_lost = True
            self._inbox.put(Trouble(at_ns=self._now(), source="traffic", message=why))
            for worker in self._workers:
                self._lose(worker, why)

    def _judge_departed(self) -> None:
        for worker in [worker for worker, until_s in self._departed.items() if time.monotonic() > until_s]:
            del self._departed[worker]
            self._lose(worker, f"the worker process {CLEAN_EXIT} without its last rows")

    def _tell_notes(self) -> None:
        if not self.over.is_set():
            for message in self._notes():
                self._inbox.put(Trouble(at_ns=self._now(), source="traffic", message=message))

    def _judge_silence(self) -> None:
        silent = self._silence.judge(time.monotonic())
        if self.ready and not self.over.is_set():
            for member, why in silent:
                if member == MASTER:
                    self._lose_master(f"the traffic master: {why}")
                else:
                    self._lose(member, why)

    def _finish_when_done(self) -> None:
        if not self.stopping.is_set() or self.over.is_set():
            return
        late = self._workers.keys() - self._lost - self._ended.keys()
        if late and self.ready and self.give_up.is_set():
            message = f"traffic workers {sorted(late)} did not end in time; their open requests count as unanswered"
            self._inbox.put(Trouble(at_ns=self._now(), source="traffic", message=message))
        if not late or self.give_up.is_set():
            self._inbox.put(TrafficEnded(at_ns=self._now(), unanswered=self.unanswered()))
            self.over.set()


def bad_scenario(failed: Mapping[str, str]) -> BadInput:
    """The error of a scenario that a child could not use."""
    path, colon, line = failed["where"].rpartition(":")
    if not line.isdigit():
        path, colon, line = failed["where"], "", ""
    return BadInput(f"{shown(path)}{colon}{line}: {failed['message']}", hint=failed["hint"])


def require_scenario(path: Path) -> None:
    """Raises BadInput when there is no such file."""
    if not path.is_file():
        raise BadInput(
            f"{shown(str(path))}: no such scenario file", hint="traffic.scenario is relative to the experiment's file"
        )


def shown(path: str) -> str:
    """A path as short as it can be read from where the user stands."""
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else relative
