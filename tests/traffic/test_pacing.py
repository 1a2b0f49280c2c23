"""Due times: even phases, schedules that lateness cannot move, and counts of due and begun by second."""

from hypothesis import given
from hypothesis import strategies as st

from harness import histogram
from harness.traffic.pacing import NS_PER_S, Ledger, Pace, first_due_ns, phase_of

S = NS_PER_S


@given(seed=st.integers(0, 2**63), users=st.integers(2, 2000))
def test_phases_lie_evenly_for_any_number_of_users(seed: int, users: int) -> None:
    """The widest gap between neighbours is less than three times the even one: no herd, whatever the seed."""
    places = sorted(phase_of(index, seed) for index in range(users))
    gaps = [after - before for before, after in zip(places, [*places[1:], places[0] + 1], strict=True)]
    assert max(gaps) < 3 / users


def test_the_phase_comes_from_the_seed() -> None:
    """The same seed gives the same places, another seed others."""
    assert phase_of(7, 1) == phase_of(7, 1) != phase_of(7, 2)


@given(ready=st.integers(0, 10**12), period=st.integers(1, 60 * S), phase=st.floats(0, 1, exclude_max=True))
def test_the_first_due_time_is_on_the_grid_within_one_period(ready: int, period: int, phase: float) -> None:
    """A user begins at its own place of the period that it is ready in, never before it is ready."""
    due = first_due_ns(ready, period, phase)
    assert ready <= due < ready + period
    assert (due - int(phase * period)) % period == 0


def test_due_and_begun_are_counted_in_their_own_seconds() -> None:
    """An iteration due at 0.9 s and begun at 1.1 s is due in second 0, begun in second 1, and 200 ms late."""
    ledger, pace = Ledger(), Pace(0.0)
    ledger.plan(pace, 9 * S // 10, S)
    assert ledger.close(0) == (1, 0)
    ledger.begin(pace, 11 * S // 10)
    assert pace.lag_ns == 2 * S // 10
    assert ledger.close(1) == (1, 1)  # the iteration goes on: the one due at 1.9 s is due all the same


def test_a_stuck_user_stays_due_on_its_grid() -> None:
    """A paced user frozen in one request for three seconds was due in each of them, and catches up uncounted."""
    ledger, pace = Ledger(), Pace(0.0)
    ledger.plan(pace, S // 2, S)
    ledger.begin(pace, S // 2)
    assert [ledger.close(second) for second in range(4)] == [(1, 1), (1, 0), (1, 0), (1, 0)]
    for due in (3 * S // 2, 5 * S // 2, 7 * S // 2):
        ledger.plan(pace, due, S)
        ledger.begin(pace, 4 * S)
    assert pace.lag_ns == S // 2
    ledger.stop(pace, 4 * S)
    assert ledger.close(4) == (0, 3)


def test_a_user_that_is_not_woken_in_time_stays_due_on_its_grid() -> None:
    """When this process is too slow to serve its timers, the missed iterations are due, not forgotten."""
    ledger, pace = Ledger(), Pace(0.0)
    ledger.plan(pace, S // 2, S)
    assert [ledger.close(second) for second in range(3)] == [(1, 0), (1, 0), (1, 0)]


def test_what_a_stopped_user_was_yet_to_do_is_not_due() -> None:
    """Stopping a waiting user takes back its future due time, not one that has passed."""
    ledger, early, late = Ledger(), Pace(0.0), Pace(0.0)
    ledger.plan(early, S // 10, None)
    ledger.plan(late, 9 * S // 10, None)
    for pace in (early, late):
        ledger.stop(pace, S // 2)
    assert ledger.close(0) == (1, 0)


def test_what_a_stuck_user_was_due_until_it_was_stopped_is_counted() -> None:
    """Ending a run in the middle of an overload does not hide what the overload kept from being begun."""
    ledger, pace = Ledger(), Pace(0.0)
    ledger.plan(pace, S // 2, S)
    ledger.begin(pace, S // 2)
    ledger.stop(pace, 3 * S)
    assert [ledger.close(second) for second in range(4)] == [(1, 1), (1, 0), (1, 0), (0, 0)]


def test_an_iteration_without_a_wait_is_due_when_it_begins() -> None:
    """A rescheduled or first task of an unpaced user is on time by definition."""
    ledger, pace = Ledger(), Pace(0.0)
    ledger.begin(pace, 5 * S)
    assert (pace.lag_ns, pace.due_ns) == (0, 5 * S)
    assert ledger.close(5) == (1, 1)


def test_arrivals_are_due_turned_away_and_begun_each_in_its_second() -> None:
    """Of three due in second 0, one is begun in it, one in second 1, one is turned away: counted where it was due."""
    ledger, pace = Ledger(), Pace(0.0)
    for due_ns in (1, S // 2, S - 1):
        ledger.arrive(due_ns)
    ledger.turn_away(S // 2)
    for due_ns, begun_ns in ((1, 2), (S - 1, S + 1)):
        pace.next_due_ns = due_ns
        ledger.begin(pace, begun_ns)
    assert (ledger.close(0), ledger.not_started(0)) == ((3, 1), 1)
    assert (ledger.close(1), ledger.not_started(1)) == ((0, 1), 0)


def test_arrivals_that_nobody_was_awake_for_are_counted_before_a_second_is_closed() -> None:
    """The pool is asked for all that was due before the second's end."""
    ledger = Ledger()
    ledger.count_arrivals = lambda before_ns: ledger.arrive(before_ns - 1)
    assert ledger.close(4) == (1, 0)


def test_how_late_iterations_began_is_taken_once() -> None:
    """In microseconds from due to start, planned ones and arrivals alike; 0 when there was no plan."""
    ledger, pace = Ledger(), Pace(0.0)
    ledger.begin(pace, 5)
    ledger.plan(pace, S, None)
    ledger.begin(pace, S + 1_500_000)
    assert histogram.decode([ledger.start_lag()]).counts == {0: 1, histogram.bucket_of(1500): 1}
    assert ledger.start_lag() == ""
