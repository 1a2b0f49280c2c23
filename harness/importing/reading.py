"""A file of JSON or YAML as plain values, and which kind of document it is."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import yaml

from harness.importing.calls import JsonValue, wrong

MAX_BYTES = 64 * 1024 * 1024
MAX_DEPTH = 200
EXPECTED = "an OpenAPI 3 document (JSON or YAML) or a HAR file"

_HALF_A_PAIR = re.compile("[\ud800-\udfff]")  # JSON can write it, but it is no character, and nobody can send it
_Parser: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Yaml12(_Parser):  # type: ignore[misc]
    """YAML with the scalars of YAML 1.2's core schema, as OpenAPI asks: no dates, and `no` is a word."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own shape


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+0123456789."),
):
    _Yaml12.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), list(_first))


def _whole(loader: Any, node: yaml.ScalarNode) -> int:
    return int(loader.construct_scalar(node))


def _fraction(loader: Any, node: yaml.ScalarNode) -> float:
    return float(loader.construct_scalar(node))


_Yaml12.add_constructor("tag:yaml.org,2002:int", _whole)
_Yaml12.add_constructor("tag:yaml.org,2002:float", _fraction)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A document and what it is. `where` is the file, for messages."""

    where: str
    kind: Literal["openapi", "har"]
    tree: Mapping[str, JsonValue]


def read_document(path: Path) -> Document:
    """The OpenAPI document or HAR file at `path`. Raises BadInput with the file, the line and what was expected."""
    where = str(path)
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise wrong(where, "", f"the file has {size} bytes; at most {MAX_BYTES} are read", "leave parts of it out")
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise wrong(where, "", f"cannot read the document: {why}", f"give the path of {EXPECTED}") from error
    return document_of(data, where=where)


def document_of(data: bytes, *, where: str) -> Document:
    """The document in `data`. Raises BadInput."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise wrong(f"{where}:{line}", "", "the file is not UTF-8 text", f"give the path of {EXPECTED}") from error
    try:
        tree = _plain(_parsed(text, where), {}, 0)
    except RecursionError as error:
        raise wrong(where, "", f"the document is nested more than {MAX_DEPTH} deep") from error
    if not isinstance(tree, dict):
        raise wrong(where, "", f"expected {EXPECTED}, got no mapping")
    return Document(where=where, kind=_kind(tree, where), tree=tree)


def _kind(tree: Mapping[str, JsonValue], where: str) -> Literal["openapi", "har"]:
    if "swagger" in tree:
        hint = "convert it first: npx swagger2openapi FILE"
        raise wrong(where, "swagger", f"OpenAPI 3.0 and 3.1 are read, not Swagger {tree['swagger']}", hint)
    if "openapi" in tree:
        version = str(tree["openapi"])
        if not re.match(r"3\.[01](\.|$)", version):
            raise wrong(where, "openapi", f"OpenAPI 3.0 and 3.1 are read, not {version}")
        return "openapi"
    if isinstance(tree.get("log"), dict):
        return "har"
    keys = ", ".join(list(tree)[:5]) or "(none)"
    raise wrong(where, "", f"expected {EXPECTED}, got a mapping with the keys {keys}")


def _parsed(text: str, where: str) -> object:
    if text.lstrip()[:1] in ("{", "["):
        try:
            return cast("object", json.loads(text))
        except json.JSONDecodeError as error:
            if re.match(r"\s*[{\[]\s*\"", text):
                raise wrong(f"{where}:{error.lineno}", "", f"not valid JSON: {error.msg}") from error
        except ValueError as error:  # a number of thousands of digits
            raise wrong(where, "", f"not valid JSON: {error}") from error
    try:
        return cast("object", yaml.load(text, Loader=_Yaml12))  # noqa: S506 - a safe loader with fewer scalars
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{where}:{mark.line + 1}" if mark else where
        raise wrong(place, "", f"neither JSON nor YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise wrong(where, "", f"neither JSON nor YAML: {error}") from error


def _plain(value: object, seen: dict[int, JsonValue], depth: int) -> JsonValue:
    """The value with texts as keys (YAML has `200:`); what an alias shares stays shared, so nothing is multiplied."""
    if depth > MAX_DEPTH:
        raise RecursionError
    if isinstance(value, dict | list) and id(value) in seen:
        return seen[id(value)]
    if isinstance(value, dict):
        mapping: dict[str, JsonValue] = {}
        seen[id(value)] = mapping
        for key, item in cast("Mapping[Hashable, object]", value).items():
            mapping[_key(key)] = _plain(item, seen, depth + 1)
        return mapping
    if isinstance(value, list):
        items: list[JsonValue] = []
        seen[id(value)] = items
        items += [_plain(item, seen, depth + 1) for item in value]
        return items
    if isinstance(value, int | float | bool) or value is None:
        return value
    return _HALF_A_PAIR.sub("\ufffd", str(value))


def _key(key: object) -> str:
    if isinstance(key, bool):
        return str(key).lower()
    return "null" if key is None else _HALF_A_PAIR.sub("\ufffd", str(key))
