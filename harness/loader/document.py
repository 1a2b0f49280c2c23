"""The shapes of an experiment file: flat pydantic models, one for each mapping that a person writes.

A model checks what can be seen within one mapping; `sections.py` puts the records together and `consistency.py`
checks what spans several. The JSON Schema is made from these models (see schema.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError, WithJsonSchema

from harness.experiment import Ready
from harness.loader.problems import Path, Problems, did_you_mean, shown
from harness.units import NS_PER_S, duration_ns, rate_per_s

MAX_USERS = 10_000_000
MAX_SPAN_NS = 30 * 24 * 3600 * NS_PER_S
MAX_PROCESSES = 256
MAX_RATE = 10_000_000.0
MAX_TEXT = 10_000
MAX_ENTRIES = 500

# A masked value (***) must be readable again: old runs are judged from their masked document.
RATE_PATTERN = r"^\s*\d+(\.\d+)?\s*/\s*(s|min|m|h)\s*$"
BIND_PATTERN = r"^[^\s:/]+(:\d{1,5})?$"
DURATION_PATTERN = r"^\s*(\d+(\.\d+)?\s*(ns|us|ms|min|s|m|h)\s*)+$"
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$"
TAG_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$"
ADDRESS_PATTERN = r"^([a-z][a-z0-9+.-]*://[^\s/?#]+([/?#]\S*)?|[^\s:/]+:\d{1,5}|\S*\*\*\*\S*)$"
LISTEN_PATTERN = r"^(|[^\s:/]+(:\d{1,5})?|:\d{1,5})$"
READY_PATTERN = r"^(tcp|http\s+/\S*)(\s+within\s+\S+)?$"
SERIES_PATTERN = r"^[A-Za-z_:][A-Za-z0-9_:.]*(\{[^{}]*\})?$"
PROMETHEUS_PATTERN = r"^(https?://\S+|[A-Za-z0-9][A-Za-z0-9_.-]*/\S*|\{[A-Za-z0-9_.-]+\}/\S*)$"
TOXIPROXY_PATTERN = r"^(auto|embedded|server|https?://\S+|\S*\*\*\*\S*)$"


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected a text, got {shown(value)}" + _quote_it(value))
    if len(value) > MAX_TEXT:
        raise ValueError(f"expected a text of at most {MAX_TEXT} characters, got {len(value)}")
    return value


def _quote_it(value: object) -> str:
    return "; put it in quotes" if isinstance(value, int | float) and not isinstance(value, bool) else ""


def _filled(value: object) -> str:
    text = _text(value)
    if not text.strip():
        raise ValueError("expected a text, got an empty one")
    return text


def matching(pattern: str, expected: str) -> Callable[[object], str]:
    """The reader of a text that fits a pattern."""
    compiled = re.compile(pattern, re.ASCII)

    def read(value: object) -> str:
        text = _text(value)
        if compiled.fullmatch(text) is None:
            raise ValueError(f"expected {expected}, got {shown(text)}")
        return text

    return read


def _duration(value: object) -> int:
    if isinstance(value, str) and len(value) > 40:
        raise ValueError(f"expected a duration such as 30s, got a text of {len(value)} characters")
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f"expected a duration such as 30s, got {value!r}")
    span_ns = duration_ns(value)
    if span_ns > MAX_SPAN_NS:
        raise ValueError(f"expected a duration of at most 30 days, got {value!r}")
    return span_ns


def span(value: object) -> int:
    """Nanoseconds of a written duration above zero."""
    span_ns = _duration(value)
    if span_ns == 0:
        raise ValueError(f"expected a duration above zero, got {value!r}")
    return span_ns


def whole(least: int, most: int) -> Callable[[object], int]:
    """The reader of a whole number in a range."""

    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"expected a whole number, got {shown(value)}")
        if not least <= value <= most:
            raise ValueError(f"expected a whole number from {least} to {most}, got {shown(value)}")
        return value

    return read


def _rate(value: object) -> float:
    """Arrivals a second. A bare number has no unit, and which one was meant cannot be known."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f"expected a rate with its unit such as {value:g}/s or {value:g}/min, got {value!r}")
    per_s = rate_per_s(value)
    if per_s > MAX_RATE:
        raise ValueError(f"expected a rate of at most {MAX_RATE:,.0f}/s, got {value!r}")
    return per_s


