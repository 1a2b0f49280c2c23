"""Recording fakes of a run's world, on a clock that jumps: a ninety-second experiment runs in a millisecond.

Every fake writes what it was asked to do into one shared list, `(second, words)`, so a test compares a whole run with
a literal table. `FakeClock` jumps to the next scripted message or to the deadline, whichever comes first.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import TypeVar

from harness.clock import Inbox, Outbox
from harness.errors import EnvironmentBroke
from harness.experiment import Fault
from harness.faults import Before, Felt
from harness.journal import Event, TrafficEnded
from harness.ledger import Record as LedgerRecord
from harness.ledger import encode
from harness.run.loop import Call, Done, Message
from harness.stacks import Announce
from harness.traffic import Load
from harness.units import NS_PER_S

T = TypeVar("T")
Record = list[tuple[float, str]]


class FakeClock:
    """A clock that jumps. `at(ns, message)` scripts a message for the inbox that is waited on."""

    def __init__(self) -> None:
        self._now = 0
        self._order = count()
        self._script: list[tuple[int, int, Message]] = []

    def now(self) -> int:
        """Nanoseconds since the run began."""
        return self._now

    def at(self, at_ns: int, message: Message) -> None:
        """Deliver `message` once that instant has come."""
        heapq.heappush(self._script, (at_ns, next(self._order), message))

    def wait(self, inbox: Inbox[T], until: int) -> T | None:
        """What is in the inbox, else the next scripted message due by `until`, else None at `until`."""
        if not inbox.queue.empty():
            return inbox.queue.get_nowait()
        if self._script and self._script[0][0] <= max(until, self._now):
            at_ns, _, message = heapq.heappop(self._script)
            self._now = max(self._now, at_ns)
            return message  # type: ignore[return-value] # a script for this inbox
        self._now = max(self._now, until)
        return None


class FakeCalls:
    """Makes each call at once; its answer comes `takes_ns` later, or never for what the world's `hanging` names."""

    def __init__(self, clock: FakeClock, takes_ns: int = 1_000_000) -> None:
        self._clock = clock
        self.takes_ns = takes_ns

    def submit(self, number: int, call: Call) -> None:
        """Make the call; script its Done."""
        try:
            done = Done(call=number, result=call())
        except HangError:
            return
        except Exception as error:  # noqa: BLE001 - carried to the loop, as the real one does
            done = Done(call=number, error=error)
        self._clock.at(self._clock.now() + self.takes_ns, done)


class HangError(Exception):
    """Stands for a call that never answers."""


@dataclass
class World:
    """What all fakes of one test share: the clock, what was asked, and which words fail, or hang, when asked."""

    clock: FakeClock = field(default_factory=FakeClock)
    asked: Record = field(default_factory=list)
    failing: set[str] = field(default_factory=set)
    hanging: set[str] = field(default_factory=set)
    in_force: set[str] = field(default_factory=set)

    def ask(self, words: str) -> None:
        """Record a request. Raises EnvironmentBroke for words that the test wants to fail."""
        self.asked.append((self.clock.now() / NS_PER_S, words))
        if words in self.hanging:
            raise HangError(words)
        if words in self.failing:
            raise EnvironmentBroke(f"{words} failed, as the test wants")


class FakeStack:
    """A stack of one address."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.is_up = False

    def up(self, announce: Announce) -> None:
        """Announce, then be up."""
        self._world.ask("up")
        announce({"web": "127.0.0.1:1"})
        self.is_up = True

    def down(self) -> None:
        """Be down."""
        self._world.ask("down")
        self.is_up = False

    def address(self, service: str) -> str:
        """The one address."""
        return {"web": "127.0.0.1:1"}[service]

    def handle(self, service: str) -> int | str | None:
        """Nothing to act on."""
        return None if service else ""


class FakeLinks:
    """Links that are only counted. They are lost once `why_lost` says why."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.why_lost = ""

    def open(self, addresses: Mapping[str, str]) -> None:
        """Record for whom."""
        self._world.ask(f"open {' '.join(addresses)}")

    def lost(self) -> str:
        """What the test says."""
        return self.why_lost

    def close(self) -> None:
        """Record it."""
        self._world.ask("close")


