"""Declared traffic as records: values in texts, shares, files, and the way through JSON to another process."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.declared import (
    Activity,
    Between,
    DataSource,
    DeclaredTraffic,
    Expectation,
    Extraction,
    Send,
    Value,
    from_json,
    in_words,
    parts_of,
    texts_in,
    to_json,
)

WORDS = st.text(alphabet=st.characters(exclude_characters="{}", exclude_categories=["Cs"]), min_size=1)
NAMES = st.text(alphabet="abc_.-9", min_size=1)
FULL = DeclaredTraffic(
    activities=(
        Activity(name="list", weight=3, steps=(Send(method="GET", url="/p", name="list"),)),
        Activity(
            name="buy",
            weight=1,
            steps=(
                Send(method="GET", url="/p/1", name="p", extract=(Extraction(name="x", source="json", what="a"),)),
                Between(least_ns=1_000_000_000, most_ns=3_000_000_000),
                Send(
                    method="POST",
                    url="/cart",
                    name="cart",
                    query=(("a", "b"),),
                    headers=(("X", "{{x}}"),),
                    body_kind="json",
                    content={"x": ["{{x}}", 1]},
                    expect=Expectation(
                        statuses=((200, 299), (404, 404)),
                        body="ok",
                        json=(("a", {"b": 1}),),
                        headers=(("H", "v"),),
                        under_ns=5,
                    ),
                ),
                Send(method="PUT", url="/f", name="f", body_kind="body_file", content="bodies/f.bin"),
            ),
        ),
    ),
    login=(Send(method="POST", url="/login", name="/login"), Between(least_ns=1, most_ns=1)),
    data=(DataSource(name="user", file="users.csv", columns=("a", "b"), rows=5),),
    headers=(("Accept", "*/*"),),
    think=Between(least_ns=3, most_ns=7),
)


@given(st.lists(st.one_of(WORDS, NAMES.map(Value)), max_size=8))
def test_a_text_comes_apart_as_it_was_put_together(parts: list[str | Value]) -> None:
    """Literals and {{values}}, in any order; neighbouring literals are one."""
    text = "".join(part if isinstance(part, str) else f"{{{{ {part.name} }}}}" for part in parts)
    again = parts_of(text)
    assert "".join(part if isinstance(part, str) else f"{{{{ {part.name} }}}}" for part in again) == text
    assert [part for part in again if isinstance(part, Value)] == [part for part in parts if isinstance(part, Value)]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ('{"a": {"b": "{{x}}"}}', ('{"a": {"b": "', Value("x"), '"}}')),
        ("{{{{literal}}", ("{{", "literal}}")),
        ("{{user.First Name}}", (Value("user.First Name"),)),
        ("", ()),
    ],
)
def test_braces_that_are_no_values_stay(text: str, parts: tuple[str | Value, ...]) -> None:
    """JSON has many; {{{{ stands for two."""
    assert parts_of(text) == parts


@pytest.mark.parametrize(
    ("text", "message"), [("a {{b", "not closed"), ("{{ }}", "names no value"), ("{{a{b}}", "not closed")]
)
def test_a_value_that_cannot_be_read_is_refused(text: str, message: str) -> None:
    """Sent as it stands it would look like a request that means something."""
    with pytest.raises(ValueError, match=message):
        parts_of(text)


def test_every_text_of_a_tree_is_found_with_its_place() -> None:
    """Keys are not texts: they hold no values."""
    assert list(texts_in({"a": ["x", {"b": "y"}], "c": 1})) == [(("a", 0), "x"), (("a", 1, "b"), "y")]


@pytest.mark.parametrize("traffic", [FULL, replace(FULL, think=None, pace_ns=5, login=(), data=())])
def test_it_survives_the_way_to_another_process(traffic: DeclaredTraffic) -> None:
    """Through JSON text and back it is the same."""
    assert from_json(json.loads(json.dumps(to_json(traffic)))) == traffic


def test_shares_requests_and_waits_are_means_over_the_weights() -> None:
    """Three lists with one request to one purchase with three, which waits 2 s on average."""
    assert [(activity.name, share) for activity, share in FULL.shares()] == [("list", 0.75), ("buy", 0.25)]
    assert FULL.requests_per_iteration == 0.75 * 1 + 0.25 * 3
    assert FULL.waits_ns == 500_000_000


def test_what_its_requests_are_called_and_how_many_there_are_of_each() -> None:
    """By the name that results and limits have; the login is no part of an iteration."""
    assert FULL.endpoints == ("GET list", "GET p", "POST cart", "PUT f", "POST /login")
    assert [FULL.requests_to(name) for name in ("GET list", "PUT f", "POST /login")] == [0.75, 0.25, 0.0]


def test_all_its_files_are_told() -> None:
    """Data and bodies: they have to be sent to workers elsewhere."""
    assert FULL.files() == ("users.csv", "bodies/f.bin")


def test_what_will_be_sent_is_told_in_words() -> None:
    """Shares as limits name the requests, and what data there is."""
    assert dict(in_words(FULL)) == {
        "requests": "75% GET list, 25% buy (3 requests)",
        "login": "POST /login",
        "data": "user: users.csv (5 rows), sequential, one per user, then again",
    }
