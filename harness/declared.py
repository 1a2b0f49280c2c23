"""Declared traffic: what users do, written in the experiment itself, as frozen records. Pure.

The texts in it may hold {{values}}: columns of data ({{user.name}}), what an earlier step extracted ({{token}}), and
the built-in ones. Times are nanoseconds. `to_json` and `from_json` carry it to the traffic processes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeVar, cast

from harness.units import format_percent

# Values that are always there. `seq` and `uuid` are drawn anew for each iteration and hold throughout it.
BUILT_IN: Mapping[str, str] = {
    "seq": "a number that no other iteration has, over all workers, from 0",
    "uuid": "a random UUID (version 4) for each iteration, seeded",
    "user_number": "a number that no other user has, over all workers, from 0",
}
METHODS = ("get", "post", "put", "patch", "delete", "head", "options")
BODIES = ("json", "form", "body", "body_file")
SOURCES = ("json", "header", "regex", "cookie")

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]
BodyKind = Literal["", "json", "form", "body", "body_file"]
Source = Literal["json", "header", "regex", "cookie"]
Pairs = tuple[tuple[str, str], ...]

_VALUE = re.compile(r"\{\{\{\{|\{\{\s*([^{}]*?)\s*\}\}|\{\{")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Value:
    """A {{name}} within a text."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Between:
    """A wait, drawn evenly from a range; both ends alike: always the same."""

    least_ns: int
    most_ns: int

    @property
    def mean_ns(self) -> int:
        """How long it is on average."""
        return (self.least_ns + self.most_ns) // 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Extraction:
    """A value taken from an answer: a JMESPath, a header's name, a regular expression or a cookie's name in `what`."""

    name: str
    source: Source
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What an answer must be like. `statuses` are inclusive ranges; none: below 400. `under_ns` 0: any time."""

    statuses: tuple[tuple[int, int], ...] = ()
    body: str = ""
    json: tuple[tuple[str, object], ...] = ()
    headers: Pairs = ()
    under_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """A step that sends one request, recorded as "METHOD name"; `url` is a path. `content` is the body as written."""

    method: Method
    url: str
    name: str
    query: Pairs = ()
    headers: Pairs = ()
    body_kind: BodyKind = ""
    content: object = None
    expect: Expectation = Expectation()
    extract: tuple[Extraction, ...] = ()


Step = Send | Between


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """What one iteration may be: steps one after another, drawn by weight."""

    name: str
    weight: int
    steps: tuple[Step, ...]

    @property
    def sends(self) -> tuple[Send, ...]:
        """Its requests, without the waits."""
        return tuple(step for step in self.steps if isinstance(step, Send))


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSource:
    """Rows of a file (CSV or JSON lines), one for each user or for each iteration.

    `columns` and `rows` are what was found when the experiment was read; none and 0 when nobody looked.
    """

    name: str
    file: str
    order: Literal["sequential", "random"] = "sequential"
    per: Literal["user", "iteration"] = "user"
    at_end: Literal["again", "stop"] = "again"
    columns: tuple[str, ...] = ()
    rows: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredTraffic:
    """All of it. `login` is done once by each user; `pace_ns` is from one iteration of a user to its next, or 0."""

    activities: tuple[Activity, ...]
    login: tuple[Step, ...] = ()
    data: tuple[DataSource, ...] = ()
    headers: Pairs = ()
    think: Between | None = None
    pace_ns: int = 0

    def files(self) -> tuple[str, ...]:
        """Every file that it reads, as written: relative to the experiment's `base_dir`."""
        steps = [*self.login, *(step for activity in self.activities for step in activity.steps)]
        bodies = [str(step.content) for step in steps if isinstance(step, Send) and step.body_kind == "body_file"]
        return tuple(dict.fromkeys([*(source.file for source in self.data), *bodies]))

    @property
    def endpoints(self) -> tuple[str, ...]:
        """What its requests are called in results and limits: "METHOD name", those of the login last."""
        steps = [*(step for activity in self.activities for step in activity.steps), *self.login]
        return tuple(dict.fromkeys(f"{step.method} {step.name}" for step in steps if isinstance(step, Send)))

    def requests_to(self, endpoint: str) -> float:
        """How many an iteration makes of them on average, when nothing fails; the login is not counted."""
        called = ((share, f"{send.method} {send.name}") for activity, share in self.shares() for send in activity.sends)
        return sum(share for share, name in called if name == endpoint)

    def judged(self, endpoint: str, unit: Literal["users", "rate"]) -> float:
        """Requests that a limit on `endpoint` ("": all) judges, for each iteration (a rate) or each request (users)."""
        every = self.requests_per_iteration
        asked = self.requests_to(endpoint) if endpoint else every
        return asked if unit == "rate" else asked / every if every else 0.0

    def shares(self) -> tuple[tuple[Activity, float], ...]:
        """Each activity with its share of the iterations."""
        total = sum(activity.weight for activity in self.activities)
        return tuple((activity, activity.weight / total) for activity in self.activities)

    @property
    def requests_per_iteration(self) -> float:
        """On average, when nothing fails; the login is not counted."""
        return sum(share * len(activity.sends) for activity, share in self.shares())

    @property
    def waits_ns(self) -> int:
        """The mean of the waits within an iteration."""
        waits = ((share, step) for activity, share in self.shares() for step in activity.steps)
        return round(sum(share * step.mean_ns for share, step in waits if isinstance(step, Between)))


