"""The JSON Schema (draft 2020-12) of an experiment file, for editors: made from the shapes and the catalogue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from pydantic.json_schema import models_json_schema

from harness.declared import METHODS, SOURCES
from harness.loader import document as shapes
from harness.loader import traffic_shapes
from harness.loader.catalogue import KINDS, Kind
from harness.loader.document import DURATION_PATTERN
from harness.loader.fault_shapes import ON_NAME, DrawnShape, FaultShape, RandomEntryShape, RandomShape
from harness.loader.safety import BlastRadiusShape, TargetsShape
from harness.loader.sections import BREAK_METRICS, PROBES, QUESTIONS
from harness.loader.stages import LEVELS
from harness.units import format_duration

SCHEMA_ID = "https://json-schema.org/draft/2020-12/schema"
Json = dict[str, object]


def schema(extra_kinds: Iterable[Kind] = ()) -> Json:
    """The whole schema as plain JSON values."""
    kinds = (*KINDS, *extra_kinds)
    return {
        "$schema": SCHEMA_ID,
        "title": "Experiment of the chaos and load harness",
        "type": "object",
        "additionalProperties": False,
        "required": ["name", "why", "stack", "traffic"],
        "oneOf": [{"required": ["stages"]}, {"required": ["ladder"]}],
        "properties": {
            **_properties(_shape(shapes.Head)),
            "stack": _stack(),
            "proxies": _named(shapes.ProxyShape, "links through Toxiproxy, by name"),
            "traffic": _traffic(),
            "stages": {"type": "array", "minItems": 1, "items": {**_shape(shapes.StageShape), **_one_of(LEVELS)}},
            "ladder": {**_shape(shapes.LadderShape), **_one_of(LEVELS[:2])},
            "faults": {"type": "array", "items": {"oneOf": _faults(kinds)}},
            "probes": {"type": "array", "items": {"oneOf": [_shape(shape) for shape in PROBES.values()]}},
            "budget": _limits("what must hold; default: p95 < 500ms, p99 < 2s, errors < 0.5%"),
            "abort": _limits("what ends the run early, such as errors > 10% for 30s"),
            "questions": _questions(),
            "targets": {**_shape(TargetsShape), "minProperties": 1},
            "blast_radius": _shape(BlastRadiusShape),
            "steady_state": _limits("what must hold just before the first fault, such as errors < 1% for 10s"),
        },
    }


def _shape(shape: type[shapes.Shape]) -> Json:
    """A flat model as a schema that refers to nothing else and says nothing twice."""
    _, whole = models_json_schema([(shape, "validation")], by_alias=True)
    found = _plain(whole["$defs"][shape.__name__])
    for name, about in _properties(found).items():
        default = next(field.default for key, field in shape.model_fields.items() if name in (key, field.alias))
        if isinstance(default, str | int) and default != "" and default is not False:
            about["default"] = _written(default) if about.get("pattern") == DURATION_PATTERN else default
    return found


def _written(span_ns: object) -> str:
    return format_duration(span_ns) if isinstance(span_ns, int) and span_ns else "0s"


def _plain(found: Mapping[str, object]) -> Json:
    """Without generated titles and defaults in the harness's own units; an optional value is simply its type."""
    kept = {key: value for key, value in found.items() if key not in ("title", "default", "anyOf")}
    options = found.get("anyOf")
    if isinstance(options, list):
        kept = {**_plain(options[0]), **kept}
    return {key: _plain_value(value) for key, value in kept.items()}


def _plain_value(value: object) -> object:
    if isinstance(value, dict):
        return _plain(value)
    return value


def _properties(found: Json) -> dict[str, Json]:
    return cast("dict[str, Json]", found["properties"])


def _named(shape: type[shapes.Shape], about: str) -> Json:
    return {
        "type": "object",
        "description": about,
        "propertyNames": {"pattern": shapes.NAME_PATTERN},
        "additionalProperties": _shape(shape),
    }


