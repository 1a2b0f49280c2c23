"""The open model in a worker: arrivals, each started when it is due by a user of a pool, whatever earlier ones do.

alarm ──► backlog (due by now) ──► idle user, the last that came home ── switched into from the event loop
                              └──► none idle: taken by the first to be there, of the users at work and the one that is
                                   made for it; no more than max_users: turned away, and counted as not started

Users are made in a greenlet of their own, since a scenario may block while it makes one, and somewhat ahead of demand:
an arrival shall not wait for an on_start.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Any

import gevent
from gevent import getcurrent
from gevent.event import Event as Signal

from harness.traffic import Load
from harness.traffic.arrivals import Arrivals
from harness.traffic.child.alarm import Alarm
from harness.traffic.child.hooks import SHORTEST_S
from harness.traffic.child.users import Users
from harness.traffic.mix import ClassWeight, Turns
from harness.traffic.pacing import NS_PER_S, Ledger, Pace
from harness.traffic.settings import ChildSettings

# One waking costs some 30 us whatever it does: at thousands of arrivals a second each serves a few.
_APART_NS = 250_000
# Starting arrivals yields to the event loop after this long or, where that is busy, after as long as its last turn was:
# half of a busy process begins iterations and half ends them.
_BURST_NS = 1_000_000
_LONGEST_BURST_NS = 50_000_000
_MAKE_BURST_NS = 500_000


class Member(Pace):
    """A user of the pool. `greenlet` is known from its first rest on; until then it is being made, since `made_ns`."""

    __slots__ = ("greenlet", "made_ns", "user")

    def __init__(self, made_ns: int) -> None:
        super().__init__(0.0)
        self.made_ns = made_ns
        self.greenlet: Any = None
        self.user: Any = None


class _Kind:
    """The users of one class: those at rest (the last is the first to work), and arrivals that wait for one."""

    __slots__ = ("asked", "failing", "idle", "making", "name", "spare", "start_ns", "waiting")

    def __init__(self, name: str) -> None:
        self.name = name
        self.idle: dict[Member, None] = {}
        self.waiting: deque[int] = deque()
        self.asked = 0  # to be made
        self.making = 0  # made, and not yet at rest for the first time
        self.spare = 0  # to be at rest, or on the way there, ahead of demand
        self.start_ns = 0  # how long on_start takes
        self.failing = False  # the last one ended in its on_start: no spares until one does not


class Pool:
    """`max_users` of the settings are of all workers; this one has its share of them."""

    def __init__(self, settings: ChildSettings, users: Users, ledger: Ledger, now: Callable[[], int]) -> None:
        self._users = users
        self._ledger = ledger
        self._now = now
        self._origin_ns = settings.origin_ns
        self._workers = settings.workers
        share, rest = divmod(settings.max_users, settings.workers)
        self._most = max(1, share + (settings.worker < rest))
        self._arrivals = Arrivals(
            settings.arrivals, seed=settings.seed, worker=settings.worker, workers=settings.workers
        )
        self._backlog: deque[int] = deque()
        self._weights = _by_arrivals(users)
        self._turns = Turns({entry.name: entry.weight for entry in self._weights})
        self._kinds = {entry.name: _Kind(entry.name) for entry in self._weights}
        self._only = next(iter(self._kinds.values())) if len(self._kinds) == 1 else None
        self._members: set[Member] = set()
        self._load: Load | None = None
        self._completed: Load | None = None
        self._changed = Signal()
        self._hub = gevent.get_hub()
        self._alarm = Alarm(self._ring)
        self._rang_ns = self._rested_ns = 0
        self._over = False
        ledger.count_arrivals = self._collect

    @property
    def busy(self) -> int:
        """How many users have an arrival, or are still on their way to a first."""
        return self._users.size - sum(len(kind.idle) for kind in self._kinds.values())

    def set_load(self, load: Load) -> None:
        """Follow this line from its beginning on."""
        self._load = load
        self._arrivals.follow(load)
        for entry in self._weights:
            self._plan_spares(self._kinds[entry.name])
        self._set_alarm()
        self._changed.set()

    def follow(self) -> None:
        """Make the users that are asked for, and spares; never returns."""
        while True:
            self._changed.wait()
            self._changed.clear()
            until_ns = self._now() + _MAKE_BURST_NS
            while (kind := self._short_of()) is not None:
                self._make(kind)
                if self._now() >= until_ns:
                    gevent.sleep(SHORTEST_S)
                    until_ns = self._now() + _MAKE_BURST_NS
            if self._load is not self._completed:
                self._completed = self._load
                self._users.say_complete(len(self._members))

    def dismiss(self) -> None:
        """No more arrivals; users end, those at work after their task. Arrivals that wait stay due, and not begun."""
        self._over = True
        self._alarm.close()
        for member in list(self._members):
            if member.user is not None:
                self._users.dismiss(member.user)

    def _ring(self) -> None:
        """Start what is due by now. Runs in the event loop's greenlet: a switch comes back when the user blocks."""
        now_ns = self._rang_ns = self._now()
        until_ns = now_ns + min(max(_BURST_NS, now_ns - self._rested_ns), _LONGEST_BURST_NS)
        self._collect(now_ns + 1)
        backlog = self._backlog
        while backlog and now_ns < until_ns:
            self._begin(backlog.popleft())
            now_ns = self._now()
        self._rested_ns = now_ns
        self._set_alarm()

    def _collect(self, before_ns: int) -> None:
        """Count what is due before an instant, and put it where it waits to be started."""
        arrivals = self._arrivals
        while not self._over and (due_ns := arrivals.next_ns) is not None and due_ns < before_ns:
            self._backlog.append(due_ns)
            self._ledger.arrive(due_ns)
            arrivals.take()

    def _set_alarm(self) -> None:
        next_ns = self._arrivals.next_ns
        if self._over:
            return
        if self._backlog:  # in the event loop's next turn
            self._alarm.set(0)
        elif next_ns is None:
            self._alarm.clear()
        else:
            self._alarm.set(self._origin_ns + max(next_ns, self._rang_ns + _APART_NS))

    def _begin(self, due_ns: int) -> None:
        kind = self._only or self._kinds[self._turns.next()]
        if kind.idle:
            member, _ = kind.idle.popitem()
            if self._lacks_spares(kind):
                self._changed.set()
            member.next_due_ns = due_ns
            member.greenlet.switch()
        elif len(kind.waiting) < kind.making + kind.asked or self._ask(kind):
            kind.waiting.append(due_ns)
        else:
            self._ledger.turn_away(due_ns)

    def _ask(self, kind: _Kind) -> bool:
        """Have a user made, in the place of an idle one of another class if need be; False when all are at work."""
        if self._is_full():
            idle = next((other for other in self._kinds.values() if other.idle), None)
            if idle is None:
                return False
            oldest = next(iter(idle.idle))
            del idle.idle[oldest]
            self._members.discard(oldest)
            self._users.dismiss(oldest.user)
        kind.asked += 1
        self._changed.set()
        return True

    def _is_full(self) -> bool:
        return len(self._members) + sum(kind.asked for kind in self._kinds.values()) >= self._most

    def _lacks_spares(self, kind: _Kind) -> bool:
        ahead = len(kind.idle) + kind.making + kind.asked - len(kind.waiting)
        return ahead < kind.spare and not kind.failing and not self._is_full()

    def _short_of(self) -> _Kind | None:
        for kind in self._kinds.values():
            if kind.asked:
                return kind
        return next((kind for kind in self._kinds.values() if self._lacks_spares(kind)), None)

    def _make(self, kind: _Kind) -> None:
        kind.asked = max(0, kind.asked - 1)
        kind.making += 1
        member = Member(self._now())
        member.await_arrival = lambda: self._rest(kind, member)
        self._members.add(member)
        member.user = self._users.make(kind.name, member, lambda: self._gone(kind, member))
        if member.user is None:
            self._gone(kind, member)

    def _gone(self, kind: _Kind, member: Member) -> None:
        """A user has ended. One that never came to rest takes an arrival with it: else its on_start would be tried, and
        fail, for the same one for ever."""
        self._members.discard(member)
        if member.greenlet is None:
            kind.making -= 1
            kind.failing = not self._over
            if kind.waiting and not self._over:
                self._ledger.turn_away(kind.waiting.popleft())

    def _rest(self, kind: _Kind, member: Member) -> None:
        """Return when this user has an arrival: at once, when one is waiting."""
        if member.greenlet is None:
            self._has_started(kind, member)
        if kind.waiting:
            member.next_due_ns = kind.waiting.popleft()
            return
        kind.idle[member] = None
        member.asleep = True
        try:
            while member.next_due_ns is None:  # who wakes it for another reason, raises in it
                self._hub.switch()
        finally:
            member.asleep = False
            kind.idle.pop(member, None)

    def _has_started(self, kind: _Kind, member: Member) -> None:
        member.greenlet = getcurrent()
        kind.making -= 1
        kind.failing = False
        took_ns = self._now() - member.made_ns
        kind.start_ns += (took_ns - kind.start_ns) // 8 if kind.start_ns else took_ns
        self._plan_spares(kind)

    def _plan_spares(self, kind: _Kind) -> None:
        """As many as arrive while one more is made, in all but rare cases (Poisson: mean + 3 sigma), and two."""
        if self._load is not None:
            entry = next(entry for entry in self._weights if entry.name == kind.name)
            share = entry.weight / sum(entry.weight for entry in self._weights) / self._workers
            level = max(self._load.level_from, self._load.level_to)
            mean = level * share * kind.start_ns / NS_PER_S
            kind.spare = 2 + math.ceil(mean + 3 * math.sqrt(mean)) if level else 0


def _by_arrivals(users: Users) -> tuple[ClassWeight, ...]:
    """The classes among which arrivals are shared out: a number of users (fixed_count) is no share of arrivals.

    When every class has one, those numbers are the weights.
    """
    weighted = tuple(entry for entry in users.weights if not entry.fixed_count and entry.weight > 0)
    if not weighted:
        return tuple(ClassWeight(name=entry.name, weight=max(1, entry.fixed_count)) for entry in users.weights)
    for entry in users.weights:
        if entry not in weighted:
            users.tell(
                f"{entry.name} has a fixed_count: with a rate, arrivals go to classes with a weight, and none to it"
            )
    return weighted
