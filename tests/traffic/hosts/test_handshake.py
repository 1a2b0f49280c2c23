"""Who may join, as two state machines that only exchange records."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.traffic.hosts.handshake import (
    About,
    HarnessSide,
    Refused,
    WorkerSide,
    read_about,
    require_same,
    require_token,
)

TOKEN = b"the token of these tests"
H, W = b"h" * 32, b"w" * 32
ABOUT = About(harness="1.0", python="3.11", locust="2.47.1", name="box", host="box", cores=4)
JUNK: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=80), lambda inner: st.lists(inner, max_size=3)
)


def test_two_that_know_the_token_agree_on_keys_and_never_send_it() -> None:
    """Both have the same two keys, one for each direction; no record holds the token."""
    harness, worker = HarnessSide(TOKEN, H), WorkerSide(TOKEN, W)
    hello = harness.hello()
    answer = worker.prove(hello)
    proof, ours = harness.prove(answer)
    theirs = worker.check(proof)
    assert ours == theirs
    assert ours.to_harness != ours.to_worker
    assert not any(TOKEN.decode() in str(record) or TOKEN.hex() in str(record) for record in (hello, answer, proof))


def test_keys_are_of_one_connection() -> None:
    """Another nonce on either side makes other keys."""
    found = set()
    for ours, theirs in ((H, W), (W, H), (H, H)):
        harness, worker = HarnessSide(TOKEN, ours), WorkerSide(TOKEN, theirs)
        found.add(harness.prove(worker.prove(harness.hello()))[1])
    assert len(found) == 3


def test_a_wrong_token_is_refused_by_the_harness_and_what_it_says_reaches_the_worker() -> None:
    """The worker proves first: the harness gives a stranger nothing to guess from."""
    harness, worker = HarnessSide(TOKEN, H), WorkerSide(b"another token of 24 byte", W)
    with pytest.raises(Refused, match="token is not the same") as refused:
        harness.prove(worker.prove(harness.hello()))
    assert "proof" not in refused.value.reply
    with pytest.raises(Refused, match="token is not the same") as heard:
        worker.check(refused.value.reply)
    assert "HARNESS_TOKEN" in heard.value.hint


def test_a_harness_that_does_not_know_the_token_is_refused_by_the_worker() -> None:
    """Its proof, the worker's own proof sent back, and none at all."""
    harness, worker = HarnessSide(TOKEN, H), WorkerSide(TOKEN, W)
    own = worker.prove(harness.hello())
    for record in ({"proof": "00" * 32}, {"proof": own["proof"]}, {}):
        with pytest.raises(Refused, match="not our harness"):
            worker.check(record)


def test_another_protocol_is_named() -> None:
    """A worker of another generation says so, and so it does when nothing there is a harness."""
    with pytest.raises(Refused, match="protocol 2, this worker 1"):
        WorkerSide(TOKEN, W).prove({**HarnessSide(TOKEN, H).hello(), "gate": 2})
    with pytest.raises(Refused, match="no harness"):
        WorkerSide(TOKEN, W).prove({"hello": "there"})


@given(st.dictionaries(st.sampled_from(["nonce", "proof", "gate", "about", "refused"]), JUNK))
def test_whatever_a_stranger_says_is_refused(record: dict[str, object]) -> None:
    """Nothing but Refused comes of nonsense, on either side."""
    harness, worker = HarnessSide(TOKEN, H), WorkerSide(TOKEN, W)
    for hear in (harness.prove, worker.prove, worker.check, read_about):
        with pytest.raises(Refused):
            hear(record)  # type: ignore[operator]


@pytest.mark.parametrize(("what", "there"), [("harness", "0.9"), ("python", "3.12"), ("locust", "2.46.0")])
def test_versions_that_differ_are_both_named(what: str, there: str) -> None:
    """With what to do; the same versions pass."""
    require_same(ABOUT, replace(ABOUT, name="x", host="y", cores=1))
    theirs = read_about(replace(ABOUT, **{what: there}).to_json())  # type: ignore[arg-type]
    with pytest.raises(Refused, match=f"{what} is {getattr(ABOUT, what)} at the harness, {there} at box") as refused:
        require_same(ABOUT, theirs)
    assert getattr(ABOUT, what) in refused.value.hint


def test_other_people_s_words_cannot_paint_the_terminal() -> None:
    """Escape sequences of whoever listens there, or joins, are not printed."""
    with pytest.raises(Refused) as heard:
        WorkerSide(TOKEN, W).check({"refused": "\x1b[2Jgone", "hint": "x" * 1000})
    assert str(heard.value) == "?[2Jgone"
    assert len(heard.value.hint) == 300
    with pytest.raises(Refused):
        read_about(replace(ABOUT, name="\x1b[2J").to_json())


def test_a_token_has_sixteen_characters() -> None:
    """Fifteen are refused, since whoever listens can try them all at home."""
    assert require_token("x" * 16) == b"x" * 16
    with pytest.raises(ValueError, match="at least 16 characters, this one has 15"):
        require_token("x" * 15)
