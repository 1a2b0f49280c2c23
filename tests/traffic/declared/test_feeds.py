"""Rows of data: each to one user of one worker, until they are used up."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.declared import DataSource
from harness.traffic.declared.feeds import Feed, RanOutError


def feed(rows: int, *, worker: int = 0, workers: int = 1, seed: int = 1, **more: Any) -> Feed:
    """The feed of one worker over rows 0, 1, 2, ..."""
    source = DataSource(name="user", file="users.csv", **more)
    return Feed(source, ({"id": number} for number in range(rows)), worker=worker, workers=workers, seed=seed)


def drained(one: Feed) -> list[int]:
    """Everything it gives until it has run out."""
    found = []
    while True:
        try:
            found.append(one.take()["user.id"])
        except RanOutError:
            return found


@given(st.integers(1, 60), st.integers(1, 7))
def test_workers_share_all_rows_and_no_row(rows: int, workers: int) -> None:
    """Dealt in turn: each row exactly once, in order for each worker, evenly."""
    shares = [drained(feed(rows, worker=worker, workers=workers, at_end="stop")) for worker in range(workers)]
    assert sorted(row for share in shares for row in share) == list(range(rows))
    assert all(share == sorted(share) for share in shares)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_rows_that_are_used_up_begin_again() -> None:
    """In the same order."""
    one = feed(5, worker=1, workers=2)
    assert [one.take()["user.id"] for _ in range(5)] == [1, 3, 1, 3, 1]


def test_a_worker_for_which_no_row_is_left_shares_one() -> None:
    """Three workers and two rows that begin again: nobody is without."""
    assert [feed(2, worker=worker, workers=3).take()["user.id"] for worker in range(3)] == [0, 1, 0]


def test_running_out_is_told_with_the_file_and_its_rows() -> None:
    """And with this worker's share, when it has not all of them."""
    with pytest.raises(RanOutError, match=r"^users\.csv ran out after 0 rows$"):
        feed(0, at_end="stop").take()
    with pytest.raises(RanOutError, match=r"^users\.csv ran out after 1 rows, 0 of them this worker's$"):
        feed(1, worker=1, workers=2, at_end="stop").take()


def test_rows_at_random_come_from_all_and_from_the_seed() -> None:
    """Each worker draws from every row, evenly; the same seed gives the same, another seed or worker does not."""
    drawn = [feed(4, order="random", worker=1, workers=2).take() for _ in range(1)]
    assert drawn == [feed(4, order="random", worker=1, workers=2).take()]
    one, other = feed(4, order="random", worker=1, workers=2), feed(4, order="random", worker=0, workers=2)
    ours = [one.take()["user.id"] for _ in range(400)]
    counts = Counter(ours)
    assert set(counts) == {0, 1, 2, 3}
    assert min(counts.values()) > 60
    assert ours != [other.take()["user.id"] for _ in range(400)]
