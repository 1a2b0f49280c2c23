"""A value that fits a JSON Schema, as a reader of the document would make one up: examples first, then the least.

Deterministic: the same document gives the same values. Objects have their required properties, arrays one item.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from harness.importing.calls import JsonValue
from harness.importing.references import Node, References

MADE_UP = "made up"
MAX_DEPTH = 12
MAX_PARTS = 2_000
MAX_ITEMS = 10
MAX_LENGTH = 1_000
_FORMATS = {
    "uuid": "00000000-0000-4000-8000-000000000001",
    "date": "2024-01-31",
    "date-time": "2024-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "PT1H",
    "email": "someone@example.com",
    "uri": "https://example.com/",
    "url": "https://example.com/",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "byte": "dGV4dA==",
}
_OF_A_PART = ("example", "examples", "default")
_IMPLIED = {"properties": "object", "items": "array", "pattern": "string", "minimum": "number", "maximum": "number"}


class NoValue(Exception):
    """A schema that requires itself, so that no value of finite size fits, or only a huge one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A value and where it is from: an example, the default, the enum, or made up."""

    value: JsonValue
    source: str


@dataclass(slots=True, kw_only=True)
class _Making:
    """One value being made up, and how many parts it may still have: schemas that fan out grow without measure."""

    references: References
    left: int = MAX_PARTS

    def count(self, schema: Node) -> None:
        """Another part. Raises NoValue on a circle of references, and when it is too much."""
        self.left -= 1
        if self.left < 0 or len(set(schema.through)) < len(schema.through):
            raise NoValue


def sample(references: References, schema: Node) -> Sample:
    """A value for the schema. Raises NoValue when there is none, BadInput for a reference that leads nowhere."""
    return _sample(_Making(references=references), references.followed(schema), 0)


def _sample(making: _Making, schema: Node, depth: int) -> Sample:
    making.count(schema)
    if depth > MAX_DEPTH:
        raise NoValue
    said = _said(schema.mapping)
    if said is not None:
        return said
    if "allOf" in schema.mapping:
        return _sample(making, _merged(making, schema), depth + 1)
    for key in ("oneOf", "anyOf"):
        choices = schema.mapping.get(key)
        if isinstance(choices, list) and choices:
            return _first_of(making, _choices(schema, key, choices), depth)
    return Sample(value=_made_up(making, schema, depth), source=MADE_UP)


def _said(schema: Mapping[str, JsonValue]) -> Sample | None:
    if "example" in schema:
        return Sample(value=schema["example"], source="the example")
    examples = schema.get("examples")
    if isinstance(examples, list) and examples:
        return Sample(value=examples[0], source="the example")
    if "const" in schema:
        return Sample(value=schema["const"], source="the only value")
    if schema.get("default") is not None:
        return Sample(value=schema["default"], source="the default")
    allowed = schema.get("enum")
    if isinstance(allowed, list) and allowed:
        return Sample(value=allowed[0], source="the first of the enum")
    return None


def _choices(schema: Node, key: str, choices: list[JsonValue]) -> Node:
    """Each choice, together with the properties that stand beside them."""
    beside: JsonValue = {name: value for name, value in schema.mapping.items() if name not in ("oneOf", "anyOf")}
    if "properties" in schema.mapping:
        choices = [{"allOf": [choice, beside]} for choice in choices]
    return Node(value=choices, place=f"{schema.place}/{key}", through=schema.through)


def _merged(making: _Making, schema: Node) -> Node:
    """One schema of an allOf: properties and required of all, the rest of whichever says it last."""
    own = {key: value for key, value in schema.mapping.items() if key != "allOf"}
    merged: dict[str, JsonValue] = {}
    parts = making.references.items(making.references.at(schema, "allOf"))
    for part in (*parts, Node(value=own, place=schema.place)):
        making.count(part)
        node = _merged(making, part) if "allOf" in part.mapping else part
        for key, value in node.mapping.items():
            if key in _OF_A_PART and len(parts) > 1:
                continue  # an example of one part is none of the whole
            before = merged.get(key)
            if key == "properties" and isinstance(before, dict) and isinstance(value, dict):
                merged[key] = {**before, **value}
            elif key == "required" and isinstance(before, list) and isinstance(value, list):
                merged[key] = [*before, *(each for each in value if each not in before)]
            else:
                merged[key] = value
    return Node(value=merged, place=schema.place, through=schema.through)


def _first_of(making: _Making, choices: Node, depth: int) -> Sample:
    """Of the first choice for which there is a value and which is not just null."""
    for choice in making.references.items(choices):
        if choice.mapping.get("type") == "null":
            continue
        try:
            return _sample(making, choice, depth + 1)
        except NoValue:
            continue
    raise NoValue


def _made_up(making: _Making, schema: Node, depth: int) -> JsonValue:
    says = schema.mapping
    match _type_of(says):
        case "object":
            return _object(making, schema, depth)
        case "array":
            return _array(making, schema, depth)
        case "integer":
            return int(_number(says, whole=True))
        case "number":
            number = _number(says, whole=False)
            return int(number) if number == int(number) else number
        case "boolean" | "null" as kind:
            return True if kind == "boolean" else None
        case _:
            return _text(says)


def _type_of(says: Mapping[str, JsonValue]) -> str:
    kind = says.get("type")
    if isinstance(kind, list):
        kind = next((each for each in kind if each != "null"), "null")
    if isinstance(kind, str):
        return kind
    return next((implied for key, implied in _IMPLIED.items() if key in says), "object" if "required" in says else "")


def _object(making: _Making, schema: Node, depth: int) -> JsonValue:
    required = schema.mapping.get("required")
    names = [name for name in required if isinstance(name, str)] if isinstance(required, list) else []
    made: dict[str, JsonValue] = {}
    for name in names:
        below = making.references.at(schema, "properties", name)
        if below.mapping.get("readOnly") is True:
            continue
        try:
            made[name] = _sample(making, below, depth + 1).value
        except NoValue:
            if not _nullable(below.mapping):
                raise
            made[name] = None
    return made


def _nullable(says: Mapping[str, JsonValue]) -> bool:
    kind = says.get("type")
    return says.get("nullable") is True or (isinstance(kind, list) and "null" in kind)


def _array(making: _Making, schema: Node, depth: int) -> JsonValue:
    least = _bound(schema.mapping, "minItems", 0)
    try:
        item = _sample(making, making.references.at(schema, "items"), depth + 1).value
    except NoValue:
        if least > 0:
            raise
        return []
    return [item] * int(min(max(least, 1), MAX_ITEMS))


def _bound(says: Mapping[str, JsonValue], key: str, otherwise: float) -> float:
    value = says.get(key)
    fine = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if fine else otherwise  # type: ignore[return-value]


def _number(says: Mapping[str, JsonValue], *, whole: bool) -> float:
    """1 where that is allowed, else what is nearest to it."""
    step = max(_bound(says, "multipleOf", 1.0), 0.0) or 1.0
    low, open_low = _limit(says, "minimum", "exclusiveMinimum", -math.inf)
    high, open_high = _limit(says, "maximum", "exclusiveMaximum", math.inf)
    gap = step if whole or math.isinf(high - low) else min(step, (high - low) / 2)
    value = min(max(1.0, low + gap * open_low), high - gap * open_high)
    if "multipleOf" in says:
        value = math.ceil(value / step) * step
        value = value - step if value > high else value
    return math.ceil(value) if whole else value


def _limit(says: Mapping[str, JsonValue], closed: str, exclusive: str, otherwise: float) -> tuple[float, bool]:
    """A bound, and whether it is itself outside: a flag in OpenAPI 3.0, a number of its own in 3.1."""
    bound = _bound(says, closed, otherwise)
    if says.get(exclusive) is True:
        return bound, True
    other = _bound(says, exclusive, otherwise)
    inside = other <= bound if otherwise < 0 else other >= bound
    return (bound, False) if inside else (other, True)


def _text(says: Mapping[str, JsonValue]) -> str:
    kind = says.get("format")
    if isinstance(kind, str) and kind in _FORMATS:
        return _FORMATS[kind]
    least, most = int(_bound(says, "minLength", 0)), int(_bound(says, "maxLength", MAX_LENGTH))
    return "text".ljust(min(least, MAX_LENGTH), "x")[: max(most, 0)]
