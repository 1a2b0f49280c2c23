"""The users of one worker, whoever asks for them: made, started, asked to end, waited for; and what they did wrong."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Callable
from typing import Any

import gevent
from locust.user.task import LOCUST_STATE_RUNNING, LOCUST_STATE_STOPPING, LOCUST_STATE_WAITING

from harness.journal import Trouble
from harness.traffic.child.hooks import PACE
from harness.traffic.child.requests import Books
from harness.traffic.child.runners import SteadyWorker
from harness.traffic.failures import bounded
from harness.traffic.mix import ClassSequence, ClassWeight
from harness.traffic.pacing import Ledger, Pace

_MAX_TROUBLES = 20
_LOOK_EVERY_S = 0.2
_LAST_GRACE_S = 1.0


class Users:
    """Makes and ends users. `troubles` and `raised` are taken by the rows."""

    def __init__(self, runner: SteadyWorker, ledger: Ledger, books: Books, now: Callable[[], int]) -> None:
        self._runner = runner
        self._ledger = ledger
        self._books = books
        self._now = now
        self._classes = {found.__name__: found for found in runner.environment.user_classes}
        self._grown = False
        self._told: set[str] = set()
        self.troubles: list[Trouble] = []
        self.raised = 0
        environment: Any = runner.environment
        environment.events.user_error.add_listener(self._on_user_error)

    @property
    def size(self) -> int:
        """How many users there are, those that are finishing their last task included."""
        return len(self._runner.user_greenlets)

    @property
    def weights(self) -> tuple[ClassWeight, ...]:
        """The classes as their authors weighed them."""
        return tuple(
            ClassWeight(name=name, weight=found.weight, fixed_count=found.fixed_count)
            for name, found in self._classes.items()
        )

    def sequence(self) -> ClassSequence:
        """Which class each user in turn is of."""
        return ClassSequence(self.weights)

    def make(self, name: str, pace: Pace, gone: Callable[[], None] | None = None) -> Any:
        """Start a user of this class; `gone` is called when it has ended. None, and a trouble, when it cannot be."""
        try:
            user = self._classes[name](self._runner.environment)
        except Exception as error:  # noqa: BLE001 - the scenario's own __init__ may raise anything
            self.tell(f"a user of {name} could not be made: {type(error).__name__}: {error}")
            return None
        setattr(user, PACE, pace)
        greenlet = user.start(self._runner.user_greenlets)
        setattr(greenlet, PACE, pace)
        self._runner.counts[name] += 1
        self._grown = True
        greenlet.rawlink(lambda _: self._gone(name, pace, gone))
        return user

    def _gone(self, name: str, pace: Pace, gone: Callable[[], None] | None) -> None:
        self._runner.counts[name] -= 1
        self._books.leave_iteration(pace)
        self._ledger.stop(pace, self._now())
        if gone is not None:
            gone()

    def dismiss(self, user: Any) -> None:
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

    def say_complete(self, count: int) -> None:
        """Fire Locust's spawning_complete: scenarios may hold their users back until it comes."""
        environment: Any = self._runner.environment
        environment.events.spawning_complete.fire(user_count=count)

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

    def count_raised(self) -> None:
        """An iteration was ended by the scenario itself, not by its target."""
        self.raised += 1

    def tell(self, message: str, key: str = "") -> None:
        """Keep a trouble for the journal, once for each kind."""
        if (key or message) not in self._told and len(self._told) < _MAX_TROUBLES:
            self._told.add(key or message)
            self.troubles.append(Trouble(at_ns=self._now(), source="scenario", message=bounded(message)))

    def _on_user_error(self, user_instance: object, exception: BaseException, tb: Any) -> None:  # noqa: ARG002
        self.raised += 1
        frames = traceback.extract_tb(tb)
        place = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
        kind = type(exception).__name__
        self.tell(f"the scenario raised {kind}: {exception}{place} (told once)", f"{place} {kind}")


def _wake_to_end(user: Any, pace: Pace) -> None:
    if pace.asleep or user._state is None:
        user.greenlet.throw(gevent.GreenletExit)
    elif user._state == LOCUST_STATE_RUNNING:  # it was not started yet when it was asked to end
        user._state = LOCUST_STATE_STOPPING
