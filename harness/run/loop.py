"""The loop's mechanics: one inbox, one clock, calls that may hang kept at arm's length.

`Loop.turn` is the only place that blocks (in `clock.wait`). A call that may hang is made elsewhere and awaited here
under a deadline; its answer, or a time-out error in its place, is handed to a continuation in this thread. So there
is one thread that decides and one writer of the journal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol

from harness.clock import Clock, Inbox
from harness.errors import EnvironmentBroke
from harness.journal import (
    Aborted,
    Event,
    Exemplar,
    FaultFailed,
    FaultFelt,
    Reading,
    Traffic,
    TrafficEnded,
    Trouble,
    WorkerLost,
)
from harness.probes import Probe
from harness.run.guard import Guard
from harness.run.steady import SteadyState
from harness.secrets import mask_text
from harness.units import NS_PER_S

PROBE_LIMIT_NS = 5 * NS_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A call has answered: its result, or the error that it raised."""

    call: int
    result: object = None
    error: Exception | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Somebody wants the run to end: a signal. The second one means: without waiting for requests in flight."""

    why: str


# The fields of events that hold other people's words: a scenario's, a service's, the system's.
_WORDS = {
    Trouble: ("message",),
    Exemplar: ("endpoint", "message"),
    Traffic: ("endpoint",),
    FaultFailed: ("message",),
    FaultFelt: ("proof",),
    WorkerLost: ("why",),
    Aborted: ("why",),
}
_mask = lru_cache(maxsize=1024)(mask_text)


def masked(event: Event) -> Event:
    """The event without the secrets in other people's words: what is on disk needs no care."""
    changed = {}
    for name in _WORDS.get(type(event), ()):
        text = getattr(event, name)
        if (clean := _mask(text)) != text:
            changed[name] = clean
    return replace(event, **changed) if changed else event  # type: ignore[arg-type]


Message = Event | Done | Stop
Call = Callable[[], object]
Then = Callable[[Done], None]


class Calls(Protocol):
    """Makes calls that may hang, elsewhere, and puts a Done into the inbox."""

    def submit(self, number: int, call: Call) -> None:
        """Make the call without blocking the caller."""


class Journal(Protocol):
    """Where the loop writes."""

    def append(self, event: Event, *, sync: bool = False) -> None:
        """Write one event; `sync` forces it to the disk. Raises OSError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A probe with its schedule."""

    kind: str
    of: str
    every_ns: int
    probe: Probe