def _curve(value: object) -> tuple[tuple[int, float], ...]:
    """Points (ns, level), rising in time from 0s; all levels are users or all are rates."""
    expected = "expected points such as [[0s, 100/s], [30s, 400/s]]"
    if not isinstance(value, list) or not all(isinstance(point, list) and len(point) == 2 for point in value):
        raise ValueError(f"{expected}, got {shown(value)}")
    points = tuple((_duration(at), _curve_level(level)) for at, level in value)
    if len(points) < 2 or points[0][0] != 0 or any(first[0] >= second[0] for first, second in pairwise(points)):
        raise ValueError(f"{expected}: two or more, the first at 0s and each later than the one before")
    if len({isinstance(level, str) for _, level in value}) > 1:
        raise ValueError(f"{expected}: all levels as rates, or all as users")
    return points


def _curve_level(value: object) -> float:
    return _rate(value) if isinstance(value, str) else whole(0, MAX_USERS)(value)


def _processes(value: object) -> int:
    """How many, 0 for auto."""
    if value == "auto":
        return 0
    try:
        return whole(1, MAX_PROCESSES)(value)
    except ValueError as error:
        raise ValueError(f"{error} (or auto)") from error


def _ready(value: object) -> Ready:
    text = value if isinstance(value, str) else ""
    match = re.fullmatch(r"(?:(tcp)|http\s+(/\S*))(?:\s+within\s+(\S+))?", text.strip())
    if match is None:
        raise ValueError(f"expected tcp or http /path, and perhaps within 60s, got {shown(value)}")
    within_ns = span(match[3]) if match[3] else 30 * NS_PER_S
    return Ready(how="tcp", within_ns=within_ns) if match[1] else Ready(how="http", path=match[2], within_ns=within_ns)


