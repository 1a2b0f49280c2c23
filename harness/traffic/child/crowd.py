"""The closed model in a worker: users started and stopped one by one at the instants when the line crosses them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent
from gevent.event import Event as Signal

from harness.traffic import Load
from harness.traffic.child.hooks import SHORTEST_S
from harness.traffic.child.users import Users
from harness.traffic.mix import Roster
from harness.traffic.pacing import Pace, phase_of
from harness.traffic.ramp import crossing_ns, wanted
from harness.traffic.settings import ChildSettings

# Making a user takes some 50 us: yield to the event loop this often, and where its turns take long, after a quarter of
# a turn, so that the ramp keeps its share of a busy process.
_BURST_NS = 500_000


class Crowd:
    """The users of this worker in the order of their global index; the last one goes first."""

    def __init__(self, settings: ChildSettings, users: Users, now: Callable[[], int]) -> None:
        self._seed = settings.seed
        self._all = users
        self._now = now
        self._sequence = users.sequence()
        self._roster = Roster(self._sequence, settings.worker, settings.workers)
        self._load: Load | None = None
        self._completed: Load | None = None
        self._burst_ns = _BURST_NS
        self._changed = Signal()
        self._users: list[Any] = []

    @property
    def busy(self) -> int:
        """How many users run here, those that are finishing their last task included."""
        return self._all.size

    def set_load(self, load: Load) -> None:
        """Follow this line from now on."""
        self._load = load
        self._changed.set()

    def follow(self) -> None:
        """Start and stop users as the line says; never returns."""
        while True:
            self._changed.clear()
            load = self._load
            wait_s = None if load is None else self._step(load)
            if wait_s != 0:
                self._changed.wait(wait_s)

    def _step(self, load: Load) -> float | None:
        """Bring the users to where the line is; returns how long (s) until it next crosses one of ours."""
        target = self._roster.count(wanted(load, self._now()))
        if not self._move_to(target):
            asked_ns = self._now()
            gevent.sleep(SHORTEST_S)
            self._burst_ns = max(_BURST_NS, (self._now() - asked_ns) // 4)
            return 0
        final = self._roster.count(int(load.level_to))
        if target == final and self._now() >= load.at_ns + load.ramp_ns:
            self._say_complete(load)
            return None
        position = target if final > target else target - 1
        instant_ns = crossing_ns(load, self._roster.index_of(max(0, position)))
        return max(0.0005, (instant_ns - self._now()) / 1e9)

    def _move_to(self, target: int) -> bool:
        """Start or end users one by one; False when the time for one burst is used up before all are moved."""
        until_ns = self._now() + self._burst_ns
        while len(self._users) != target:
            if self._now() >= until_ns:
                return False
            if len(self._users) < target:
                self._start_next()
            else:
                self._dismiss_last()
        return True

    def _say_complete(self, load: Load) -> None:
        """Once for each line."""
        if load is not self._completed:
            self._completed = load
            self._all.say_complete(len(self._users))

    def _start_next(self) -> None:
        index = self._roster.index_of(len(self._users))
        name = self._sequence.name_of(index)
        user = None
        if name is None:
            self._all.tell(f"fixed_count of the user classes allows only {self._sequence.limit} users")
        else:
            user = self._all.make(name, Pace(phase_of(index, self._seed)))
        self._users.append(user)

    def _dismiss_last(self) -> None:
        user = self._users.pop()
        if user is not None:
            self._all.dismiss(user)

    def dismiss(self) -> None:
        """Ask all users to end: no new iterations, current tasks finish."""
        while self._users:
            self._dismiss_last()
