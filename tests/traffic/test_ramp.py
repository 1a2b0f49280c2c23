"""The line of users: by value, and by the properties that keep workers on it."""

from hypothesis import given
from hypothesis import strategies as st

from harness.traffic import Load
from harness.traffic.ramp import crossing_ns, wanted

S = 1_000_000_000

loads = st.builds(
    Load,
    at_ns=st.integers(0, 10**12),
    level_from=st.integers(0, 5000),
    level_to=st.integers(0, 5000),
    ramp_ns=st.integers(0, 60 * S),
)


def test_half_way_up_half_the_users_are_wanted() -> None:
    """A ramp from 100 to 500 in 10 s wants 300 users after 5 s, and the ends exactly."""
    load = Load(at_ns=2 * S, level_from=100, level_to=500, ramp_ns=10 * S)
    assert [wanted(load, at * S) for at in (0, 2, 7, 12, 99)] == [100, 100, 300, 500, 500]


def test_a_load_without_ramp_is_a_step() -> None:
    """With no ramp the users change at the instant itself."""
    load = Load(at_ns=S, level_from=3, level_to=9, ramp_ns=0)
    assert [wanted(load, S - 1), wanted(load, S)] == [3, 9]


def test_each_user_has_its_own_instant_on_the_line() -> None:
    """At 500 users/s users come 2 ms apart, the first after half a step: no batches."""
    load = Load(at_ns=0, level_from=0, level_to=500, ramp_ns=S)
    assert [crossing_ns(load, index) for index in (0, 1, 2, 499)] == [1_000_000, 3_000_000, 5_000_000, 999_000_000]


@given(load=loads, share=st.floats(0, 1))
def test_the_count_is_never_further_than_half_a_user_from_the_line(load: Load, share: float) -> None:
    """At any instant of any ramp the wanted number is the line's value, rounded."""
    elapsed_ns = int(load.ramp_ns * share)
    line = load.level_from + (load.level_to - load.level_from) * (elapsed_ns / load.ramp_ns if load.ramp_ns else 1)
    assert abs(wanted(load, load.at_ns + elapsed_ns) - line) <= 0.5 + 1e-6


@given(load=loads, data=st.data())
def test_a_user_comes_or_goes_exactly_at_its_crossing(load: Load, data: st.DataObject) -> None:
    """One nanosecond before the crossing of user i the count has not changed past i; at the crossing it has."""
    low, high = sorted((load.level_from, load.level_to))
    if low == high or load.ramp_ns < 2 * (high - low):
        return
    index = data.draw(st.integers(low, high - 1))
    instant_ns = crossing_ns(load, index)
    before, after = wanted(load, instant_ns - 1), wanted(load, instant_ns)
    assert (before <= index < after) if load.level_to > load.level_from else (after <= index < before)
