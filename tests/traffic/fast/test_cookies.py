"""Which cookies are kept and where they go back to (RFC 6265)."""

from __future__ import annotations

import pytest

from harness.traffic.fast.cookies import Cookies


def sent(line: str, host: str, path: str = "/", *, tls: bool = True) -> str:
    """What is sent to `host` and `path` after shop.example.com has set a cookie by `line` at /cart/list."""
    cookies = Cookies()
    cookies.keep([line], "shop.example.com", "/cart/list?x=/y")
    return cookies.header(host, path, tls=tls)


@pytest.mark.parametrize(
    ("line", "host", "path", "goes"),
    [
        ("a=1; Path=/", "shop.example.com", "/", True),
        ("a=1; Path=/", "example.com", "/", False),
        ("a=1; Path=/", "x.shop.example.com", "/", False),
        ("a=1; Path=/; Domain=.example.com", "api.example.com", "/", True),
        ("a=1; Path=/; Domain=example.com", "badexample.com", "/", False),
        ("a=1; Path=/; Domain=other.com", "other.com", "/", False),
        ("a=1; Path=/; Domain=com", "example.com", "/", False),
        ("a=1", "shop.example.com", "/cart/new", True),
        ("a=1", "shop.example.com", "/cart", True),
        ("a=1", "shop.example.com", "/cartoon", False),
        ("a=1; Path=/; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "shop.example.com", "/", True),
        ("a=1; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "shop.example.com", "/", False),
        ("a=1; Path=/; Expires=soon", "shop.example.com", "/", True),
        ("no cookie at all", "shop.example.com", "/cart/", False),
    ],
)
def test_a_cookie_goes_where_it_may(line: str, host: str, path: str, goes: bool) -> None:
    """By host, Domain, Path and age."""
    assert sent(line, host, path) == ("a=1" if goes else "")


def test_a_secure_cookie_goes_over_tls_only() -> None:
    """Plain HTTP does not get it."""
    assert sent("a=1; Path=/; Secure", "shop.example.com") == "a=1"
    assert sent("a=1; Path=/; Secure", "shop.example.com", tls=False) == ""


def test_what_would_end_its_header_line_is_no_cookie() -> None:
    """Else a value of a scenario could write headers of its own; ";" would begin another cookie."""
    for name, value in (("a", "x\r\nEvil: 1"), ("a\n", "x"), ("a", "x; b=y"), ("a", "\u20ac")):
        with pytest.raises(ValueError, match="cannot be sent"):
            Cookies().set(name, value, domain="shop.example.com")
