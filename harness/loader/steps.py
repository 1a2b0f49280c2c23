"""Declared traffic as written, read into its records: requests, steps, expectations and extractions."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import jmespath

from harness.declared import (
    BODIES,
    METHODS,
    SOURCES,
    Activity,
    Between,
    Expectation,
    Extraction,
    Pairs,
    Send,
    Source,
    Step,
)
from harness.loader import document as shapes
from harness.loader import traffic_shapes
from harness.loader.problems import Path, Problems, shown
from harness.loader.sections import one_of
from harness.loader.value_names import ValueNames, extracted_in
from harness.secrets import MASK

MOST_WEIGHT = 10_000
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_CLIENTS_OWN = {"content-length", "transfer-encoding", "connection", "host"}
_SENDS = ("name", "query", "headers", *BODIES, "expect", "extract")


def read_steps(
    written: Sequence[object], path: Path, names: ValueNames, problems: Problems, *, allow_waits: bool = True
) -> tuple[Step, ...]:
    """Steps one after another; each may use what those before it extract. What is wrong is left out, and a problem."""
    found: list[Step] = []
    for number, value in enumerate(written):
        place = (*path, number)
        if allow_waits and isinstance(value, Mapping) and "wait" in value:
            wait = shapes.read(traffic_shapes.WaitShape, value, place, problems)
            if wait is not None:
                found.append(wait.wait)
            continue
        if not isinstance(value, Mapping):
            problems.add(place, f"expected a step such as {{get: /products}} or {{wait: 1s}}, got {shown(value)}")
            continue
        shape = shapes.read(traffic_shapes.SendShape, value, place, problems)
        send = None if shape is None else _send(shape, value, place, names, problems)
        if send is not None:
            found.append(send)
    return tuple(found)


def read_requests(written: Sequence[object], path: Path, names: ValueNames, problems: Problems) -> tuple[Activity, ...]:
    """What an iteration may be. Weights that leave nothing to do, and names that come twice, are problems."""
    found: list[Activity] = []
    elsewhere: dict[str, str] = {}
    for number, value in enumerate(written):
        steps = value.get("steps") if isinstance(value, Mapping) else None
        elsewhere |= extracted_in(steps, (*path, number, "steps"), "only in {}, and each request stands for itself")
    for number, value in enumerate(written):
        place = (*path, number)
        shape = shapes.read(traffic_shapes.RequestShape, value, place, problems)
        if shape is None or not isinstance(value, Mapping):
            continue
        activity = _activity(shape, value, place, names.beside(elsewhere), problems)
        if activity is None:
            continue
        if any(activity.name == other.name for other in found):
            problems.add(place, f"two requests are called {activity.name}; give each its own name")
        found.append(activity)
    _check_weights(found, len(written), path, problems)
    return tuple(found)


def _check_weights(found: Sequence[Activity], written: int, path: Path, problems: Problems) -> None:
    total = sum(activity.weight for activity in found)
    if total == 0 and len(found) == written:
        problems.add(path, "every weight is 0, so there is nothing to do", hint="a weight is 1 unless it is written")
    if total > MOST_WEIGHT:
        problems.add(path, f"the weights add up to {total:,}; expected at most {MOST_WEIGHT:,}", hint="divide them")


def _activity(
    shape: traffic_shapes.RequestShape, written: Mapping[str, object], path: Path, names: ValueNames, problems: Problems
) -> Activity | None:
    if shape.steps is None:
        send = _send(shape, written, path, names, problems)
        return None if send is None else Activity(name=send.name, weight=shape.weight, steps=(send,))
    for key in (*METHODS, *_SENDS[1:]):
        if key in written:
            problems.add((*path, key), f"{key} belongs to one request: with steps, write it in one of them")
    if shape.name is None:
        problems.add((*path, "name"), "a request with steps needs a name")
        return None
    place = (*path, "steps")
    later = extracted_in(shape.steps, place, "only later, in {}")
    steps = read_steps(shape.steps, place, names.beside(later), problems)
    if len(steps) == len(shape.steps) and all(isinstance(step, Between) for step in steps):
        problems.add(place, "no step sends anything", hint="add a step such as {get: /}")
    return Activity(name=shape.name, weight=shape.weight, steps=steps)


def _send(
    shape: traffic_shapes.SendShape, written: Mapping[str, object], path: Path, names: ValueNames, problems: Problems
) -> Send | None:
    method = one_of(written, METHODS, path, problems, or_else=("weight", *_SENDS))
    bodies = [key for key in BODIES if key in written]
    if len(bodies) > 1:
        problems.add(path, f"expected only one of the bodies {', '.join(BODIES)}, got {' and '.join(bodies)}")
    for key in ("query", "headers", "json", "form", "body"):
        if key in written:
            names.check(written[key], (*path, key))
    if not _finite(shape.json_body):
        problems.add((*path, "json"), "JSON has no .nan and no .inf", hint="null, or a number")
    headers = read_headers(shape.headers, (*path, "headers"), problems)
    expect = _expectation(shape.expect, (*path, "expect"), names, problems)
    extract = _extractions(shape.extract, (*path, "extract"), names, problems)
    url = getattr(shape, method) if method else None
    if method is None or url is None or len(bodies) > 1:
        return None
    names.check(url, (*path, method))
    kind = bodies[0] if bodies else ""
    content = {"json": shape.json_body, "form": shape.form, "body": shape.body, "body_file": shape.body_file}.get(kind)
    return Send(
        method=method.upper(),  # type: ignore[arg-type] # one of METHODS
        url=url,
        name=shape.name or url,
        query=tuple(shape.query.items()),
        headers=headers,
        body_kind=kind,  # type: ignore[arg-type] # one of BODIES
        content=content,
        expect=expect or Expectation(),
        extract=extract,
    )


def _finite(tree: object) -> bool:
    """Whether every number in it is one."""
    if isinstance(tree, Mapping):
        return all(map(_finite, tree.values()))
    if isinstance(tree, list | tuple):
        return all(map(_finite, tree))
    return not isinstance(tree, float) or math.isfinite(tree)


def read_headers(written: Mapping[str, str], path: Path, problems: Problems) -> Pairs:
    """Headers that can be sent, and that are not the client's own."""
    for name, value in written.items():
        if _HEADER_NAME.fullmatch(name) is None:
            problems.add((*path, name), f"expected the name of a header, got {shown(name)}")
        elif name.lower() in _CLIENTS_OWN:
            problems.add((*path, name), f"{name} is set by the client")
        elif re.search(r"[^\t\x20-\x7e\x80-\xff]", value):
            problems.add((*path, name), "a header's value stands on one line, in latin-1")
    return tuple(written.items())


