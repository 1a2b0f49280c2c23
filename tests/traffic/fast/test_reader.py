"""An answer as its bytes come in: what it may fill."""

from __future__ import annotations

import pytest

from harness.traffic.fast import reader as reading
from harness.traffic.fast.mistakes import BadAnswer
from harness.traffic.fast.reader import Reader


@pytest.mark.parametrize(("most", "whole"), [(5_000, True), (4_000, False)])
def test_a_body_may_not_fill_the_memory(most: int, whole: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to the limit it is kept; beyond it the answer has ended as a failure, and its connection is not used again."""
    monkeypatch.setattr(reading, "MOST_BODY", most)
    reader = Reader()
    reader.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 4500\r\n\r\n", 1)
    blocks = next(number for number in range(1, 10) if reader.feed(b"x" * 500, 2))
    assert (blocks, reader.keep, isinstance(reader.error, BadAnswer)) == (9 if whole else 8, whole, not whole)
