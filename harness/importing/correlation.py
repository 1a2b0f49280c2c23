"""What of a recorded session may not be sent again as it is: values the target gave out, and secrets.

A value is taken from an earlier answer only where that is certain: a text that looks like a token or an id, in exactly
one field of a JSON answer, that was not sent before and is sent later, whole. Numbers and parts of texts are left.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import unquote

from harness.importing.calls import CREDENTIALS, Body, Call, JsonValue, literal
from harness.importing.security import column, slot
from harness.secrets import is_secret_name, mask_text

MAX_FIELDS = 20_000
_TOKEN = re.compile(r"[A-Za-z0-9_\-.=+/~]{8,4000}")
_LONG = 20
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_TAKEN_NAMES = ("seq", "uuid", "user_number")
"""Values that declared traffic has of its own."""

_Change = Callable[[str, str], str]
"""(name of the field, its text) -> the template to write instead, or an empty text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A recorded call, its Authorization header, and the JSON that was answered (else None)."""

    call: Call
    authorization: str
    answer: JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Correlated:
    """The calls to write, the columns of the credentials file, and what to tell."""

    calls: tuple[Call, ...]
    credentials: Mapping[str, str]
    notes: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class _Given:
    """A value that the target gave out: in which answer, at which JMESPath, and under which name it is kept."""

    answered: int
    path: str
    name: str = ""


def correlated(exchanges: list[Exchange]) -> Correlated:
    """The same calls with values taken from earlier answers and secrets from the credentials file."""
    given = _given(exchanges)
    writer = _Writer(given=given)
    calls = [writer.written(number, exchange) for number, exchange in enumerate(exchanges)]
    taken: dict[int, dict[str, str]] = {}
    for one in given.values():
        if one.name:
            taken.setdefault(one.answered, {})[one.name] = one.path
    calls = [replace(call, extract=taken.get(number, {})) for number, call in enumerate(calls)]
    names = [name for found in taken.values() for name in found]
    notes = (f"taken from an earlier answer: {', '.join(names)}",) if names else ()
    return Correlated(calls=tuple(calls), credentials=writer.columns, notes=notes)


def _given(exchanges: list[Exchange]) -> dict[str, _Given]:
    """Each token of the answers that had not been seen before, where it stands in one field only."""
    given: dict[str, _Given] = {}
    seen: set[str] = set()
    for number, exchange in enumerate(exchanges):
        seen.update(_sent(exchange))
        fields = [(path, text) for path, text in _fields(exchange.answer) if _is_token(text)]
        counts = Counter(text for _, text in fields)
        for path, text in fields:
            if text not in seen and counts[text] == 1:
                given[text] = _Given(answered=number, path=path)
        seen.update(counts)
    return given


def _is_token(text: str) -> bool:
    """Letters with digits, or long: a word such as `available` is no id."""
    return _TOKEN.fullmatch(text) is not None and (len(text) >= _LONG or any(letter.isdigit() for letter in text))


def _fields(answer: JsonValue) -> Iterator[tuple[str, str]]:
    """JMESPath (jmespath.org) and text of every text in an answer, up to a limit."""
    waiting: list[tuple[str, JsonValue]] = [("", answer)]
    for _ in range(MAX_FIELDS):
        if not waiting:
            return
        path, value = waiting.pop()
        if isinstance(value, str) and path:
            yield path, value
        elif isinstance(value, dict):
            waiting += [(_below(path, key), item) for key, item in reversed(value.items())]
        elif isinstance(value, list):
            waiting += [(f"{path}[{number}]", item) for number, item in reversed(list(enumerate(value)))]


def _below(path: str, key: str) -> str:
    plain = key if _IDENTIFIER.fullmatch(key) else '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"{path}.{plain}" if path else plain


def _sent(exchange: Exchange) -> Iterator[str]:
    """Every whole text of a call that could be a token."""
    found: list[str] = []

    def note(_: str, text: str) -> str:
        found.append(text)
        return ""

    _changed(exchange.call, note)
    yield from found
    yield exchange.authorization.rpartition(" ")[2]


def _changed(call: Call, change: _Change) -> Call:
    """The call with each of its texts changed: segments of the path, values of query, headers and body."""
    path, mark, query = call.path.partition("?")
    segments = [_segment(segment, change) for segment in path.split("/")]
    body = call.body
    if body is not None:
        value = literal(body.value) if body.kind == "body" else _changed_value("", body.value, change)
        body = Body(kind=body.kind, value=value)
    return replace(
        call,
        path="/".join(segments) + mark + query,
        query={name: _changed_value(name, value, change) for name, value in call.query.items()},
        headers={name: _word_by_word(name, value, change) for name, value in call.headers.items()},
        body=body,
    )


def _segment(segment: str, change: _Change) -> str:
    return change("", unquote(segment)) or segment


def _word_by_word(name: str, value: str, change: _Change) -> str:
    return " ".join(change(name, word) or str(literal(word)) for word in value.split(" "))


def _changed_value(name: str, value: JsonValue, change: _Change) -> JsonValue:
    if isinstance(value, str):
        return change(name, value) or literal(value)
    if isinstance(value, dict):
        return {key: _changed_value(key, item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [_changed_value(name, item, change) for item in value]
    return value


@dataclass(slots=True, kw_only=True)
class _Writer:
    """Rewrites calls in their order, and remembers which values were needed."""

    given: dict[str, _Given]
    columns: dict[str, str] = field(default_factory=dict)
    _names: set[str] = field(default_factory=lambda: {CREDENTIALS, *_TAKEN_NAMES})
    _secrets: dict[tuple[str, str], str] = field(default_factory=dict)

    def written(self, number: int, exchange: Exchange) -> Call:
        """The call as an experiment may hold it."""

        def change(name: str, text: str) -> str:
            one = self.given.get(text)
            if one is not None and one.answered < number:
                return self._taken(one)
            return self._secret(name, text) if text and name and is_secret_name(name) else ""

        call = _changed(exchange.call, change)
        if exchange.authorization:
            scheme, _, word = exchange.authorization.rpartition(" ")
            proof = f"{scheme} {change('authorization', word)}".strip()
            call = replace(call, headers={**call.headers, "Authorization": proof})
        return _masked(call)

    def _taken(self, one: _Given) -> str:
        if not one.name:
            last = re.findall(r"[A-Za-z_][\w-]*", one.path)
            one.name = self._free(column(last[-1]) if last else "value")
        return "{{" + one.name + "}}"

    def _secret(self, name: str, text: str) -> str:
        if (name, text) not in self._secrets:
            into = self._free(column(name))
            self._secrets[name, text] = into
            self.columns[into] = f"what was recorded as {name}"
        return slot(self._secrets[name, text])

    def _free(self, wanted: str) -> str:
        name, number = wanted, 1
        while name in self._names:
            number += 1
            name = f"{wanted}_{number}"
        self._names.add(name)
        return name


def _masked(call: Call) -> Call:
    """The call without secrets in what is not taken apart: a body of text, a query with repeated names."""
    path = mask_text(call.path) if "?" in call.path else call.path
    body = call.body
    if body is not None and body.kind == "body" and isinstance(body.value, str):
        body = Body(kind="body", value=mask_text(body.value))
    if path == call.path and body == call.body:
        return call
    return replace(call, path=path, body=body, remarks=(*call.remarks, "a secret was masked here: fill in ***"))
