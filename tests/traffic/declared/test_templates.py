"""Texts with values: what is put in is what a server takes out again."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.traffic.declared.templates import Template, filled, form_of, header_value, json_of, target_of, text_of

TEXTS = st.text(alphabet=st.characters(exclude_categories=["Cs"]))
SAFE = st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="{}"))
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | SAFE,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SAFE, inner, max_size=3),
    max_leaves=8,
)


@given(JSON, JSON, TEXTS)
def test_a_json_body_holds_what_was_put_in(tree: Any, value: Any, text: str) -> None:
    """A text that is one value keeps its type, a value within a text becomes text; the rest is as written."""
    body = filled(json_of({"tree": tree, "whole": "{{v}}", "within": "<{{t}}>"}), {"v": value, "t": text})
    assert json.loads(body) == {"tree": tree, "whole": value, "within": f"<{text}>"}


@given(TEXTS, TEXTS, SAFE)
def test_a_path_and_query_hold_what_was_put_in(one: str, two: str, name: str) -> None:
    """Whatever characters a value has, it ends where it ends; the target is plain ASCII."""
    target = filled(target_of("/p/{{a}}?x={{b}}", [(name, "{{b}}!")]), {"a": one, "b": two})
    path, _, query = target.partition("?")
    assert unquote(path, errors="strict") == f"/p/{one}"
    assert parse_qsl(query, keep_blank_values=True) == [("x", two), (name, f"{two}!")]
    assert target.isascii()
    assert " " not in target


@given(TEXTS, SAFE, SAFE)
def test_a_form_holds_what_was_put_in(value: str, name: str, literal: str) -> None:
    """As a browser sends it."""
    body = filled(form_of([(name, "{{v}}"), ("b", literal)]), {"v": value})
    assert parse_qsl(body, keep_blank_values=True) == [(name, value), ("b", literal)]


@pytest.mark.parametrize(
    ("value", "text"), [(True, "true"), (None, "null"), (5, "5"), (2.5, "2.5"), ("ä", "ä"), ({"a": [1]}, '{"a": [1]}')]
)
def test_values_become_text_as_json_writes_them(value: object, text: str) -> None:
    """And a text as it is."""
    assert filled(text_of("<{{v}}>"), {"v": value}) == f"<{text}>"


def test_a_text_without_values_costs_nothing_later() -> None:
    """It is ready when it is made: paths escaped, what was escaped left alone."""
    assert target_of("/a b/ü?q=1%202", ()) == "/a%20b/%C3%BC?q=1%202"
    assert json_of([1, "x"]) == '[1, "x"]'
    assert isinstance(text_of("{{a}}"), Template)


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "€"])
def test_a_header_takes_no_line_break(value: str) -> None:
    """An extracted value must not become another header, or another request."""
    with pytest.raises(ValueError, match="cannot stand in a header") as caught:
        filled(text_of("Bearer {{v}}", header_value), {"v": value})
    assert value not in str(caught.value)