class Loop:
    """What is awaited, what is watched, and whether somebody wants the run to end."""

    def __init__(
        self,
        clock: Clock,
        inbox: Inbox[Message],
        calls: Calls,
        journal: Journal,
        guard: Guard,
        steady: SteadyState | None = None,
    ) -> None:
        self.clock = clock
        self.inbox = inbox
        self.stopped: tuple[str, str] | None = None
        self.hurry = False
        self.closing = False
        self.on_hurry: Call | None = None
        self.traffic_ended = False
        self.lost_workers: set[int] = set()
        self.journal_error: OSError | None = None
        self._calls = calls
        self._journal = journal
        self._guard = guard
        self._steady = steady or SteadyState()
        self._awaited: dict[int, tuple[int, str, Then]] = {}
        self._later: list[tuple[int, Callable[[], None]]] = []
        self._number = 0
        self._watched: tuple[Watched, ...] = ()
        self._probe_due: dict[int, int] = {}

    def write(self, event: Event, *, sync: bool = False) -> None:
        """Append to the journal. A full disk stops the run; healing goes on without a journal."""
        if self.journal_error is not None:
            return
        try:
            self._journal.append(masked(event), sync=sync)
        except OSError as error:
            self.journal_error = error
            self.stopped = self.stopped or ("error", f"the journal cannot be written: {error.strerror}")

    def trouble(self, source: str, message: str) -> None:
        """Note what went wrong and go on."""
        self.write(Trouble(at_ns=self.clock.now(), source=source, message=message))

    def abort(self, by: str, why: str) -> None:
        """End the plan early; the first reason is the one that is kept."""
        if self.stopped is None:
            self.stopped = (by, why)
            self.write(Aborted(at_ns=self.clock.now(), by=by, why=why), sync=True)

    def ask(self, what: str, call: Call, limit_ns: int, then: Then) -> None:
        """Make a call elsewhere; `then` gets its Done, or one with a time-out error, in this loop's thread."""
        self._number += 1
        self._awaited[self._number] = (self.clock.now() + limit_ns, what, then)
        self._calls.submit(self._number, call)

    def later(self, at_ns: int, act: Callable[[], None]) -> None:
        """Do something in this thread once `at_ns` has come."""
        self._later.append((at_ns, act))

    def perform(self, what: str, call: Call, limit_ns: int, *, stoppable: bool = False) -> object:
        """Make a call and keep turning until it has answered. Raises what it raised, or that somebody wants to stop."""
        if stoppable and self.stopped:
            raise EnvironmentBroke(f"stopped before {what}: {self.stopped[1]}")
        answers: list[Done] = []
        self.ask(what, call, limit_ns, answers.append)
        while not answers:
            self.turn(self.clock.now() + NS_PER_S)
            if stoppable and self.stopped:
                raise EnvironmentBroke(f"stopped while {what}: {self.stopped[1]}")
        if answers[0].error is not None:
            raise answers[0].error
        return answers[0].result

    def turn(self, until_ns: int) -> None:
        """One turn: wait for a message, a timer or `until_ns`; handle it; make what is due happen."""
        timers = [deadline for deadline, _, _ in self._awaited.values()] + [at_ns for at_ns, _ in self._later]
        message = self.clock.wait(self.inbox, min([until_ns, *timers, *self._probe_due.values()]))
        if message is not None:
            self._receive(message)
        self._expire()
        self._act_later()
        self._read_probes()

    def check_guard(self) -> None:
        """Abort when an abort limit has been broken for long enough."""
        breach = self._guard.breached(self.clock.now())
        if breach:
            self.abort("guard", breach)

    def check_steady(self) -> None:
        """Abort when the steady state is not there: asked once, just before the first fault."""
        why = self._steady.broken(self.clock.now())
        if why:
            self.abort("steady_state", why)

    def watch(self, watched: tuple[Watched, ...]) -> None:
        """Read these probes from now on; none: stop reading."""
        self._watched = watched
        self._probe_due = dict.fromkeys(range(len(watched)), self.clock.now())

    def _receive(self, message: Message) -> None:
        if isinstance(message, Done):
            awaited = self._awaited.pop(message.call, None)
            if awaited is not None:
                awaited[2](message)
        elif isinstance(message, Stop):
            self.hurry = self.hurry or self.stopped is not None
            self.abort("signal", message.why)
            if self.hurry and self.on_hurry is not None:
                self.ask("hurrying", self.on_hurry, PROBE_LIMIT_NS, lambda _: None)
        else:
            self.traffic_ended |= isinstance(message, TrafficEnded)
            if isinstance(message, WorkerLost):
                self.lost_workers.add(message.worker)
            self._note(message)

    def _note(self, event: Event) -> None:
        self.write(event)
        self._guard.feed(event)
        self._steady.feed(event)

    def _expire(self) -> None:
        now = self.clock.now()
        for number in [number for number, (deadline, _, _) in self._awaited.items() if deadline <= now]:
            _, what, then = self._awaited.pop(number)
            then(Done(call=number, error=EnvironmentBroke(f"{what}: no answer within the time limit")))

    def _act_later(self) -> None:
        now = self.clock.now()
        due = [act for at_ns, act in self._later if at_ns <= now]
        self._later = [(at_ns, act) for at_ns, act in self._later if at_ns > now]
        for act in due:
            act()

    def _read_probes(self) -> None:
        now = self.clock.now()
        for index in [index for index, due in self._probe_due.items() if due <= now]:
            del self._probe_due[index]
            watched = self._watched[index]
            what = f"probe {watched.kind} {watched.of}".rstrip()
            self.ask(what, watched.probe.read, PROBE_LIMIT_NS, self._noting(index, watched, what, now))

    def _noting(self, index: int, watched: Watched, what: str, asked_ns: int) -> Then:
        def note(done: Done) -> None:
            now = self.clock.now()
            if done.error is not None:
                self.trouble(what, str(done.error))
            elif isinstance(done.result, Mapping):
                values = {str(name): float(value) for name, value in done.result.items()}
                self._note(Reading(at_ns=now, probe=watched.kind, of=watched.of, values=values))
            if index < len(self._watched) and self._watched[index] is watched:
                self._probe_due[index] = max(asked_ns + watched.every_ns, now)

        return note