def _expectation(value: Mapping[str, object], path: Path, names: ValueNames, problems: Problems) -> Expectation | None:
    shape = shapes.read(traffic_shapes.ExpectShape, value, path, problems)
    if shape is None:
        return None
    names.check({key: value[key] for key in ("body", "json", "header") if key in value}, path)
    for expression in shape.json_body:
        _check_jmespath(expression, (*path, "json", expression), problems)
    return Expectation(
        statuses=shape.status or (),
        body=shape.body or "",
        json=tuple(shape.json_body.items()),
        headers=tuple(shape.header.items()),
        under_ns=shape.under or 0,
    )


def _extractions(
    written: Mapping[str, object], path: Path, names: ValueNames, problems: Problems
) -> tuple[Extraction, ...]:
    found = []
    for name, value in written.items():
        place = (*path, name)
        if re.fullmatch(traffic_shapes.VALUE_NAME, name, re.ASCII) is None:
            problems.add(place, f"expected {traffic_shapes.VALUE_NAME_WORDS}, got {shown(name)}")
            continue
        names.learn(name, place)
        source = one_of(value, SOURCES, place, problems)
        if source is None or not isinstance(value, Mapping):
            continue
        for key in value:
            if key != source:
                problems.add((*place, str(key)), shapes.unknown_key(str(key), (source,)))
        what = value[source]
        if not isinstance(what, str) or not what:
            problems.add((*place, source), f"expected a text, got {shown(what)}")
            continue
        extraction = _extraction(name, source, what, (*place, source), problems)
        found.append(extraction)
    return tuple(found)


def _extraction(name: str, source: str, what: str, path: Path, problems: Problems) -> Extraction:
    if source == "json":
        _check_jmespath(what, path, problems)
    elif source == "regex":
        _check_regex(what, path, problems)
    elif source == "header" and _HEADER_NAME.fullmatch(what) is None:
        problems.add(path, f"expected the name of a header, got {shown(what)}")
    kind: Source = source  # type: ignore[assignment] # one of SOURCES
    return Extraction(name=name, source=kind, what=what)


def _check_jmespath(expression: str, path: Path, problems: Problems) -> None:
    if MASK in expression:  # an old run's document
        return
    try:
        jmespath.compile(expression)
    except ValueError as error:
        first = str(error).partition("\n")[0].partition(", for expression")[0]
        why = first.removeprefix("Invalid jmespath expression: ").rstrip(". :")
        hint = "https://jmespath.org: such as items[0].price; a key with - in it in double quotes"
        problems.add(path, f"is no JMESPath: {why}", hint=hint)


def _check_regex(pattern: str, path: Path, problems: Problems) -> None:
    if MASK in pattern:
        return
    try:
        groups = re.compile(pattern).groups
    except (re.error, OverflowError, RecursionError) as error:
        problems.add(path, f"is no regular expression: {error}")
        return
    if groups > 1:
        problems.add(path, f"expected at most one group (...), got {groups}", hint="(?:...) groups without taking")