def in_words(traffic: DeclaredTraffic) -> Iterator[tuple[str, str]]:
    """What will be sent, in which shares and with which data: a label and a text each."""
    shares = [f"{format_percent(share)} {_name_of(activity)}" for activity, share in traffic.shares()]
    yield "requests", ", ".join(shares)
    if traffic.login:
        yield "login", ", ".join(f"{step.method} {step.name}" for step in traffic.login if isinstance(step, Send))
    for source in traffic.data:
        rows = f"{source.rows:,} rows" if source.rows else "not looked at"
        end = f", then {source.at_end}" if source.order == "sequential" else ""
        yield "data", f"{source.name}: {source.file} ({rows}), {source.order}, one per {source.per}{end}"


def _name_of(activity: Activity) -> str:
    """What limits and results call it; of several requests its name and how many."""
    sends = activity.sends
    if len(activity.steps) == 1 and sends and sends[0].name == activity.name:
        return f"{sends[0].method} {activity.name}"
    return f"{activity.name} ({len(sends)} request{'s' * (len(sends) != 1)})"


def parts_of(text: str) -> tuple[str | Value, ...]:
    """Literal texts and the values between them; {{{{ stands for {{ itself.

    Raises ValueError for a {{ that is not closed and for one that names nothing.
    """
    found: list[str | Value] = []
    end = 0
    for match in _VALUE.finditer(text):
        found.append(text[end : match.start()])
        end = match.end()
        if match[0] == "{{{{":
            found.append("{{")
        elif match[1] is None:
            raise ValueError("{{ is not closed: write {{name}}, and {{{{ for {{ itself")
        elif not match[1]:
            raise ValueError("{{ }} names no value")
        else:
            found.append(Value(match[1]))
    found.append(text[end:])
    return tuple(part for part in found if part != "")


def texts_in(tree: object) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every text that stands as a value in a tree of mappings and lists, with its path."""
    if isinstance(tree, str):
        yield (), tree
    elif isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from (((str(key), *path), text) for path, text in texts_in(value))
    elif isinstance(tree, list | tuple):
        for number, value in enumerate(tree):
            yield from (((number, *path), text) for path, text in texts_in(value))


def to_json(traffic: DeclaredTraffic) -> dict[str, Any]:
    """Plain JSON values that `from_json` turns back."""
    return asdict(traffic)


def from_json(record: Mapping[str, Any]) -> DeclaredTraffic:
    """What `to_json` wrote, also after a way through text."""
    return DeclaredTraffic(
        activities=_each(
            record["activities"], lambda one: Activity(**{**one, "steps": _each(one["steps"], _step_from)})
        ),
        login=_each(record["login"], _step_from),
        data=_each(record["data"], lambda one: DataSource(**{**one, "columns": tuple(one["columns"])})),
        headers=_pairs(record["headers"]),
        think=Between(**record["think"]) if record["think"] else None,
        pace_ns=record["pace_ns"],
    )


def _step_from(record: dict[str, Any]) -> Step:
    if "least_ns" in record:
        return Between(**record)
    expect = record["expect"]
    return Send(
        **{
            **record,
            "query": _pairs(record["query"]),
            "headers": _pairs(record["headers"]),
            "expect": Expectation(
                **{
                    **expect,
                    "statuses": _each(expect["statuses"], tuple),
                    "json": _each(expect["json"], tuple),
                    "headers": _pairs(expect["headers"]),
                }
            ),
            "extract": _each(record["extract"], lambda one: Extraction(**one)),
        }
    )


def _pairs(found: Sequence[Sequence[str]]) -> Pairs:
    return cast("Pairs", _each(found, tuple))


def _each(found: Sequence[Any], make: Callable[[Any], T]) -> tuple[T, ...]:
    return tuple(make(item) for item in found)