class FakeTraffic:
    """Traffic that records its loads and ends when told; `on_load` may script rows."""

    def __init__(self, world: World, on_load: Callable[[Load], None] | None = None) -> None:
        self._world = world
        self._on_load = on_load
        self._inbox: Outbox[Event] | None = None

    def start(self, inbox: Outbox[Event], address: str) -> None:
        """Be ready for one address."""
        self._world.ask(f"start {address}")
        self._inbox = inbox

    def set_load(self, load: Load) -> None:
        """Record the line."""
        self._world.ask(f"load {load.level_from:g}->{load.level_to:g}")
        if self._on_load is not None:
            self._on_load(load)

    def stop(self, drain_ns: int) -> None:
        """Report the end."""
        self._world.ask(f"stop {drain_ns // NS_PER_S}")
        if self._inbox is not None:
            self._inbox.put(TrafficEnded(at_ns=self._world.clock.now(), unanswered=0))


class FakeFaults:
    """A fault driver whose target is a set of names; heals only what is in force, and proves what is."""

    def __init__(self, world: World) -> None:
        self._world = world

    def check(self, fault: Fault) -> None:
        """Record it."""
        self._world.ask(f"check {fault.name}")

    def before(self, fault: Fault) -> Before:
        """The name, as something to restore."""
        self._world.ask(f"before {fault.name}")
        return {"was": fault.name}

    def inject(self, fault: Fault, before: Before) -> None:
        """Put it in force, then fail if the test wants that: the worst kind of failure."""
        self._world.in_force.add(fault.name)
        self._world.ask(f"inject {before['was']}")

    def felt(self, fault: Fault, before: Before) -> Felt:
        """Whether it is in force."""
        self._world.ask(f"felt {before['was']}")
        return Felt(felt=fault.name in self._world.in_force, proof="seen in the set")

    def heal(self, fault: Fault, before: Before) -> None:
        """Take it back, unless the test wants that to fail."""
        self._world.ask(f"heal {before['was']}")
        self._world.in_force.discard(fault.name)

    def residue(self, known: Sequence[tuple[Fault, Before]]) -> tuple[str, ...]:  # noqa: ARG002 - the contract's shape
        """What is still in force."""
        return tuple(sorted(self._world.in_force))

    def by_hand(self, fault: Fault, before: Before) -> str:
        """A command that nobody has."""
        return f"unfreeze {fault.on} {before.get('was', '')}"


class FakeLease:
    """A reaper that is only asked; from `gone_at_ns` on it is gone."""

    def __init__(self, world: World, gone_at_ns: int | None = None) -> None:
        self._world = world
        self.gone_at_ns = gone_at_ns
        self.held = False

    def start(self) -> None:
        """Be there, unless the test wants it to fail."""
        if "reap" in self._world.failing:
            raise EnvironmentBroke("reap failed, as the test wants")
        self.held = True

    def renew(self) -> None:
        """Answer, unless the test says that it is gone."""
        if self.gone_at_ns is not None and self._world.clock.now() >= self.gone_at_ns:
            raise EnvironmentBroke("the reaper is gone, as the test wants")

    def release(self) -> None:
        """Be gone."""
        self.held = False


class FakeLedger:
    """A ledger in memory; from the record numbered `full_at` on, the disk is full."""

    def __init__(self, full_at: int | None = None) -> None:
        self.records: list[LedgerRecord] = []
        self.closed = False
        self._full_at = full_at

    def exists(self) -> bool:
        """Always."""
        return True

    def append(self, record: LedgerRecord) -> None:
        """Keep the record, or raise as a full disk does."""
        if self._full_at is not None and len(self.records) >= self._full_at:
            raise OSError(28, "No space left on device")
        encode(record)  # what cannot be written down fails here as on a disk
        self.records.append(record)

    def close(self) -> None:
        """Be closed."""
        self.closed = True


class FakeJournal:
    """A journal in memory; from the event numbered `full_at` on, the disk is full."""

    def __init__(self, full_at: int | None = None) -> None:
        self.events: list[Event] = []
        self.synced: list[Event] = []
        self._full_at = full_at

    def append(self, event: Event, *, sync: bool = False) -> None:
        """Keep the event, or raise as a full disk does."""
        if self._full_at is not None and len(self.events) >= self._full_at:
            raise OSError(28, "No space left on device")
        self.events.append(event)
        if sync:
            self.synced.append(event)
