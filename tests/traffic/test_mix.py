"""User classes by weight and their deal to workers: exact at every prefix."""

from hypothesis import given
from hypothesis import strategies as st

from harness.traffic.mix import ClassSequence, ClassWeight, Roster

weights = st.lists(st.integers(1, 9), min_size=1, max_size=6)


def sequence_of(*values: int) -> ClassSequence:
    """Classes A, B, C, ... of these weights."""
    return ClassSequence(tuple(ClassWeight(name="ABCDEF"[place], weight=value) for place, value in enumerate(values)))


def test_weights_three_and_one_interleave() -> None:
    """Weights 3 and 1 make one B in the middle of each four users, not three As and then a B."""
    sequence = sequence_of(3, 1)
    assert "".join(sequence.name_of(index) or "-" for index in range(8)) == "AABAAABA"


def test_fixed_counts_come_first_and_then_no_more() -> None:
    """Locust's promise: fixed_count users are spawned first, the rest follows the weights of the others."""
    fixed = ClassWeight(name="F", fixed_count=2), ClassWeight(name="G", fixed_count=1)
    sequence = ClassSequence((ClassWeight(name="A"), *fixed))
    assert "".join(sequence.name_of(index) or "-" for index in range(6)) == "FGFAAA"
    assert sequence.limit is None


def test_only_fixed_counts_end() -> None:
    """When every class has a fixed count there is no class for further users."""
    sequence = ClassSequence((ClassWeight(name="F", fixed_count=2),))
    assert (sequence.name_of(1), sequence.name_of(2), sequence.limit) == ("F", None, 2)


@given(values=weights, prefix=st.integers(1, 300))
def test_no_class_is_far_from_its_share_at_any_prefix(values: list[int], prefix: int) -> None:
    """After any number of users each class is less than a whole user away from its share."""
    sequence = sequence_of(*values)
    names = [sequence.name_of(index) for index in range(prefix)]
    for place, value in enumerate(values):
        assert abs(names.count("ABCDEF"[place]) - prefix * value / sum(values)) < 1


def test_weights_that_are_no_whole_numbers_hold_too() -> None:
    """Locust takes 0.1 and 0.3 as weights: three of four, as with 1 and 3."""
    sequence = ClassSequence((ClassWeight(name="A", weight=0.1), ClassWeight(name="B", weight=0.3)))
    names = [sequence.name_of(index) for index in range(400)]
    assert (names.count("A"), names.count("B")) == (100, 300)


@given(values=weights, workers=st.integers(1, 5), total=st.integers(0, 300))
def test_workers_own_every_user_once(values: list[int], workers: int, total: int) -> None:
    """The workers' users are all users, each once, whatever the weights."""
    rosters = [Roster(sequence_of(*values), worker, workers) for worker in range(workers)]
    owned = [roster.index_of(place) for roster in rosters for place in range(roster.count(total))]
    assert sorted(owned) == list(range(total))


@given(values=weights, workers=st.integers(2, 5), total=st.integers(0, 300))
def test_every_worker_has_its_share_of_every_class(values: list[int], workers: int, total: int) -> None:
    """Per class, no worker has more than one user more than another."""
    sequence = sequence_of(*values)
    per_worker = []
    for worker in range(workers):
        roster = Roster(sequence_of(*values), worker, workers)
        names = [sequence.name_of(roster.index_of(place)) for place in range(roster.count(total))]
        per_worker.append([names.count(name) for name in "ABCDEF"[: len(values)]])
    for counts in zip(*per_worker, strict=True):
        assert max(counts) - min(counts) <= 1


def test_one_class_is_dealt_in_turns() -> None:
    """With a single class worker k of N owns the users k, k+N, k+2N, ..."""
    roster = Roster(sequence_of(1), 1, 3)
    assert [roster.index_of(place) for place in range(3)] == [1, 4, 7]
