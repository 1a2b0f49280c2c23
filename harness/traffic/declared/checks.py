"""What an answer must be like and what is taken from it: one function of an answer, made for each step."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Protocol

import jmespath

from harness.declared import Expectation, Extraction
from harness.traffic.declared.templates import Template, Values, filled, json_of, text_of
from harness.units import format_duration

_MOST_SHOWN = 80


class Fields(Protocol):
    """Header fields by name, in any case."""

    def get(self, name: str, /) -> str | None:
        """The value, or None."""

    def all(self, name: str, /) -> list[str]:
        """Each value of a field that came several times."""


class Answer(Protocol):
    """What is looked at of an answer that came. `content` raises ValueError when it cannot be decoded."""

    @property
    def status_code(self) -> int:
        """The status."""

    @property
    def headers(self) -> Fields:
        """Its header fields."""

    @property
    def content(self) -> bytes | None:
        """The body."""

    @property
    def text(self) -> str | None:
        """The body as text."""

    @property
    def service_us(self) -> int:
        """How long it took."""


class NotAsExpectedError(Exception):
    """What is wrong with an answer, in words for people."""


Check = Callable[[Answer, dict[str, Any]], None]
_Page = dict[str, Any]


class Judge:
    """Looks at answers of one step. `looks` is False when a status below 400 is all that is wanted."""

    def __init__(self, step: str, expect: Expectation, extract: tuple[Extraction, ...]) -> None:
        self._step = step
        self._statuses = expect.statuses
        self._body = text_of(expect.body) if expect.body else None
        self._headers = tuple((name, text_of(value)) for name, value in expect.headers)
        wanted = [(path, *_expected(value)) for path, value in expect.json]
        self._json = tuple((path, jmespath.compile(path), value_of) for path, value_of, _ in wanted)
        self._under_us = expect.under_ns // 1000
        self._extract = tuple(_extractor(one) for one in extract)
        self._reads_json = bool(self._json) or any(one.source == "json" for one in extract)
        self.looks = expect != Expectation() or bool(extract)
        texts = (self._body, *(text for _, text in self._headers))
        self.names: frozenset[str] = frozenset().union(
            *(names for _, _, names in wanted), *(text.names for text in texts if isinstance(text, Template))
        )

    def look(self, answer: Answer, values: dict[str, Any]) -> None:
        """Put what is extracted into `values`. Raises NotAsExpectedError for the first thing that is wrong."""
        self._look_at_status(answer.status_code)
        if self._under_us and answer.service_us > self._under_us:
            took, bound = format_duration(answer.service_us * 1000), format_duration(self._under_us * 1000)
            raise NotAsExpectedError(f"expected an answer under {bound}, got one after {took}")
        for name, wanted in self._headers:
            self._look_at_header(name, answer.headers.get(name), filled(wanted, values))
        try:
            self._look_at_body(answer, values)
        except NotAsExpectedError:
            raise
        except (ValueError, RecursionError) as error:
            raise NotAsExpectedError(f"the body cannot be read: {error}") from error

    def _look_at_status(self, status: int) -> None:
        statuses = self._statuses
        if not statuses:
            if status >= 400:
                raise NotAsExpectedError(f"expected a status below 400, got {status}")
            return
        for least, most in statuses:
            if least <= status <= most:
                return
        raise NotAsExpectedError(f"expected status {_status_words(statuses)}, got {status}")

    @staticmethod
    def _look_at_header(name: str, got: str | None, wanted: str) -> None:
        if got is None or wanted not in got:
            raise NotAsExpectedError(f"expected header {name} with {_short(wanted)}, got {_short(got)}")

    def _look_at_body(self, answer: Answer, values: dict[str, Any]) -> None:
        if self._body is not None:
            wanted = filled(self._body, values)
            if wanted not in (answer.text or ""):
                raise NotAsExpectedError(f"expected a body with {_short(wanted)}, got {_short(answer.text)}")
        page = _read_json(answer) if self._reads_json else None
        for path, expression, value_of in self._json:
            expected, got = value_of(values), _search(expression, page)
            if got != expected:
                raise NotAsExpectedError(f"expected {_json(expected)} at json {path}, got {_json(got)}")
        for extraction, take in self._extract:
            value = take(answer, page)
            if value is None:
                where = f"{extraction.source} {extraction.what}"
                raise NotAsExpectedError(f"step {self._step}: nothing found for {extraction.name} at {where}")
            values[extraction.name] = value


def _expected(value: object) -> tuple[Callable[[Values], Any], frozenset[str]]:
    """The value that is wanted, given the others, and the names of those that it needs."""
    text = json_of(value)
    if isinstance(text, str):
        return (lambda _: value), frozenset()
    return (lambda values: json.loads(text.fill(values))), text.names


def _extractor(extraction: Extraction) -> tuple[Extraction, Callable[[Answer, Any], Any]]:
    return extraction, _MAKERS[extraction.source](extraction.what)


def _from_json(what: str) -> Callable[[Answer, Any], Any]:
    expression = jmespath.compile(what)
    return lambda _, page: _search(expression, page)


def _from_header(what: str) -> Callable[[Answer, Any], Any]:
    return lambda answer, _: answer.headers.get(what)


def _from_regex(what: str) -> Callable[[Answer, Any], Any]:
    pattern = re.compile(what)

    def find(answer: Answer, _: Any) -> Any:
        match = pattern.search(answer.text or "")
        return match and match[pattern.groups]

    return find


def _from_cookie(what: str) -> Callable[[Answer, Any], Any]:
    def find(answer: Answer, _: Any) -> Any:
        for line in answer.headers.all("set-cookie"):
            name, equals, value = line.partition(";")[0].partition("=")
            if equals and name.strip() == what:
                return value.strip()
        return None

    return find


_MAKERS: dict[str, Callable[[str], Callable[[Answer, Any], Any]]] = {
    "json": _from_json,
    "header": _from_header,
    "regex": _from_regex,
    "cookie": _from_cookie,
}


def _read_json(answer: Answer) -> Any:
    try:
        return json.loads(answer.content or b"")
    except (ValueError, RecursionError) as error:
        raise NotAsExpectedError(f"expected a body of JSON, got {_short(answer.text)}") from error


def _search(expression: Any, page: Any) -> Any:
    try:
        return expression.search(page)
    except (jmespath.exceptions.JMESPathError, TypeError, ArithmeticError):
        # A function of the expression that does not fit what came: max_by lets TypeError out, ceil of 1e999 Overflow.
        return None


def _status_words(statuses: tuple[tuple[int, int], ...]) -> str:
    words = [str(least) if least == most else f"{least // 100}xx" for least, most in statuses]
    return " or ".join(words)


def _json(value: Any) -> str:
    return _cut(json.dumps(value, ensure_ascii=False, default=str))


def _short(text: str | None) -> str:
    return "nothing" if not text else _cut(repr(text[: _MOST_SHOWN + 1]))


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_SHOWN else text[: _MOST_SHOWN - 3] + "..."
