"""YAML as plain values, with the line on which each stands. Stricter than YAML 1.1 where 1.1 surprises.

Only `true` and `false` are booleans (so `on:` is a word), a key may stand once, there are no tags, no merge keys and no
dates; size, depth and the expansion of aliases are bounded. Everything wrong is a Problem, never a traceback.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

from harness.errors import BadInput, Problem

Path = tuple[str | int, ...]
Tree = str | int | float | bool | None | list["Tree"] | dict[str, "Tree"]

MAX_BYTES = 256 * 1024
MAX_DEPTH = 30
MAX_VALUES = 20_000
_MAX_DIGITS = 18

_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None, "~": None, "": None}

_Parser = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A parsed file: the value and the line (from 1) of each path in it."""

    value: Tree
    lines: dict[Path, int]


def parse(data: bytes, *, where: str) -> Document:
    """The one document in `data`. Raises BadInput with `where:line` and what is wrong."""
    if len(data) > MAX_BYTES:
        raise _bad(where, f"the file has {len(data)} bytes; an experiment has at most {MAX_BYTES}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _bad(f"{where}:{line}", "the file is not UTF-8 text", hint="save it as UTF-8") from error
    return _parse_text(text, where=where)


def scalar(text: str) -> str | int | float | bool | None:
    """The value of a plain (unquoted) scalar. Raises ValueError for a number that is too large to be meant."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        if len(text) > _MAX_DIGITS:
            raise ValueError(f"the number has {len(text)} digits; at most {_MAX_DIGITS} make sense here")
        return int(text)
    if _FLOAT.fullmatch(text):
        value = float(text)
        if not math.isfinite(value):
            raise ValueError("the number is too large")
        return value
    return text


def _parse_text(text: str, *, where: str) -> Document:
    try:
        builder = _Builder(where=where, events=yaml.parse(text, Loader=_Parser))
        return Document(value=builder.document(), lines=builder.lines)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{where}:{mark.line + 1}" if mark else where
        what = " ".join(part for part in (error.context, error.problem) if part)
        raise _bad(place, f"not valid YAML: {what}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _bad(f"{where}:{line}", f"not valid YAML: {error.reason}", hint="remove the control character") from error
    except yaml.YAMLError as error:
        raise _bad(where, f"not valid YAML: {error}") from error


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


def _bad(where: str, message: str, *, hint: str = "") -> BadInput:
    return BadInput(problems=[Problem(where=where, path="", message=message, hint=hint)])


@dataclass(slots=True, kw_only=True)
class _Builder:
    """Reads events (not nodes, so that depth and aliases are bounded before anything is built)."""

    where: str
    events: Iterator[yaml.Event]
    lines: dict[Path, int] = field(default_factory=dict)
    _anchors: dict[str, tuple[Path, Tree]] = field(default_factory=dict)
    _values: int = 0

    def document(self) -> Tree:
        self._expect(yaml.StreamStartEvent)
        first = next(self.events)
        if isinstance(first, yaml.StreamEndEvent):
            raise _bad(f"{self.where}:1", "the file is empty", hint="harness init writes a first experiment")
        value = self._value(next(self.events), ())
        self._expect(yaml.DocumentEndEvent)
        rest = next(self.events)
        if not isinstance(rest, yaml.StreamEndEvent):
            raise self._wrong(rest, "a second document begins here; a file holds one experiment")
        return value

    def _expect(self, kind: type[yaml.Event]) -> None:
        event = next(self.events)
        if not isinstance(event, kind):
            raise self._wrong(event, "not one whole YAML document")

    def _wrong(self, event: yaml.Event, message: str, *, hint: str = "") -> BadInput:
        return _bad(f"{self.where}:{_line(event)}", message, hint=hint)

    def _value(self, event: yaml.Event, path: Path) -> Tree:
        self.lines.setdefault(path, _line(event))
        self._values += 1
        if self._values > MAX_VALUES:
            raise self._wrong(event, f"more than {MAX_VALUES} values (aliases count each time they are used)")
        if len(path) > MAX_DEPTH:
            raise self._wrong(event, f"nested more than {MAX_DEPTH} deep")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, path)
        if not isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent):
            raise self._wrong(event, "not one whole YAML document")
        if event.tag is not None and event.tag != "!":
            raise self._wrong(event, f"tags such as {event.tag} are not used here", hint="write the value plainly")
        value = self._content(event, path)
        if event.anchor is not None:
            self._anchors[event.anchor] = (path, value)
        return value

    def _content(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent, path: Path) -> Tree:
        if isinstance(event, yaml.SequenceStartEvent):
            return self._list(path)
        if not isinstance(event, yaml.ScalarEvent):
            return self._mapping(path)
        if not event.implicit[0]:
            return str(event.value)
        try:
            return scalar(event.value)
        except ValueError as error:
            raise self._wrong(event, str(error)) from error

    def _list(self, path: Path) -> list[Tree]:
        items: list[Tree] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            items.append(self._value(event, (*path, len(items))))
        return items

    def _mapping(self, path: Path) -> dict[str, Tree]:
        entries: dict[str, Tree] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                hint = "a text with {{a value}} stands in quotes" if isinstance(event, yaml.MappingStartEvent) else ""
                raise self._wrong(event, "a key must be a plain word", hint=hint)
            key = str(event.value)
            if key in entries:
                first = self.lines[(*path, key)]
                raise self._wrong(event, f"the key {key!r} stands twice (first on line {first})", hint="keep one")
            self.lines[(*path, key)] = _line(event)
            entries[key] = self._value(next(self.events), (*path, key))
        return entries

    def _alias(self, event: yaml.AliasEvent, path: Path) -> Tree:
        if event.anchor not in self._anchors:
            raise self._wrong(event, f"the alias *{event.anchor} has no anchor before it")
        return self._copy(self._anchors[event.anchor][1], event, path)

    def _copy(self, value: Tree, event: yaml.Event, path: Path) -> Tree:
        self._values += 1
        if self._values > MAX_VALUES:
            raise self._wrong(event, f"more than {MAX_VALUES} values (aliases count each time they are used)")
        if isinstance(value, list):
            return [self._copy(item, event, (*path, number)) for number, item in enumerate(value)]
        if isinstance(value, dict):
            return {key: self._copy(item, event, (*path, key)) for key, item in value.items()}
        return value
