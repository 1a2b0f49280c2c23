"""Each section of an experiment file, read into records with the path at which each stood.

A section that is wrong yields what is right in it and a problem for the rest, so that one mistake hides no other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from harness.experiment import (
    ComposeStack,
    ExternalStack,
    Limit,
    ProbeSpec,
    ProcessStack,
    Proxy,
    Question,
    Ready,
    Scalar,
    Service,
    Stack,
)
from harness.loader import document as shapes
from harness.loader.limits import REQUEST_METRICS, parse_limit
from harness.loader.problems import Path, Problems, did_you_mean, shown
from harness.units import rate_per_s

T = TypeVar("T")

# The defaults of a budget that is not written: what an API must hold.
DEFAULT_BUDGET = ("p95 < 500ms", "p99 < 2s", "errors < 0.5%")
DEFAULT_BREAK = {"errors": "1%", "p95": "500ms", "p99": "2s"}
STACKS = ("external", "process", "compose")
PROBES: Mapping[str, type[shapes.ContainerProbe | shapes.ProcessProbe | shapes.PrometheusProbe]] = {
    "container": shapes.ContainerProbe,
    "process": shapes.ProcessProbe,
    "prometheus": shapes.PrometheusProbe,
}
QUESTIONS: Mapping[str, tuple[str, ...]] = {"budget": (), "breaking_point": ("limits", "at_least")}
BREAK_METRICS = ("errors", *(metric for metric in REQUEST_METRICS if metric not in ("errors", "rate")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed(Generic[T]):
    """Something read, and its path in the document."""

    path: Path
    value: T


def read_list(
    value: object, path: Path, problems: Problems, read: Callable[[object, Path, Problems], T | None]
) -> tuple[Placed[T], ...]:
    """Every entry of a list that could be read."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        problems.add(path, f"expected a list, got {shown(value)}")
        return ()
    if len(value) > shapes.MAX_ENTRIES:
        problems.add(path, f"expected at most {shapes.MAX_ENTRIES} entries, got {len(value)}")
        return ()
    found = (((*path, number), read(item, (*path, number), problems)) for number, item in enumerate(value))
    return tuple(Placed(path=place, value=item) for place, item in found if item is not None)


def read_named(
    value: object, path: Path, problems: Problems, read: Callable[[str, object, Path, Problems], T | None]
) -> tuple[Placed[T], ...]:
    """Every entry of a mapping from names that could be read."""
    if not isinstance(value, Mapping):
        problems.add(path, f"expected a mapping from names, got {shown(value)}")
        return ()
    if len(value) > shapes.MAX_ENTRIES:
        problems.add(path, f"expected at most {shapes.MAX_ENTRIES} entries, got {len(value)}")
        return ()
    found: list[Placed[T]] = []
    for name, item in value.items():
        place = (*path, str(name))
        if re.fullmatch(shapes.NAME_PATTERN, str(name)) is None:
            problems.add(place, f"expected a name of letters, digits, - _ ., got {shown(name)}")
        elif (entry := read(str(name), item, place, problems)) is not None:
            found.append(Placed(path=place, value=entry))
    return tuple(found)


def read_stack(value: object, path: Path, problems: Problems) -> Stack | None:
    """external, process or compose."""
    kind = one_of(value, STACKS, path, problems)
    if kind is None or not isinstance(value, Mapping):
        return None
    inner, place = value[kind], (*path, kind)
    for key in value:
        if key not in STACKS:
            problems.add((*path, str(key)), shapes.unknown_key(str(key), STACKS))
    if kind == "compose":
        return _compose(inner, place, problems)
    if isinstance(inner, Mapping) and not inner:
        problems.add(place, "expected at least one service, got none")
        return None
    if kind == "external":
        pairs = read_named(inner, place, problems, _address)
        return ExternalStack(addresses=dict(pair.value for pair in pairs))
    return ProcessStack(services=tuple(each.value for each in read_named(inner, place, problems, _service)))


def _address(name: str, value: object, path: Path, problems: Problems) -> tuple[str, str] | None:
    if isinstance(value, str) and re.fullmatch(shapes.ADDRESS_PATTERN, value):
        return name, value
    problems.add(path, f"expected an address such as http://127.0.0.1:8088 or db:5432, got {shown(value)}")
    return None


def _service(name: str, value: object, path: Path, problems: Problems) -> Service | None:
    shape = shapes.read(shapes.ServiceShape, value, path, problems)
    if shape is None:
        return None
    ready = shape.ready or (Ready(how="tcp") if "{port}" in shape.command else None)
    return Service(name=name, command=shape.command, env=dict(shape.env), ready=ready, cwd=shape.cwd)


def _compose(value: object, path: Path, problems: Problems) -> ComposeStack | None:
    shape = shapes.read(shapes.ComposeShape, value, path, problems)
    return None if shape is None else ComposeStack(file=shape.file, ready=dict(shape.ready), env=dict(shape.env))


def read_proxy(name: str, value: object, path: Path, problems: Problems) -> Proxy | None:
    """One named link."""
    shape = shapes.read(shapes.ProxyShape, value, path, problems)
    return None if shape is None else Proxy(name=name, upstream=shape.upstream, listen=shape.listen)


