"""Where our schedule and our books are put into Locust: the wait times, the task loop and the two HTTP clients.

Everything here is installed before the scenario is imported, in the child process only. Locust is pinned (<2.48)
because some of these places are not promised by it: `TaskSet._sleep`, `TaskSet.wait`, `TaskSet.execute_next_task`,
`ResponseContextManager._report_request`, and geventhttpclient's `ConnectionPool._is_socket_alive`.
"""

from __future__ import annotations

import inspect
import select
from collections.abc import Callable
from typing import Any

import gevent
import locust
from gevent import monkey
from locust.exception import InterruptTaskSet, RescheduleTask, RescheduleTaskImmediately, StopTest, StopUser
from locust.user import wait_time as wait_times
from locust.user.task import LOCUST_STATE_RUNNING, LOCUST_STATE_STOPPING, LOCUST_STATE_WAITING, TaskSet

from harness.traffic.pacing import Ledger, Pace, first_due_ns

PACE = "_harness_pace"
PERIOD = "harness_period_ns"
# A yield by timer: to the event loop's next turn, a millisecond at most.
SHORTEST_S = 1e-6
_GATE_WIDTH = 16
CONTROL_FLOW = (StopUser, StopTest, InterruptTaskSet, RescheduleTask, RescheduleTaskImmediately, gevent.GreenletExit)

Now = Callable[[], int]


def install_pacing(ledger: Ledger, now: Now, leave_iteration: Callable[[Pace], None]) -> None:
    """Replace Locust's pacing wait times by ours and follow each user's iterations.

    `leave_iteration` is called when a user goes to wait, before the next iteration is planned.
    """
    _install_wait_times(ledger, now)
    _install_waits(ledger, now, leave_iteration)
    _install_iterations(ledger, now, leave_iteration)


def replace(owner: object, name: str, value: object) -> None:
    """Put ours in the place of a function of Locust. Raises AttributeError when there is none: Locust has changed."""
    getattr(owner, name)
    setattr(owner, name, value)


def _install_wait_times(ledger: Ledger, now: Now) -> None:
    stock = wait_times.constant_pacing

    def constant_pacing(wait_time: float) -> Callable[[Any], float]:
        period_ns = round(wait_time * 1e9)
        fallback = stock(wait_time)

        def paced(instance: Any) -> float:
            pace: Pace | None = getattr(getattr(instance, "user", instance), PACE, None)
            if pace is None or pace.await_arrival is not None or period_ns <= 0:
                return float(fallback(instance))
            due_ns: int = getattr(instance, "_harness_due_ns", pace.due_ns) + period_ns
            instance._harness_due_ns = due_ns
            ledger.plan(pace, due_ns, period_ns)
            return max(0.0, (due_ns - now()) / 1e9)

        setattr(paced, PERIOD, period_ns)
        return paced

    def constant_throughput(task_runs_per_second: float) -> Callable[[Any], float]:
        if task_runs_per_second <= 0:
            raise ValueError(f"constant_throughput() requires a positive rate, got: {task_runs_per_second}")
        return constant_pacing(1 / task_runs_per_second)

    for module in (wait_times, locust):
        replace(module, "constant_pacing", constant_pacing)
        replace(module, "constant_throughput", constant_throughput)


def _install_waits(ledger: Ledger, now: Now, leave_iteration: Callable[[Pace], None]) -> None:
    stock_wait: Callable[[Any], None] = TaskSet.wait

    def wait(self: Any) -> None:
        pace = getattr(self.user, PACE, None)
        if pace is None or pace.await_arrival is None or pace.busy:  # busy: a task of the scenario waits in its middle
            stock_wait(self)
        elif self.user._state == LOCUST_STATE_STOPPING:
            raise StopUser

    def _sleep(self: Any, seconds: float) -> None:
        pace = getattr(self.user, PACE, None)
        if pace is None:
            gevent.sleep(seconds)
            return
        if pace.await_arrival is not None:
            _rest(pace, seconds)
            return
        leave_iteration(pace)
        if pace.next_due_ns is None:  # not paced: due when the wait is to end
            ledger.plan(pace, now() + round(max(0.0, seconds) * 1e9), None)
        _rest(pace, seconds)
        if self.user._state != LOCUST_STATE_STOPPING:  # else TaskSet.wait ends the user
            ledger.begin(pace, now())

    replace(TaskSet, "wait", wait)
    replace(TaskSet, "_sleep", _sleep)


