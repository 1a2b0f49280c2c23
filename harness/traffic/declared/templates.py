"""Texts with {{values}}, prepared once and filled for each request; a text without values stays a plain text."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from json.encoder import encode_basestring_ascii
from typing import Any
from urllib.parse import quote, quote_plus

from harness.declared import Value, parts_of

Values = Mapping[str, Any]
Encode = Callable[[Any], str]

# What stands in a path on purpose: reserved and unreserved characters of RFC 3986, and escapes that are there already.
_IN_PATH = "%/:?@!$&'()*+,;=-._~[]"
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*").fullmatch


class Template:
    """Literal texts, each followed by a value with its encoding, and what comes after the last."""

    __slots__ = ("_parts", "_rest", "names")

    def __init__(self, parts: Iterable[tuple[str, str, Encode]], rest: str) -> None:
        self._parts = tuple(parts)
        self._rest = rest
        self.names = frozenset(name for _, name, _ in self._parts)

    def fill(self, values: Values) -> str:
        """The text. Raises KeyError for a value that is not there, ValueError for one that cannot stand there."""
        text = ""
        for literal, name, encode in self._parts:
            text += literal + encode(values[name])
        return text + self._rest


Text = str | Template


def filled(text: Text, values: Values) -> str:
    """A text, whichever of the two it is."""
    return text if isinstance(text, str) else text.fill(values)


class _Builder:
    """Puts literals and values together, in order."""

    def __init__(self) -> None:
        self._parts: list[tuple[str, str, Encode]] = []
        self._literal = ""

    def literal(self, text: str) -> None:
        self._literal += text

    def value(self, name: str, encode: Encode) -> None:
        self._parts.append((self._literal, name, encode))
        self._literal = ""

    def text(self, text: str, encode: Encode, literally: Callable[[str], str]) -> None:
        """The parts of a written text, its literals passed through `literally`."""
        for part in parts_of(text):
            if isinstance(part, Value):
                self.value(part.name, encode)
            else:
                self.literal(literally(part))

    def built(self) -> Text:
        return Template(self._parts, self._literal) if self._parts else self._literal


def plain(value: Any) -> str:
    """A value as text: true, null, 5, and JSON for what has an inside."""
    if type(value) is str:
        return value
    return str(value) if type(value) is int else json.dumps(value, ensure_ascii=False)


def header_value(value: Any) -> str:
    """A value in a header. Raises ValueError for one with a line break or beyond latin-1 (RFC 9110, 5.5)."""
    text = plain(value)
    if not _HEADER_VALUE(text):
        raise ValueError("a value with a line break, or beyond latin-1, cannot stand in a header")  # it may be a secret
    return text


def percent(value: Any) -> str:
    """A value in a path or query: everything but letters, digits and -._~ is escaped (RFC 3986, 2.1)."""
    text = plain(value)
    return text if text.isalnum() and text.isascii() else quote(text, safe="")  # ids are, and are the most


def form_value(value: Any) -> str:
    """A value as an HTML form sends it."""
    text = plain(value)
    return text if text.isalnum() and text.isascii() else quote_plus(text)


def json_value(value: Any) -> str:
    """A value in JSON."""
    return encode_basestring_ascii(value) if type(value) is str else json.dumps(value)


def text_of(written: str, encode: Encode = plain) -> Text:
    """A text as it is written."""
    builder = _Builder()
    builder.text(written, encode, str)
    return builder.built()


def target_of(path: str, query: Iterable[tuple[str, str]]) -> Text:
    """A path and its query."""
    builder = _Builder()
    builder.text(path, percent, lambda literal: quote(literal, safe=_IN_PATH))
    sign = "&" if "?" in path else "?"
    for name, value in query:
        builder.literal(f"{sign}{quote(name, safe='')}=")
        builder.text(value, percent, percent)
        sign = "&"
    return builder.built()


def form_of(pairs: Iterable[tuple[str, str]]) -> Text:
    """A body of application/x-www-form-urlencoded."""
    builder = _Builder()
    for number, (name, value) in enumerate(pairs):
        builder.literal(("&" if number else "") + quote_plus(name) + "=")
        builder.text(value, form_value, form_value)
    return builder.built()


def json_of(tree: object) -> Text:
    """A JSON body; a text that is nothing but one value keeps that value's type."""
    builder = _Builder()
    _write(tree, builder)
    return builder.built()


def _write(tree: object, builder: _Builder) -> None:
    if isinstance(tree, Mapping):
        builder.literal("{")
        for number, (key, value) in enumerate(tree.items()):
            builder.literal((", " if number else "") + json.dumps(str(key)) + ": ")
            _write(value, builder)
        builder.literal("}")
    elif isinstance(tree, list | tuple):
        builder.literal("[")
        for number, value in enumerate(tree):
            builder.literal(", " if number else "")
            _write(value, builder)
        builder.literal("]")
    elif isinstance(tree, str):
        parts = parts_of(tree)
        if len(parts) == 1 and isinstance(parts[0], Value):
            builder.value(parts[0].name, json_value)
        else:
            builder.literal('"')
            builder.text(tree, _inside_json, _inside_json)
            builder.literal('"')
    else:
        builder.literal(json.dumps(tree))


def _inside_json(value: Any) -> str:
    return encode_basestring_ascii(plain(value))[1:-1]