def _stack() -> Json:
    external = {
        "type": "object",
        "description": "services that run already: name -> URL or host:port",
        "minProperties": 1,
        "propertyNames": {"pattern": shapes.NAME_PATTERN},
        "additionalProperties": {"type": "string"},
    }
    return {
        "type": "object",
        "description": "what is under test",
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
        "properties": {
            "external": external,
            "process": {**_named(shapes.ServiceShape, "services that the harness starts"), "minProperties": 1},
            "compose": _shape(shapes.ComposeShape),
        },
    }


def _traffic() -> Json:
    found = _shape(traffic_shapes.TrafficShape)
    send, request = _send(traffic_shapes.SendShape), _send(traffic_shapes.RequestShape, "steps")
    step = {"oneOf": [send, _shape(traffic_shapes.WaitShape)]}
    _properties(request)["steps"]["items"] = step
    inside = _properties(found)
    inside["workers"] = _shape(traffic_shapes.WorkersShape)
    inside["requests"]["items"] = request
    inside["login"]["items"] = step
    inside["data"] |= {"propertyNames": _VALUE_NAME, "additionalProperties": _shape(traffic_shapes.DataShape)}
    return {**found, **_one_of(("scenario", "requests"))}


_VALUE_NAME = {"pattern": f"^{traffic_shapes.VALUE_NAME}$"}


def _send(shape: type[shapes.Shape], *more: str) -> Json:
    """A shape with exactly one method, whose expectations and extractions are spelt out."""
    found = _shape(shape)
    inside = _properties(found)
    inside["expect"] = {**_shape(traffic_shapes.ExpectShape), "description": inside["expect"]["description"]}
    sources = {"type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": False}
    where = {**sources, "properties": {source: {"type": "string", "minLength": 1} for source in SOURCES}}
    inside["extract"] |= {"propertyNames": _VALUE_NAME, "additionalProperties": where}
    return {**found, **_one_of((*METHODS, *more))}


def _one_of(keys: Sequence[str]) -> Json:
    return {"oneOf": [{"required": [key]} for key in keys]}


def _faults(kinds: Sequence[Kind]) -> list[Json]:
    common, drawn, entry = _shape(FaultShape), _shape(DrawnShape), _shape(RandomEntryShape)
    inside = _shape(RandomShape)
    _properties(inside)["from"]["items"] = {"oneOf": [_fault(kind, drawn, ("on", "for")) for kind in kinds]}
    _properties(entry)["random"] = inside
    return [*(_fault(kind, common, ("on", "during")) for kind in kinds), entry]


def _fault(kind: Kind, common: Json, needed: Sequence[str]) -> Json:
    required = [*needed, kind.key, *(param.name for param in kind.params if param.required)]
    keys = dict(_properties(common))
    if kind.driver != "container":
        del keys["mode"]
        keys["on"] = {**{key: value for key, value in keys["on"].items() if key != "oneOf"}, **ON_NAME}
    undoing = [param.name for param in kind.params if param.required_unless_irreversible]
    either = {"anyOf": [{"required": undoing}, {"required": ["irreversible"]}]} if undoing else {}
    return {
        "type": "object",
        "description": f"healing {kind.undo}; a new connection {kind.new_connection}",
        "additionalProperties": False,
        "required": required,
        "properties": {
            kind.key: {"const": kind.name},
            **keys,
            **{param.name: param.schema() for param in kind.params},
        },
        **either,
    }


def _limits(about: str) -> Json:
    return {"type": "array", "description": about, "items": {"type": "string", "pattern": r"[<>]"}}


def _questions() -> Json:
    breaking = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "limits": {
                "type": "object",
                "description": "what counts as broken; default: errors 1%, p95 500ms, p99 2s",
                "minProperties": 1,
                "additionalProperties": False,
                "properties": {metric: {"type": "string"} for metric in BREAK_METRICS},
            },
            "at_least": {
                "oneOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": shapes.RATE_PATTERN}],
                "description": "users, or arrivals such as 500/s, that it must carry to pass",
            },
        },
    }
    empty = {"type": "object", "additionalProperties": False}
    shaped = {"type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": False}
    params = {name: breaking if name == "breaking_point" else empty for name in QUESTIONS}
    return {
        "type": "array",
        "minItems": 1,
        "items": {"anyOf": [{"enum": list(QUESTIONS)}, {**shaped, "properties": params}]},
    }