def _install_iterations(ledger: Ledger, now: Now, leave_iteration: Callable[[Pace], None]) -> None:
    execute_next_task: Callable[[Any], None] = TaskSet.execute_next_task

    def execute_next(self: Any) -> None:
        pace = getattr(self.user, PACE, None)
        if pace is not None and pace.await_arrival is not None:
            if not pace.fresh:
                leave_iteration(pace)
                _await_arrival(self.user, pace)
                ledger.begin(pace, now())
            _execute_arrival(self, pace, execute_next_task)
            return
        if pace is not None and not _is_task_set(self._task_queue[0]):
            if not pace.phased:
                pace.phased = True
                _wait_for_phase(self, pace, ledger, now)
            if not pace.fresh:
                ledger.begin(pace, now())
            pace.fresh = False
        execute_next_task(self)

    replace(TaskSet, "execute_next_task", execute_next)


def _await_arrival(user: Any, pace: Pace) -> None:
    """In the open model a user rests until an arrival is given to it, and can be stopped while it does."""
    user._state = LOCUST_STATE_WAITING
    pace.await_arrival()  # type: ignore[misc] # it is there: the caller has looked
    if user._state == LOCUST_STATE_STOPPING:
        raise StopUser
    user._state = LOCUST_STATE_RUNNING


def _execute_arrival(task_set: Any, pace: Pace, execute_next_task: Callable[[Any], None]) -> None:
    """An arrival is one task, of a nested task set too: entering that, with its on_start, belongs to the arrival."""
    if _is_task_set(task_set._task_queue[0]):
        execute_next_task(task_set)
        return
    pace.fresh = False
    pace.busy = True
    try:
        execute_next_task(task_set)
    finally:
        pace.busy = False


def period_of(task_set: type, user: type) -> int | None:
    """The period of a paced task set or of its user, else None."""
    for owner in (task_set, user):
        period_ns = getattr(getattr(owner, "wait_time", None), PERIOD, None)
        if period_ns:
            return int(period_ns)
    return None


def _wait_for_phase(task_set: Any, pace: Pace, ledger: Ledger, now: Now) -> None:
    """Before its first task, a paced user waits for its own place in the period. It can be stopped while it does."""
    user = task_set.user
    period_ns = period_of(type(task_set), type(user))
    if period_ns is None:
        return
    now_ns = now()
    due_ns = first_due_ns(now_ns, period_ns, pace.phase)
    ledger.plan(pace, due_ns, period_ns)
    user._state = LOCUST_STATE_WAITING
    _rest(pace, (due_ns - now_ns) / 1e9)
    if user._state == LOCUST_STATE_STOPPING:
        raise StopUser
    user._state = LOCUST_STATE_RUNNING
    ledger.begin(pace, now())


def _rest(pace: Pace, seconds: float) -> None:
    """Sleep, known to be asleep: who ends users may wake those who are, and must not strike those who are not."""
    pace.asleep = True
    try:
        if seconds > 0:
            gevent.sleep(seconds)
        else:
            _gate.pass_through()
    finally:
        pace.asleep = False


class _Gate:
    """A wait of zero. `sleep(0)` is quickest, but its queue gets only some 5 ms of each turn of the event loop.

    With a thousand users behind their schedule in it, everybody else in that queue (Locust's messages, our rows)
    would wait ten seconds and more. So only a few may use it at a time; the others take a timer, served every turn.
    """

    def __init__(self) -> None:
        self._inside = 0

    def pass_through(self) -> None:
        if self._inside >= _GATE_WIDTH:
            gevent.sleep(SHORTEST_S)
            return
        self._inside += 1
        try:
            gevent.sleep(0)
        finally:
            self._inside -= 1


_gate = _Gate()


def _is_task_set(task: object) -> bool:
    return inspect.isclass(task) and issubclass(task, TaskSet)


def install_socket_check() -> None:
    """Let FastHttpUser keep its connections when more than a thousand files are open.

    geventhttpclient 2.6 asks select(2) whether a kept connection is still good; select refuses descriptors from 1024
    up, which it takes for a dead connection, so that every request of every later user would connect anew. poll(2)
    has no such bound, and needs no turn of the event loop.
    """
    from geventhttpclient.connectionpool import ConnectionPool

    native_poll = monkey.get_original("select", "poll")

    def _is_socket_alive(self: object, sock: Any) -> bool:  # noqa: ARG001 - the replaced method's shape
        if sock is None or sock.fileno() < 0:
            return False
        poll = native_poll()
        poll.register(sock.fileno(), select.POLLIN)
        return not poll.poll(0)

    replace(ConnectionPool, "_is_socket_alive", _is_socket_alive)


def switch_off_statistics(events: Any) -> None:
    """Take Locust's own per-request statistics (13 us each) off the request event; `environment.stats` stays, empty."""
    for handler in list(events.request._handlers):
        if handler.__module__ == "locust.runners":
            events.request.remove_listener(handler)
