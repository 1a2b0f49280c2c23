"""What limits the damage: the sections `targets`, `blast_radius` and `steady_state`, and harness.toml beside them.

    [targets]                    # harness.toml: the same keys as the section of an experiment
    names = ["web", "db-*"]

Both must allow a thing. What they refuse is found by harness/blast_radius.py, when an experiment is checked or run.
"""

from __future__ import annotations

import ipaddress
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field, PlainValidator

from harness.experiment import BlastRadius, Fault, Limit, Stage, Targets
from harness.loader import document as shapes
from harness.loader.document import MAX_ENTRIES, integer, matching, string, whole
from harness.loader.fault_shapes import GLOB_PATTERN, LABEL_PATTERN, SHARE_PATTERN
from harness.loader.problems import Path as Place
from harness.loader.problems import Problems, shown
from harness.loader.sections import Placed, read_limit, read_list
from harness.units import NS_PER_S, format_duration, percent_share

FILE = "harness.toml"
HOST_PATTERN = r"^[A-Za-z0-9_.:*?\[\]!-]{1,253}(/\d{1,3})?$"
# Rows of a second may arrive this long after it: the run looks at seconds that ended before.
ARRIVAL_NS = NS_PER_S


def _host(value: object) -> str:
    text = matching(HOST_PATTERN, "a host, a pattern such as *.test, or a range such as 10.0.0.0/8")(value)
    if "/" in text:
        try:
            ipaddress.ip_network(text)
        except ValueError as error:
            raise ValueError(f"expected a range such as 10.0.0.0/8, got {shown(text)}: {error}") from None
    elif text.count(":") == 1:
        raise ValueError(f"expected a host without a port, got {shown(text)}")
    return text


def _share(value: object) -> float:
    text = matching(SHARE_PATTERN, "a share such as 50%")(value)
    if not 0 < percent_share(text) <= 1:
        raise ValueError(f"expected a share above 0% and up to 100%, got {text}")
    return percent_share(text)


Glob = Annotated[
    str, PlainValidator(matching(GLOB_PATTERN, "a name or shell pattern such as db-*")), string(GLOB_PATTERN, "db-*")
]
Label = Annotated[
    str, PlainValidator(matching(LABEL_PATTERN, "a label such as env=test")), string(LABEL_PATTERN, "env=test")
]
Host = Annotated[str, PlainValidator(_host), string(HOST_PATTERN, "a host, *.test or 10.0.0.0/8")]
Share = Annotated[float, PlainValidator(_share), string(SHARE_PATTERN, "a share such as 50%")]
AtOnce = Annotated[int, PlainValidator(whole(1, MAX_ENTRIES)), integer(1, MAX_ENTRIES, "a number of faults")]


class TargetsShape(shapes.Shape):
    """What faults and load may reach; a key that is not written limits nothing."""

    names: Annotated[list[Glob] | None, Field(description="what faults may be on", min_length=1)] = None
    labels: Annotated[list[Label] | None, Field(description="a victim carries one of these", min_length=1)] = None
    addresses: Annotated[list[Host] | None, Field(description="hosts and ranges of addresses", min_length=1)] = None


class BlastRadiusShape(shapes.Shape):
    """How much may be broken."""

    faults_at_once: Annotated[AtOnce | None, Field(description="most faults in force at one time")] = None
    share_of_service: Annotated[Share | None, Field(description="most of a service's replicas that one fault hits")] = (
        None
    )
    total: Annotated[shapes.Span | None, Field(description="most time of all faults together")] = None


def read_targets(value: object, path: Place, problems: Problems) -> Targets | None:
    """An allow-list; one that allows by nothing is a mistake."""
    shape = shapes.read(TargetsShape, value, path, problems)
    if shape is None:
        return None
    if not (shape.names or shape.labels or shape.addresses):
        problems.add(path, "expected names, labels or addresses, got none of them")
        return None
    return Targets(
        names=tuple(shape.names or ()), labels=tuple(shape.labels or ()), addresses=tuple(shape.addresses or ())
    )


