"""The traffic section: whose users, and where they go; the files that declared traffic reads."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath

from harness.datafile import BadData, read_rows
from harness.declared import DataSource, DeclaredTraffic, Send
from harness.errors import Problem
from harness.experiment import Stage, TrafficSpec, WorkersSpec
from harness.loader import document as shapes
from harness.loader.problems import Path, Problems
from harness.loader.steps import read_headers, read_requests, read_steps
from harness.loader.traffic_shapes import VALUE_NAME, VALUE_NAME_WORDS, DataShape, TrafficShape, WorkersShape
from harness.loader.value_names import ValueNames, extracted_in

GATE_PORT = 5557
_OF_REQUESTS = ("think", "pace", "headers", "data", "login")
_OF_A_SCENARIO = ("tags", "exclude_tags")


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What is in a data file: its columns and how many rows."""

    columns: tuple[str, ...]
    rows: int


Tables = Mapping[str, Table]


def read_traffic(value: object, path: Path, problems: Problems, tables: Tables | None = None) -> TrafficSpec | None:
    """Whose users, and where they go. `tables` holds the data files that could be read, None when nobody looked."""
    shape = shapes.read(TrafficShape, value, path, problems)
    if not isinstance(value, Mapping):
        return None
    if shape is None:
        _look_inside(value, path, problems, tables)
        return None
    if (shape.scenario is None) == (shape.requests is None):
        got = "neither" if shape.scenario is None else "both"
        problems.add(path, f"expected a scenario (a locustfile), or requests to do without one, got {got}")
        return None
    odd = _OF_REQUESTS if shape.requests is None else _OF_A_SCENARIO
    for key in odd:
        if key in value:
            whose = "requests; a locustfile says it itself" if shape.requests is None else "a scenario"
            problems.add((*path, key), f"{key} goes with {whose}")
    if shape.workers is not None and "processes" in value:
        message = "all load comes from the workers that join; write one of processes and workers"
        problems.add((*path, "processes"), message)
    if shape.workers is not None and shape.source_addresses:
        message = "these are addresses of this machine, and all load comes from the workers that join"
        problems.add((*path, "source_addresses"), message, hint="leave them out, or write processes for workers")
    return TrafficSpec(
        scenario=shape.scenario or "",
        declared=_declared(shape, shape.requests, path, problems, tables) if shape.requests is not None else None,
        target=shape.target,
        timeout_ns=shape.timeout,
        processes=shape.processes,
        tags=tuple(shape.tags),
        exclude_tags=tuple(shape.exclude_tags),
        source_addresses=tuple(dict.fromkeys(shape.source_addresses)),
        arrivals=shape.arrivals or "poisson",
        max_users=shape.max_users or 0,
        workers=_workers(shape.workers, (*path, "workers"), problems),
    )


def _look_inside(value: Mapping[str, object], path: Path, problems: Problems, tables: Tables | None) -> None:
    """A wrong key beside the requests hides no mistake in them."""
    inner = {key: value[key] for key in ("requests", "login", "data", "headers") if key in value}
    shape = shapes.read(TrafficShape, {**inner, "target": "any"}, path, Problems(where=""))
    if shape is not None and shape.requests is not None:
        _declared(shape, shape.requests, path, problems, tables)


def _workers(value: Mapping[str, object] | None, path: Path, problems: Problems) -> WorkersSpec | None:
    shape = None if value is None else shapes.read(WorkersShape, value, path, problems)
    if shape is None:
        return None
    bind = shape.bind if ":" in shape.bind else f"{shape.bind}:{GATE_PORT}"
    return WorkersSpec(expect=shape.expect, bind=bind, join_within_ns=shape.within)


def _declared(
    shape: TrafficShape, requests: Sequence[object], path: Path, problems: Problems, tables: Tables | None
) -> DeclaredTraffic:
    data = tuple(_data(shape.data, (*path, "data"), problems, tables))
    columns = {name: None if tables is None or name not in tables else tables[name].columns for name in shape.data}
    path_of_login = (*path, "login")
    names = ValueNames(columns, extracted_in(shape.login, path_of_login, "only later, in {}"), problems)
    drawn = (source.name for source in data if source.per == "iteration")
    login = read_steps(shape.login, path_of_login, names.without(drawn), problems)
    for step in login:
        for extraction in step.extract if isinstance(step, Send) else ():
            names.learn(extraction.name)
    names.check(shape.headers, (*path, "headers"))
    if shape.think is not None and shape.pace is not None:
        problems.add((*path, "pace"), "a user thinks, or keeps a pace: write one of think and pace")
    return DeclaredTraffic(
        login=login,
        activities=read_requests(requests, (*path, "requests"), names, problems),
        data=data,
        headers=read_headers(shape.headers, (*path, "headers"), problems),
        think=shape.think,
        pace_ns=shape.pace or 0,
    )


