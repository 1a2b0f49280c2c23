"""The shapes of a fault, a repeated fault and a random schedule: see document.py."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator, WithJsonSchema

from harness.experiment import Selector
from harness.loader.document import (
    MAX_ENTRIES,
    NAME_PATTERN,
    NAME_WORDS,
    Duration,
    Name,
    Shape,
    Span,
    integer,
    matching,
    span,
    string,
    whole,
)
from harness.loader.problems import did_you_mean, shown
from harness.units import percent_share

LABEL_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_./-]{0,127}(=[^\s=]{0,255})?$"
GLOB_PATTERN = r"^[A-Za-z0-9_.*?\[\]!-]{1,128}$"
SHARE_PATTERN = r"^\d+(\.\d+)?\s*%$"
RATE_PATTERN = r"^\s*(\d+(?:\.\d+)?)\s*/\s*(\d.*|s|m|min|h)$"

_SELECTS = {
    "service": (NAME_PATTERN, "the name of a compose service"),
    "label": (LABEL_PATTERN, "a label such as tier=db"),
    "name": (GLOB_PATTERN, "a shell pattern such as shop-*"),
}


def _on(value: object) -> str | Selector:
    if not isinstance(value, Mapping):
        return matching(NAME_PATTERN, NAME_WORDS)(value)
    ((by, pattern),) = value.items() if len(value) == 1 else ((None, None),)
    if by not in _SELECTS:
        near = did_you_mean(by, _SELECTS) if isinstance(by, str) else ""
        got = ", ".join(map(str, value))[:80] or "no keys"
        beside = "; mode stands beside on" if "mode" in value else near
        raise ValueError(f"expected a name, or one of service, label, name, got {got}{beside}")
    written, expected = _SELECTS[by]
    return Selector(by=by, pattern=matching(written, expected)(pattern), mode="one")


def _mode(value: object) -> tuple[Literal["one", "all", "count", "share"], float]:
    if value == "one":
        return "one", 1.0
    if value == "all":
        return "all", 1.0
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MAX_ENTRIES:
        return "count", float(value)
    if isinstance(value, str) and re.fullmatch(SHARE_PATTERN, value, re.ASCII) and 0 < percent_share(value) <= 1:
        return "share", percent_share(value)
    raise ValueError(f"expected one, all, a number such as 2, or a share such as 30%, got {shown(value)}")


def _rate(value: object) -> int:
    """Nanoseconds from one to the next, on average."""
    match = re.fullmatch(RATE_PATTERN, value, re.ASCII) if isinstance(value, str) and len(value) <= 40 else None
    if match is None or not float(match[1]):
        raise ValueError(f"expected a rate such as 1/30s or 2/min, got {shown(value)}")
    span_ns = span(match[2] if match[2][0].isdigit() else f"1{match[2]}")
    return max(1, round(span_ns / float(match[1])))


def _accepted(value: object) -> bool:
    if value != "accepted":
        raise ValueError(f"expected accepted, for a fault that nothing takes back, got {shown(value)}")
    return True


_SELECTOR = {
    "type": "object",
    "minProperties": 1,
    "maxProperties": 1,
    "additionalProperties": False,
    "properties": {
        by: {"type": "string", "pattern": pattern, "description": about} for by, (pattern, about) in _SELECTS.items()
    },
}
ON_NAME = {"type": "string", "pattern": NAME_PATTERN}
On = Annotated[str | Selector, PlainValidator(_on), WithJsonSchema({"oneOf": [ON_NAME, _SELECTOR]})]
Mode = Annotated[
    tuple[Literal["one", "all", "count", "share"], float],
    PlainValidator(_mode),
    WithJsonSchema(
        {
            "oneOf": [
                {"enum": ["one", "all"]},
                {"type": "integer", "minimum": 1, "maximum": MAX_ENTRIES},
                {"type": "string", "pattern": SHARE_PATTERN},
            ]
        }
    ),
]
Times = Annotated[int, PlainValidator(whole(1, MAX_ENTRIES)), integer(1, MAX_ENTRIES, "how often")]
Rate = Annotated[int, PlainValidator(_rate), string(RATE_PATTERN, "a rate such as 1/30s or 2/min")]
Accepted = Annotated[bool, PlainValidator(_accepted), WithJsonSchema({"const": "accepted"})]


class EffectShape(Shape):
    """What every fault is done to, wherever it is written."""

    on: Annotated[On, Field(description="the proxy, service or container that is hit")]
    mode: Annotated[Mode | None, Field(description="how many of the containers; default with a selector: one")] = None
    irreversible: Annotated[Accepted, Field(description="needed for what nothing takes back")] = False


class FaultShape(EffectShape):
    """The keys that every fault has; the others are its kind's parameters."""

    name: Annotated[Name | None, Field(description="default: <kind>-<on>")] = None
    during: Annotated[Name, Field(description="name of the stage")]
    after: Annotated[Duration, Field(description="from the start of the stage's hold")] = 0
    hold: Annotated[Span | None, Field(alias="for", description="default: to the end of the stage's hold")] = None
    every: Annotated[Span | None, Field(description="again and again: from one start to the next")] = None
    times: Annotated[Times | None, Field(description="how often; default: as often as fits into the stage")] = None


class DrawnShape(EffectShape):
    """The keys of a fault that a random schedule draws."""

    hold: Annotated[Span, Field(alias="for", description="how long")]


class RandomShape(Shape):
    """A random schedule."""

    pool: Annotated[list[Any], Field(alias="from", description="what is drawn from, each as likely", min_length=1)]
    rate: Annotated[Rate, Field(description="how often on average")]
    during: Annotated[Name, Field(description="name of the stage")]
    after: Annotated[Duration, Field(description="from the start of the stage's hold")] = 0
    hold: Annotated[Span | None, Field(alias="for", description="default: to the end of the stage's hold")] = None


class RandomEntryShape(Shape):
    """A random schedule and its name."""

    name: Annotated[Name, Field(description="of the whole; its faults are <name>-1 and so on")] = "random"
    random: Annotated[dict[str, Any], Field(description="faults drawn from the seed")]
