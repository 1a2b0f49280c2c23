"""Reading the raw head of an answer."""

from __future__ import annotations

import pytest

from harness.traffic.fast.headers import Headers, final_head


@pytest.mark.parametrize(
    ("raw", "head"),
    [
        (b"HTTP/1.1 200 OK\r\nA: 1\r\n\r\nbody", b"HTTP/1.1 200 OK\r\nA: 1"),
        (b"HTTP/1.1 100 Go\r\n\r\nHTTP/1.1 204 No\r\n\r\n", b"HTTP/1.1 204 No"),
        (b"HTTP/1.1 100 Go\r\n\r\nHTTP/1.1 204 No\r\n", b""),
        (b"HTTP/1.1 101 Switch\r\nUpgrade: x\r\n\r\n", b"HTTP/1.1 101 Switch\r\nUpgrade: x"),
        (b"HTTP/1.1 200 OK\r\nA: 1\r\n", b""),
        (b"", b""),
    ],
)
def test_the_head_of_the_real_answer_is_found(raw: bytes, head: bytes) -> None:
    """Interim answers before it are skipped; half a head is none."""
    assert final_head(raw) == head


def test_fields_are_found_in_any_case_and_joined() -> None:
    """Several of one name are one list; each value can be had."""
    headers = Headers(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1, b\r\nset-cookie: c=2\r\nX:  folded\r\n  line \r\nEmpty:")
    assert headers["SET-cookie"] == "a=1, b, c=2"
    assert headers.all("Set-Cookie") == ["a=1, b", "c=2"]
    assert (headers["x"], headers["empty"], headers.get("none")) == ("folded line", "", None)
    assert "none" not in headers
    assert headers.version == "1.1"


@pytest.mark.parametrize(("value", "closes"), [(b"close", True), (b"Keep-Alive, CLOSE", True), (b"closed", False)])
def test_a_wish_to_close_is_understood(value: bytes, closes: bool) -> None:
    """As a word in a list, in any case."""
    assert Headers(b"HTTP/1.1 200 OK\r\nConnection: " + value).asks_to_close is closes
