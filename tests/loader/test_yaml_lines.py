"""YAML with line numbers, stricter than YAML 1.1."""

# ruff: noqa: E501 - a message stands on one line, as users see it

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import BadInput
from harness.loader import yaml_lines


def test_values_and_their_lines() -> None:
    """Each path has the line on which its key, or its entry, stands."""
    found = yaml_lines.parse(b"# first\nname: x\nstages:\n  - {users: 5}\n  -\n    users: 6\n", where="f")
    assert found.value == {"name": "x", "stages": [{"users": 5}, {"users": 6}]}
    assert found.lines[("name",)] == 2
    assert found.lines[("stages", 0, "users")] == 4
    assert found.lines[("stages", 1)] == 6
    assert found.lines[("stages", 1, "users")] == 6


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"), ("yes", "yes"), ("No", "No"), ("true", True), ("false", False), ("True", "True"),
        ("5", 5), ("-5", -5), ("007", "007"), ("0x10", "0x10"), ("1_000", "1_000"), ("12:30:45", "12:30:45"),
        ("1.5", 1.5), ("1e3", 1000.0), (".nan", ".nan"), (".inf", ".inf"), ("2026-01-01", "2026-01-01"),
        ("~", None), ("null", None), ("", None), ("'5'", "5"), ('"true"', "true"), ("=", "="),
    ],
)  # fmt: skip
def test_words_are_words(text: str, value: object) -> None:
    """Only true, false, null, decimal integers and decimal fractions are anything but text."""
    found = yaml_lines.parse(f"key: {text}".encode(), where="f").value
    assert found == {"key": value}
    assert type(found["key"]) is type(value)


def test_on_is_a_key_like_any_other() -> None:
    """YAML 1.1 would make it True."""
    assert yaml_lines.parse(b"{on: db, off: x, y: 1}", where="f").value == {"on": "db", "off": "x", "y": 1}


def test_an_alias_is_its_anchor_again() -> None:
    """Aliases are copies: a change to one does not reach the other."""
    found = yaml_lines.parse(b"a: &x {k: [1]}\nb: *x\n", where="f").value
    assert found == {"a": {"k": [1]}, "b": {"k": [1]}}
    assert found["a"] is not found["b"]


BOMB = b"a: &a [1,1,1,1,1,1,1,1,1,1]\n" + b"".join(
    b"%c: &%c [%s]\n" % (at + 1, at + 1, b",".join([b"*%c" % at] * 10)) for at in range(ord("a"), ord("h"))
)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "f:1: the file is empty (harness init writes a first experiment)"),
        (b"# nothing\n", "f:1: the file is empty (harness init writes a first experiment)"),
        (b"a: 1\na: 2\n", "f:2: the key 'a' stands twice (first on line 1) (keep one)"),
        (b"a: [1\n", "f:2: not valid YAML: ..."),
        (b"a: b: c\n", "f:1: not valid YAML: mapping values are not allowed ..."),
        (b"a: 1\n\tb: 2\n", "f:2: not valid YAML: while scanning ..."),
        (b"a: 1\nb: \x00\n", "f:2: not valid YAML: ..."),
        (b"a: 1\n---\nb: 2\n", "f:2: a second document begins here; a file holds one experiment"),
        (b"a: 1\nb: \xff\n", "f:2: the file is not UTF-8 text (save it as UTF-8)"),
        (b"a: !!python/object:os.system x\n", "f:1: tags such as tag:yaml.org,2002:python/object:os.system are not used here (write the value plainly)"),
        (b"? [a]\n: b\n", "f:1: a key must be a plain word"),
        (b"a: 1\nb: {{c}}\n", "f:2: a key must be a plain word (a text with {{a value}} stands in quotes)"),
        (b"a: *x\n", "f:1: the alias *x has no anchor before it"),
        (b"a: &x [*x]\n", "f:1: the alias *x has no anchor before it"),
        (b"[" * 100_000, "f:1: nested more than 30 deep"),
        (BOMB, "f:5: more than 20000 values (aliases count each time they are used)"),
        (b"a: " + b"9" * 5000, "f:1: the number has 5000 digits; at most 18 make sense here"),
        (b"a: 1e999", "f:1: the number is too large"),
        (b"a" * 300_000, "f: the file has 300000 bytes; an experiment has at most 262144"),
    ],
)  # fmt: skip
def test_what_is_no_document_is_refused_with_its_line(data: bytes, message: str) -> None:
    """One clear sentence, never a traceback, never a hang. After ... the parser's own words follow."""
    with pytest.raises(BadInput) as caught:
        yaml_lines.parse(data, where="f")
    known, _, _ = message.partition("...")
    assert str(caught.value)[: len(known)] == known
    assert str(caught.value) == message or message.endswith("...")


@settings(deadline=None)
@given(st.one_of(st.binary(max_size=200), st.text("ab:-[]{}#&*!|>'\"%@`?, \n\t1.~", max_size=80).map(str.encode)))
def test_any_bytes_are_a_document_or_bad_input(data: bytes) -> None:
    """Whatever the file holds."""
    try:
        yaml_lines.parse(data, where="f")
    except BadInput as error:
        assert str(error).startswith("f")
