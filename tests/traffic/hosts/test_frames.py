"""Signed messages: what comes is what was sent, in order, or nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.traffic.hosts.frames import HEAD, MOST_BYTES, Forged, Kind, Seal, length_of

KEY = b"k" * 32
MESSAGES = st.lists(st.tuples(st.sampled_from(Kind), st.binary(max_size=200)), min_size=1, max_size=5)


def bodies(messages: list[tuple[Kind, bytes]]) -> list[bytes]:
    """The messages as they are on the wire, without their lengths."""
    seal = Seal(KEY)
    wire = [seal.message(kind, payload) for kind, payload in messages]
    for message in wire:
        assert length_of(message[: HEAD.size]) == len(message) - HEAD.size
    return [message[HEAD.size :] for message in wire]


@given(MESSAGES)
def test_messages_come_as_they_were_sent(messages: list[tuple[Kind, bytes]]) -> None:
    """Kind and payload, in order."""
    seal = Seal(KEY)
    assert [seal.open(body) for body in bodies(messages)] == messages


@given(MESSAGES, st.data())
def test_one_changed_bit_is_noticed(messages: list[tuple[Kind, bytes]], data: st.DataObject) -> None:
    """In the signature, in the kind or in the payload."""
    body = bytearray(bodies(messages)[0])
    body[data.draw(st.integers(0, len(body) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(Forged):
        Seal(KEY).open(bytes(body))


def test_repeated_left_out_and_foreign_messages_are_noticed() -> None:
    """Each message is signed for its place; another key signs nothing of ours."""
    first, second = bodies([(Kind.RECORD, b"1"), (Kind.RECORD, b"2")])
    again = Seal(KEY)
    again.open(first)
    with pytest.raises(Forged):
        again.open(first)
    with pytest.raises(Forged):
        Seal(KEY).open(second)
    with pytest.raises(Forged):
        Seal(b"another").open(first)


@pytest.mark.parametrize("length", [0, 32, MOST_BYTES + 1, 2**32 - 1])
def test_a_length_that_no_message_has_is_refused_before_anything_is_read(length: int) -> None:
    """A stranger cannot make us wait for, or hold, gigabytes."""
    with pytest.raises(Forged):
        length_of(HEAD.pack(length))


def test_what_is_too_large_is_not_sent() -> None:
    """The sender is told, not the receiver."""
    with pytest.raises(ValueError, match="at most"):
        Seal(KEY).message(Kind.ARCHIVE, b"x" * MOST_BYTES)