def _setting(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return _text(str(value))
    raise ValueError(f"expected a text or a number, got {shown(value)}")


def string(pattern: str, about: str) -> WithJsonSchema:
    """The schema of a text."""
    return WithJsonSchema({"type": "string", "pattern": pattern, "description": about})


def integer(least: int, most: int, about: str) -> WithJsonSchema:
    """The schema of a whole number."""
    return WithJsonSchema({"type": "integer", "minimum": least, "maximum": most, "description": about})


NAME_WORDS = "a name of letters, digits, - _ . (at most 63, the first a letter or digit)"

Text = Annotated[str, PlainValidator(_text), WithJsonSchema({"type": "string"})]
Filled = Annotated[str, PlainValidator(_filled), string(r"\S", "a text")]
Name = Annotated[str, PlainValidator(matching(NAME_PATTERN, NAME_WORDS)), string(NAME_PATTERN, "a name")]
Tag = Annotated[str, PlainValidator(matching(TAG_PATTERN, "a tag of Locust")), string(TAG_PATTERN, "a tag")]
Duration = Annotated[int, PlainValidator(_duration), string(DURATION_PATTERN, "a duration such as 30s")]
Span = Annotated[int, PlainValidator(span), string(DURATION_PATTERN, "a duration above zero such as 30s")]
Users = Annotated[int, PlainValidator(whole(0, MAX_USERS)), integer(0, MAX_USERS, "a number of users")]
Workers = Annotated[int, PlainValidator(whole(1, MAX_PROCESSES)), integer(1, MAX_PROCESSES, "workers")]
Processes = Annotated[
    int,
    PlainValidator(_processes),
    WithJsonSchema({"oneOf": [{"const": "auto"}, {"type": "integer", "minimum": 1, "maximum": MAX_PROCESSES}]}),
]
Rate = Annotated[float, PlainValidator(_rate), string(RATE_PATTERN, "a rate such as 500/s or 50/min")]
_LEVEL_SCHEMA = {"oneOf": [{"type": "string", "pattern": RATE_PATTERN}, {"type": "integer", "minimum": 0}]}
Curve = Annotated[
    tuple[tuple[int, float], ...],
    PlainValidator(_curve),
    WithJsonSchema(
        {
            "type": "array",
            "minItems": 2,
            "items": {
                "type": "array",
                "prefixItems": [{"type": "string", "pattern": DURATION_PATTERN}, _LEVEL_SCHEMA],
                "items": False,
                "minItems": 2,
            },
        }
    ),
]
Bind = Annotated[
    str, PlainValidator(matching(BIND_PATTERN, "host or host:port")), string(BIND_PATTERN, "host or host:port")
]
MostUsers = Annotated[int, PlainValidator(whole(1, MAX_USERS)), integer(1, MAX_USERS, "a number of users")]
Seed = Annotated[int, PlainValidator(whole(0, 2**53)), integer(0, 2**53, "what chance is drawn from")]
Setting = Annotated[str, PlainValidator(_setting), WithJsonSchema({"type": ["string", "number", "boolean"]})]
ReadyText = Annotated[Ready, PlainValidator(_ready), string(READY_PATTERN, "tcp | http /path [within 30s]")]
Listen = Annotated[
    str, PlainValidator(matching(LISTEN_PATTERN, "host or host:port")), string(LISTEN_PATTERN, "host or host:port")
]
Series = Annotated[
    str,
    PlainValidator(matching(SERIES_PATTERN, "the name of a Prometheus series such as db_pool_in_use")),
    string(SERIES_PATTERN, "name of a series, labels allowed"),
]
Prometheus = Annotated[
    str,
    PlainValidator(matching(PROMETHEUS_PATTERN, "a URL such as http://{api}/metrics, or api/metrics")),
    string(PROMETHEUS_PATTERN, "http://host/metrics, http://{service}/metrics or service/metrics"),
]
Toxiproxy = Annotated[
    str,
    PlainValidator(matching(TOXIPROXY_PATTERN, "auto, embedded, server or http://host:8474")),
    string(TOXIPROXY_PATTERN, "auto | embedded | server | http://host:8474"),
]


class Shape(BaseModel):
    """A mapping of which every key is known."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Head(Shape):
    """The keys of an experiment that stand alone."""

    name: Annotated[Name, Field(description="names the experiment and its results folder")]
    why: Annotated[Filled, Field(description="the hypothesis: what should hold, under what")]
    toxiproxy: Annotated[Toxiproxy, Field(description="which Toxiproxy; auto: a server on PATH, else embedded")] = (
        "auto"
    )
    seed: Annotated[Seed | None, Field(description="default: made from the name")] = None


class ServiceShape(Shape):
    """A service that the harness starts as a process."""

    command: Annotated[Filled, Field(description="{port} is its free port, {name} the address of a service or proxy")]
    env: Annotated[dict[str, Setting], Field(description="added to the environment")] = {}
    ready: Annotated[ReadyText | None, Field(description="default: tcp when the command takes {port}")] = None
    cwd: Annotated[Text, Field(description="folder to start in")] = ""


class ComposeShape(Shape):
    """A compose file and when its services count as up."""

    file: Annotated[Filled, Field(description="path of the compose file")]
    ready: Annotated[dict[Name, ReadyText], Field(description="service: tcp or http /path")] = {}
    env: Annotated[dict[str, Setting], Field(description="environment given to compose; {proxy} is its address")] = {}


class ProxyShape(Shape):
    """A link through Toxiproxy."""

    upstream: Annotated[Name, Field(description="the service, or proxy, behind it")]
    listen: Annotated[Listen, Field(description="default: a free port of 127.0.0.1")] = ""


class StageShape(Shape):
    """A ramp, then a hold, of users or of a rate of arrivals."""

    name: Annotated[Name, Field(description="unique")]
    role: Annotated[Literal["warmup", "steady", "stress", "recovery"], Field(description="what it is for")] = "steady"
    users: Annotated[Users | None, Field(description="users at the end of the ramp and during the hold")] = None
    rate: Annotated[Rate | None, Field(description="arrivals at the end of the ramp and during the hold")] = None
    curve: Annotated[Curve | None, Field(description="points that the ramp (without a hold: all) runs through")] = None
    ramp: Annotated[Duration | None, Field(description="straight line from the level before; default: 0s")] = None
    hold: Annotated[Span | None, Field(description="how long the level stays; only this is measured")] = None


class LadderShape(Shape):
    """The short form of a ladder of stress stages."""

    users: Annotated[
        list[Users] | None, Field(description="levels, one stage each, named level-<users>", min_length=1)
    ] = None
    rate: Annotated[
        list[Rate] | None, Field(description="levels in arrivals, one stage each, named rate-<n>", min_length=1)
    ] = None
    ramp: Annotated[Duration, Field(description="ramp of each level")] = 10 * NS_PER_S
    hold: Annotated[Span, Field(description="hold of each level")] = 30 * NS_PER_S
    warmup: Annotated[Duration, Field(description="hold of a warm-up at the first level; 0s: none")] = 0


class ContainerProbe(Shape):
    """CPU, memory, network, disk of a container."""

    container: Annotated[Name, Field(description="a service of the stack or any container")]
    every: Annotated[Span, Field(description="between two readings")] = NS_PER_S


class ProcessProbe(Shape):
    """CPU, memory, threads, open files of a process of the stack."""

    process: Annotated[Name, Field(description="a service of a process stack")]
    every: Annotated[Span, Field(description="between two readings")] = NS_PER_S


class PrometheusProbe(Shape):
    """Series of a Prometheus text page."""

    prometheus: Annotated[Prometheus, Field(description="the page; {api} is the address of the service api")]
    series: Annotated[list[Series], Field(description="what to keep", min_length=1)]
    of: Annotated[Name | None, Field(description="whose they are; default: the service in the URL, else its host")] = (
        None
    )
    every: Annotated[Span, Field(description="between two readings")] = NS_PER_S


S = TypeVar("S", bound=Shape)


def read(shape: type[S], value: object, path: Path, problems: Problems) -> S | None:
    """`value` in that shape, or None and a problem for each thing that is wrong with it."""
    if not isinstance(value, Mapping):
        problems.add(path, f"expected a mapping with the keys {', '.join(keys_of(shape))}, got {shown(value)}")
        return None
    try:
        return shape.model_validate(value)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            place = (*path, *(part for part in detail["loc"] if part != "[key]"))
            context = detail.get("ctx", {})
            _explain(shape, place, detail["type"], detail["input"], context, problems)
        return None


def keys_of(shape: type[Shape]) -> tuple[str, ...]:
    """The keys of a shape as they are written."""
    return tuple(field.alias or name for name, field in shape.model_fields.items())


def unknown_key(key: str, known: tuple[str, ...]) -> str:
    """The message for a key that nobody knows."""
    return f"unknown key {shown(key)}{did_you_mean(key, known)} (known here: {', '.join(known) or 'none'})"


def _explain(
    shape: type[Shape], place: Path, kind: str, got: object, context: Mapping[str, object], problems: Problems
) -> None:
    """One pydantic error in our words: what was expected, and what stands there."""
    if kind == "missing":
        problems.add(place, "this key is required, and missing")
    elif kind == "extra_forbidden":
        problems.add(place, unknown_key(str(place[-1]), keys_of(shape)))
    elif kind == "value_error":
        problems.add(place, str(context["error"]))
    elif kind == "literal_error":
        known = re.findall(r"'([^']*)'", str(context["expected"]))
        hint = did_you_mean(got, known) if isinstance(got, str) else ""
        problems.add(place, f"expected one of {', '.join(known)}, got {shown(got)}{hint}")
    else:
        problems.add(place, f"expected {_EXPECTED.get(kind, kind.replace('_', ' '))}, got {shown(got)}")


_EXPECTED = {
    "list_type": "a list",
    "dict_type": "a mapping",
    "too_short": "at least one entry",
    "string_type": "a text",
    "invalid_key": "keys that are texts",
}