def read_blast_radius(value: object, path: Place, problems: Problems) -> BlastRadius:
    """The limits on how much is broken."""
    shape = shapes.read(BlastRadiusShape, value, path, problems)
    if shape is None:
        return BlastRadius()
    return BlastRadius(
        faults_at_once=shape.faults_at_once, share_of_service=shape.share_of_service, total_ns=shape.total
    )


def read_steady_state(value: object, path: Place, problems: Problems) -> tuple[Placed[Limit], ...]:
    """The limits that must hold before the first fault."""
    return _unscoped(value, path, problems, "the steady state is looked at before the first fault")


def read_abort(value: object, path: Place, problems: Problems) -> tuple[Placed[Limit], ...]:
    """The limits that end the run, in whatever stage it is."""
    return _unscoped(value, path, problems, "abort limits are watched all the time, whatever the stage")


def _unscoped(value: object, path: Place, problems: Problems, why: str) -> tuple[Placed[Limit], ...]:
    limits = read_list(value, path, problems, read_limit)
    for limit in limits:
        if limit.value.scope:
            problems.add(limit.path, f"{why}: leave out `in`")
    return limits


def check_steady_state(
    limits: Iterable[Placed[Limit]], stages: Sequence[Stage], faults: Iterable[Fault], problems: Problems
) -> None:
    """Refuse a limit that has no time to hold before the first fault."""
    first = min(_instants(stages, faults), default=None)
    if first is None:
        return
    at_ns, name = first
    left_ns = (at_ns - ARRIVAL_NS) // NS_PER_S * NS_PER_S
    for limit in limits:
        if max(limit.value.sustain_ns, NS_PER_S) > left_ns:
            problems.add(
                limit.path,
                f"the first fault, {name}, begins {_at(at_ns)} after the first stage, so"
                f" at most {_at(max(0, left_ns))} can be looked at, a second being left for the last answers to arrive",
                hint="shorten `for`, or let the fault come later",
            )


def _instants(stages: Sequence[Stage], faults: Iterable[Fault]) -> Iterator[tuple[int, str]]:
    """When each fault begins, from the start of the first stage."""
    begin_ns: dict[str, int] = {}
    at_ns = 0
    for stage in stages:
        begin_ns[stage.name] = at_ns + stage.ramp_ns
        at_ns += stage.ramp_ns + stage.hold_ns
    return ((begin_ns[fault.stage] + fault.after_ns, fault.name) for fault in faults if fault.stage in begin_ns)


def _at(at_ns: int) -> str:
    return format_duration(at_ns) if at_ns else "0s"


def targets_of_files(experiment: Path) -> tuple[Targets, ...]:
    """The allow-lists of harness.toml beside the experiment and in the current folder. Raises BadInput."""
    files = {folder.resolve(): folder / FILE for folder in (Path(), experiment.parent)}
    return tuple(targets for file in files.values() if (targets := _targets_of(file)) is not None)


def _targets_of(file: Path) -> Targets | None:
    problems = Problems(where=str(file))
    try:
        text = file.read_bytes().decode("utf-8")
        tree = tomllib.loads(text)
    except FileNotFoundError:
        return None
    except OSError as error:  # what would limit the damage cannot be read: nothing may be done
        problems.add((), f"cannot be read: {error.strerror or error}")
        problems.stop_if_any()
    except ValueError as error:
        problems.add((), f"expected TOML: {error}")
        problems.stop_if_any()
    problems.lines = _lines(text)
    for key in tree:
        if key != "targets":
            problems.add((key,), shapes.unknown_key(key, ("targets",)))
    targets = read_targets(tree["targets"], ("targets",), problems) if "targets" in tree else None
    problems.stop_if_any()
    return targets


def _lines(text: str) -> Mapping[Place, int]:
    """On which line each key stands; TOML's own reader does not tell."""
    found: dict[Place, int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*\[+\s*([^\[\]]+?)\s*\]", line):
            table = _keys(header[1])
            found.setdefault(table, number)
        elif key := re.match(r"\s*([\w.\"'-]+)\s*=", line):
            found.setdefault((*table, *_keys(key[1])), number)
    return found


def _keys(written: str) -> tuple[str, ...]:
    return tuple(part.strip(" \"'") for part in written.split("."))