def read_probe(value: object, path: Path, problems: Problems) -> ProbeSpec | None:
    """One probe. `api/metrics` and `{api}/metrics` stand for http://{api}/metrics."""
    kind = one_of(value, tuple(PROBES), path, problems)
    if kind is None:
        return None
    shape = shapes.read(PROBES[kind], value, path, problems)
    if isinstance(shape, shapes.PrometheusProbe):
        url = _metrics_url(shape.prometheus)
        of = shape.of or _whose(url)
        return ProbeSpec(kind="prometheus", of=of, every_ns=shape.every, url=url, series=tuple(shape.series))
    if isinstance(shape, shapes.ContainerProbe):
        return ProbeSpec(kind="container", of=shape.container, every_ns=shape.every)
    return None if shape is None else ProbeSpec(kind="process", of=shape.process, every_ns=shape.every)


def _metrics_url(written: str) -> str:
    if written.startswith(("http://", "https://")):
        return written
    host, _, rest = written.partition("/")
    return f"http://{{{host.strip('{}')}}}/{rest}"


def _whose(url: str) -> str:
    host = url.split("//", 1)[1].partition("/")[0].rpartition("@")[2]
    return host.strip("{}")


def read_limit(value: object, path: Path, problems: Problems) -> Limit | None:
    """One line of a budget."""
    try:
        return parse_limit(value)
    except ValueError as error:
        problems.add(path, str(error))
        return None


def read_question(value: object, path: Path, problems: Problems) -> Question | None:
    """`budget`, or `{breaking_point: {limits: ..., at_least: ...}}`; limits come back in their units."""
    kind: object = value
    params: object = {}
    if isinstance(value, Mapping) and len(value) == 1:
        ((kind, params),) = value.items()
        path = (*path, str(kind))
    if not isinstance(kind, str) or kind not in QUESTIONS:
        near = did_you_mean(kind, QUESTIONS) if isinstance(kind, str) else ""
        problems.add(path, f"expected one of the questions {', '.join(QUESTIONS)}, got {shown(kind)}{near}")
        return None
    if params is None:
        params = {}
    if not isinstance(params, Mapping):
        problems.add(path, f"expected a mapping, got {shown(params)}")
        return None
    for key in params:
        if key not in QUESTIONS[kind]:
            problems.add((*path, str(key)), shapes.unknown_key(str(key), QUESTIONS[kind]))
    return Question(kind=kind, params=_breaking_point(params, path, problems) if kind == "breaking_point" else {})


def _breaking_point(
    params: Mapping[str, object], path: Path, problems: Problems
) -> Mapping[str, Scalar | Mapping[str, Scalar]]:
    found: dict[str, Scalar | Mapping[str, Scalar]] = {}
    limits = params.get("limits", DEFAULT_BREAK)
    if not isinstance(limits, Mapping) or not limits:
        problems.add((*path, "limits"), f"expected a mapping such as {{errors: 1%, p95: 500ms}}, got {shown(limits)}")
        limits = {}
    bounds: dict[str, Scalar] = {}
    for metric, written in limits.items():
        if metric not in BREAK_METRICS:
            problems.add((*path, "limits", str(metric)), shapes.unknown_key(str(metric), BREAK_METRICS))
            continue
        limit = read_limit(f"{metric} < {written}", (*path, "limits", metric), problems)
        if limit is not None:
            bounds[metric] = limit.bound
    found["limits"] = bounds
    if "at_least" in params:
        found.update(_at_least(params["at_least"], (*path, "at_least"), problems))
    return found


def _at_least(value: object, path: Path, problems: Problems) -> Mapping[str, Scalar]:
    """What must be carried, in users or arrivals a second, and which of the two."""
    if isinstance(value, str):
        try:
            return {"at_least": rate_per_s(value), "at_least_unit": "rate"}
        except ValueError as error:
            problems.add(path, str(error))
            return {}
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= shapes.MAX_USERS:
        problems.add(path, f"expected a number of users above zero, or a rate such as 500/s, got {shown(value)}")
        return {}
    return {"at_least": value}


def one_of(
    value: object, keys: tuple[str, ...], path: Path, problems: Problems, *, or_else: tuple[str, ...] = ()
) -> str | None:
    """The one key of `keys` that the mapping has; what a mapping is hangs on it."""
    if not isinstance(value, Mapping):
        problems.add(path, f"expected a mapping with one of the keys {', '.join(keys)}, got {shown(value)}")
        return None
    present = [key for key in keys if key in value]
    if len(present) == 1:
        return present[0]
    if present:
        problems.add(path, f"expected only one of the keys {', '.join(keys)}, got {' and '.join(present)}")
        return None
    strange = [str(key) for key in value if key not in or_else]
    near = next((hint for key in strange if (hint := did_you_mean(key, keys))), "")
    got = ", ".join(map(str, value)) or "no keys"
    problems.add(path, f"expected one of the keys {', '.join(keys)}, got {got[:80]}{near}")
    return None
