"""The users of one worker: started and stopped one by one at the instants when the line crosses them."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Callable
from typing import Any

import gevent
from gevent.event import Event as Signal
from locust.user.task import LOCUST_STATE_RUNNING, LOCUST_STATE_STOPPING, LOCUST_STATE_WAITING

from harness.journal import Trouble
from harness.traffic import Load
from harness.traffic.child.hooks import PACE, SHORTEST_S
from harness.traffic.child.requests import Books
from harness.traffic.child.runners import SteadyWorker
from harness.traffic.failures import bounded
from harness.traffic.mix import ClassSequence, ClassWeight, Roster
from harness.traffic.pacing import Ledger, Pace, phase_of
from harness.traffic.ramp import crossing_ns, wanted
from harness.traffic.settings import ChildSettings

# Making a user takes some 50 us: yield to the event loop this often, and where its turns take long, after a quarter of
# a turn, so that the ramp keeps its share of a busy process.
_BURST_NS = 500_000
_MAX_TROUBLES = 20
_LOOK_EVERY_S = 0.2
_LAST_GRACE_S = 1.0


class Crowd:
    """`users` are those of this worker in the order of their global index; the last one goes first."""

    def __init__(
        self, settings: ChildSettings, runner: SteadyWorker, ledger: Ledger, books: Books, now: Callable[[], int]
    ) -> None:
        self._settings = settings
        self._runner = runner
        self._ledger = ledger
        self._books = books
        self._now = now
        self._classes = {found.__name__: found for found in runner.environment.user_classes}
        self._sequence = ClassSequence(
            tuple(
                ClassWeight(name=name, weight=found.weight, fixed_count=found.fixed_count)
                for name, found in self._classes.items()
            )
        )
        self._roster = Roster(self._sequence, settings.worker, settings.workers)
        self._load: Load | None = None
        self._completed: Load | None = None
        self._burst_ns = _BURST_NS
        self._changed = Signal()
        self._users: list[Any] = []
        self._grown = False
        self._told: set[str] = set()
        self.troubles: list[Trouble] = []
        self.raised = 0
        environment: Any = runner.environment
        environment.events.user_error.add_listener(self._on_user_error)

    @property
    def size(self) -> int:
        """How many users run here, those that are finishing their last task included."""
        return len(self._runner.user_greenlets)

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
        """Fire Locust's spawning_complete, once for each line: scenarios may hold their users back until it comes."""
        if load is not self._completed:
            self._completed = load
            events: Any = self._runner.environment.events
            events.spawning_complete.fire(user_count=len(self._users))

    def _start_next(self) -> None:
        index = self._roster.index_of(len(self._users))
        name = self._sequence.name_of(index)
        user = None
        if name is None:
            self._tell(f"fixed_count of the user classes allows only {self._sequence.limit} users")
        else:
            try:
                user = self._make(name, index)
            except Exception as error:  # noqa: BLE001 - the scenario's own __init__ may raise anything
                self._tell(f"a user of {name} could not be made: {type(error).__name__}: {error}")
        self._users.append(user)
        self._grown = True

    def _make(self, name: str, index: int) -> object:
        user = self._classes[name](self._runner.environment)
        pace = Pace(phase_of(index, self._settings.seed))
        setattr(user, PACE, pace)
        greenlet = user.start(self._runner.user_greenlets)
        setattr(greenlet, PACE, pace)
        self._runner.counts[name] += 1
        greenlet.rawlink(lambda _: self._gone(name, pace))
        return user

    def _gone(self, name: str, pace: Pace) -> None:
        self._runner.counts[name] -= 1
        self._books.leave_iteration(pace)
        self._ledger.stop(pace, self._now())

    def _dismiss_last(self) -> None:
        user = self._users.pop()
        if user is not None:
            self._dismiss(user)

    def _dismiss(self, user: Any) -> None:
        """As User.stop(), but without waiting for on_stop: a sleeping user ends now, a busy one after its task.

        The mark holds from this instant, so that a busy event loop cannot delay it. Sleepers are woken from the hub,
        where one is either still asleep or has begun: a kill from here could strike a user that has sent a request.
        """
        if not user.greenlet.dead:
            pace = getattr(user, PACE)
            self._ledger.stop(pace, self._now())
            if user._state in (LOCUST_STATE_RUNNING, LOCUST_STATE_WAITING):
                user._state = LOCUST_STATE_STOPPING
            gevent.get_hub().loop.run_callback(_wake_to_end, user, pace)

    def dismiss(self) -> None:
        """Ask all users to end: no new iterations, current tasks finish."""
        while self._users:
            self._dismiss_last()

    def wait_gone(self, left_s: Callable[[], float]) -> None:
        """Wait for every user to finish, as long as `left_s`, asked again and again, allows."""
        while (seconds := left_s()) > 0:
            if self._runner.user_greenlets.join(timeout=min(seconds, _LOOK_EVERY_S)):
                return

    def end_rest(self) -> None:
        """Kill who is still there; on_stop has a last second."""
        self._runner.user_greenlets.kill(block=False)
        self._runner.user_greenlets.join(timeout=_LAST_GRACE_S)

    def settle_memory(self) -> None:
        """After growth, take the new users out of the collector's sight: they stay, and walking them costs pauses."""
        if self._grown:
            self._grown = False
            gc.collect(0)
            gc.freeze()

    def _on_user_error(self, user_instance: object, exception: BaseException, tb: Any) -> None:  # noqa: ARG002
        self.raised += 1
        frames = traceback.extract_tb(tb)
        place = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
        kind = type(exception).__name__
        self._tell(f"the scenario raised {kind}: {exception}{place} (told once)", f"{place} {kind}")

    def _tell(self, message: str, key: str = "") -> None:
        """Keep a trouble for the journal, once for each kind."""
        if (key or message) not in self._told and len(self._told) < _MAX_TROUBLES:
            self._told.add(key or message)
            self.troubles.append(Trouble(at_ns=self._now(), source="scenario", message=bounded(message)))


def _wake_to_end(user: Any, pace: Pace) -> None:
    if pace.asleep or user._state is None:
        user.greenlet.throw(gevent.GreenletExit)
    elif user._state == LOCUST_STATE_RUNNING:  # it was not started yet when it was asked to end
        user._state = LOCUST_STATE_STOPPING
