"""Addresses in the words of an experiment."""

from __future__ import annotations

import pytest

from harness.errors import BadInput
from harness.stacks.addresses import fill, host_port


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("http://127.0.0.1:8080/shop?x=1", ("127.0.0.1", 8080)),
        ("http://shop.test", ("shop.test", 80)),
        ("https://shop.test/a", ("shop.test", 443)),
        ("http://user:secret@[::1]:99", ("::1", 99)),
    ],
)
def test_host_and_port_of_each_spelling(address: str, expected: tuple[str, int]) -> None:
    """URLs have default ports."""
    assert host_port(address) == expected


@pytest.mark.parametrize("address", ["", "shop", "http://", "127.0.0.1:99999", "127.0.0.1:http", "ftp://shop"])
def test_what_is_no_address_is_bad_input(address: str) -> None:
    """With an example of one."""
    with pytest.raises(BadInput, match=r"expected an address such as 127\.0\.0\.1:8080"):
        host_port(address)


def test_only_names_are_places() -> None:
    """Braces of JSON and of format strings stay."""
    text = fill('{"a": {}, "b": {db}} {0}', {"db": "x:1"}, where="here")
    assert text == '{"a": {}, "b": x:1} {0}'


def test_what_is_filled_in_is_not_filled_again() -> None:
    """A value may look like a place."""
    assert fill("{a}", {"a": "{b}", "b": "no"}, where="here") == "{b}"
