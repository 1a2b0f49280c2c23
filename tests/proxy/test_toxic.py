"""Which connections a toxic hits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.proxy.toxic import Toxic


def _hit(key: str, toxicity: float, count: int = 2000) -> set[int]:
    toxic = Toxic(key=key, name="t", kind="latency", stream="downstream")
    toxic.toxicity = toxicity
    return {number for number in range(count) if toxic.hits(number)}


def test_the_same_key_hits_the_same_connections() -> None:
    """The draw is a function of seed, names and number, so a run can be repeated."""
    assert _hit("7/db/lag/1", 0.3) == _hit("7/db/lag/1", 0.3)


def test_another_key_hits_others() -> None:
    """Another seed, or the same toxic added a second time, draws anew."""
    assert _hit("7/db/lag/1", 0.3) != _hit("8/db/lag/1", 0.3)
    assert _hit("7/db/lag/1", 0.3) != _hit("7/db/lag/2", 0.3)


@given(st.sampled_from([0.1, 0.3, 0.5, 0.9]), st.integers(0, 20))
def test_the_share_is_the_toxicity(toxicity: float, seed: int) -> None:
    """Of 2000 connections the share is hit, within five standard deviations."""
    spread = 5 * (2000 * toxicity * (1 - toxicity)) ** 0.5
    assert abs(len(_hit(f"{seed}/db/lag/1", toxicity)) - 2000 * toxicity) <= spread


@given(st.floats(0, 1), st.floats(0, 1))
def test_raising_toxicity_only_adds(one: float, other: float) -> None:
    """Those who were hit stay hit, so an update disturbs nobody twice."""
    low, high = sorted((one, other))
    assert _hit("7/db/lag/1", low, 100) <= _hit("7/db/lag/1", high, 100)


def test_none_and_all() -> None:
    """0 hits nobody, 1 everybody."""
    assert _hit("7/db/lag/1", 0.0) == set()
    assert _hit("7/db/lag/1", 1.0) == set(range(2000))