def _data(written: Mapping[str, object], path: Path, problems: Problems, tables: Tables | None) -> Iterator[DataSource]:
    for name, value in written.items():
        place = (*path, name)
        if re.fullmatch(VALUE_NAME, name, re.ASCII) is None:
            problems.add(place, f"expected {VALUE_NAME_WORDS}, got {name!r}")
            continue
        shape = shapes.read(DataShape, value, place, problems)
        if shape is None:
            continue
        if shape.order == "random" and shape.at_end is not None:
            hint = "leave it out, or write order: sequential"
            problems.add((*place, "at_end"), "rows drawn at random have no end", hint=hint)
        table = tables.get(name) if tables else None
        yield DataSource(
            name=name,
            file=shape.file,
            order=shape.order,
            per=shape.per,
            at_end=shape.at_end or "again",
            columns=table.columns if table else (),
            rows=table.rows if table else 0,
        )


def check_declared(traffic: TrafficSpec, stages: Sequence[Stage], problems: Problems) -> None:
    """What only fits one of the two models, and data too short for the processes."""
    declared = traffic.declared
    if declared is None:
        return
    if stages and stages[0].unit == "rate":
        for key, given in (("think", declared.think), ("pace", declared.pace_ns)):
            if given:
                hint = "leave it out, or write users instead of a rate"
                problems.add(
                    ("traffic", key), f"with a rate each arrival is one iteration: nobody waits for {key}", hint=hint
                )
    workers = traffic.workers.expect if traffic.workers else traffic.processes
    for source in declared.data:
        if source.at_end == "stop" and 0 < source.rows < workers:
            rows = _count(source.rows, "row")
            message = f"{source.file} has {rows} for {workers} processes, and each needs rows of its own"
            problems.add(("traffic", "data", source.name), message, hint="more rows, fewer processes, or at_end: again")
        elif source.at_end == "stop" and source.per == "user":
            _check_rows(source, stages, problems)


def _check_rows(source: DataSource, stages: Sequence[Stage], problems: Problems) -> None:
    """In the closed model all users of a stage are there at once; each needs a row. A pool may well stay smaller."""
    most = max((stage for stage in stages if stage.unit == "users"), key=lambda stage: stage.peak, default=None)
    if most is not None and 0 < source.rows < most.peak:
        rows = _count(source.rows, "row")
        message = f"{source.file} has {rows}, one for each user, and {most.name} wants {most.peak:,.0f} users"
        problems.add(("traffic", "data", source.name), message, hint="more rows, fewer users, or at_end: again")


def files_of(tree: object) -> dict[tuple[str | int, ...], str]:
    """The files that a traffic section, as written, names besides its scenario, by where they stand."""
    found: dict[tuple[str | int, ...], str] = {}
    _find(tree, ("traffic",), found)
    return found


def _find(tree: object, path: tuple[str | int, ...], found: dict[tuple[str | int, ...], str]) -> None:
    """`file` of data, and `body_file` of steps; a body that happens to hold such keys is none of them."""
    if isinstance(tree, list):
        for number, item in enumerate(tree):
            _find(item, (*path, number), found)
    if not isinstance(tree, Mapping):
        return
    for key, value in tree.items():
        place = (*path, str(key))
        is_data = len(place) == 4 and place[1] == "data" and key == "file"
        if isinstance(value, str) and value.strip() and (is_data or key == "body_file"):
            found[place] = value
        elif key in {"requests", "steps", "login", "data"} or (len(place) == 3 and place[1] == "data"):
            _find(value, place, found)


def read_tables(tree: object, base: FilePath, problems: Problems) -> dict[str, Table]:
    """The data files of a traffic section, each read to its end; one that is wrong is a problem at its own line."""
    found: dict[str, Table] = {}
    for place, file in files_of(tree).items():
        if place[1] != "data" or not (base / file).is_file():
            continue
        columns: tuple[str, ...] = ()
        rows = 0
        try:
            for row in read_rows(base / file):
                columns = columns or tuple(row)
                rows += 1
        except BadData as error:
            shown = os.path.relpath(base / file) if (base / file).is_relative_to(FilePath.cwd()) else str(base / file)
            where = f"{shown}:{error.line}" if error.line else shown
            problems.found.append(Problem(where=where, path="", message=str(error), hint=error.hint))
            continue
        found[str(place[2])] = Table(columns=columns, rows=rows)
    return found


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
