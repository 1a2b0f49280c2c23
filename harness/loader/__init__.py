"""An experiment file becomes an Experiment, or one BadInput that tells everything that is wrong with it.

    file --yaml_lines--> tree --overrides--> tree --sections--> records --consistency--> Experiment

`from_document` starts at the tree: it judges old runs again from their journal and looks at no file.
"""

from __future__ import annotations

import copy
import os
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from harness.errors import BadInput, Problem
from harness.experiment import (
    ComposeStack,
    Experiment,
    ExternalStack,
    Limit,
    ProcessStack,
    Question,
    Stack,
    Stage,
    Targets,
    TrafficSpec,
)
from harness.loader import document as shapes
from harness.loader.catalogue import KINDS, Kind, index
from harness.loader.consistency import check, resolve
from harness.loader.draft import Draft
from harness.loader.faults import Written, fault_reader
from harness.loader.limits import parse_limit
from harness.loader.overrides import Environ, apply_overrides, substitute
from harness.loader.problems import Problems, nearest, shown
from harness.loader.safety import (
    check_steady_state,
    read_abort,
    read_blast_radius,
    read_steady_state,
    read_targets,
    targets_of_files,
)
from harness.loader.schema import schema
from harness.loader.sections import (
    DEFAULT_BUDGET,
    Placed,
    read_limit,
    read_list,
    read_named,
    read_probe,
    read_proxy,
    read_question,
    read_stack,
)
from harness.loader.stages import check_pool, read_ladder, read_stage
from harness.loader.traffic import Tables, check_declared, files_of, read_tables, read_traffic
from harness.loader.yaml_lines import Tree, parse
from harness.secrets import mask

__all__ = ["from_document", "load", "places", "schema"]

HEAD = shapes.keys_of(shapes.Head)
SECTIONS = ("stack", "proxies", "traffic", "stages", "ladder", "faults", "probes", "budget", "abort", "questions")
SAFETY = ("targets", "blast_radius", "steady_state")
KEYS = ("name", "why", "stack", "toxiproxy", *SECTIONS[1:], *SAFETY, "seed")


def load(
    path: Path, *, overrides: Sequence[str] = (), seed: int | None = None, extra_kinds: Iterable[Kind] = ()
) -> Experiment:
    """The experiment in a file. `overrides` are `path=value`; `seed` wins over the file's.

    Paths inside are looked for from the current folder, then from the file's. Raises BadInput with all problems.
    """
    parsed = parse(_bytes_of(path), where=str(path))
    problems = Problems(where=str(path), lines=parsed.lines)
    tree = _mapping(parsed.value, problems)
    apply_overrides(tree, overrides, problems)
    if seed is not None:
        tree["seed"] = seed
    effective = substitute(tree, Environ(variables=os.environ), problems)
    recorded = substitute(tree, Environ(variables=os.environ, hide=True), Problems(where=""))
    files = _find_files(effective, path, problems)
    return _build(effective, recorded, files, problems, extra_kinds)


def from_document(
    document: Mapping[str, object], *, base_dir: str, where: str = "experiment", extra_kinds: Iterable[Kind] = ()
) -> Experiment:
    """The experiment of a document that `Experiment.document` recorded. Raises BadInput with all problems."""
    problems = Problems(where=where)
    tree = _mapping(cast("Tree", document), problems)
    return _build(tree, tree, _Files(base_dir=base_dir), problems, extra_kinds)


def places(path: Path) -> Problems:
    """No problems yet, for whoever looks at the experiment of a file: they will know its lines. Raises BadInput."""
    return Problems(where=str(path), lines=parse(_bytes_of(path), where=str(path)).lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Files:
    """Where paths start, the services of the compose file and the data files where they were looked at, and what
    harness.toml allows."""

    base_dir: str
    compose_services: frozenset[str] | None = None
    targets: tuple[Targets, ...] = ()
    tables: Tables | None = None


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:
        why = f"cannot read the experiment: {error.strerror if isinstance(error, OSError) else error}"
        problem = Problem(where=str(path), path="", message=why, hint="give the path of a YAML file")
        raise BadInput(problems=[problem]) from error


def _mapping(value: Tree, problems: Problems) -> dict[str, Tree]:
    """The document's own copy, with only keys that are known."""
    if not isinstance(value, Mapping):
        problems.add((), f"expected a mapping with the keys {', '.join(KEYS)}, got {shown(value)}")
        problems.stop_if_any()
    return copy.deepcopy(dict(cast("Mapping[str, Tree]", value)))


def _find_files(tree: Mapping[str, Tree], path: Path, problems: Problems) -> _Files:
    """The folder from which the scenario, its data and the compose file are found: the current one, else the
    experiment's."""
    wanted: dict[tuple[str | int, ...], str] = {
        place: file for place in _FILES if isinstance(file := _at(tree, place), str) and file.strip()
    }
    wanted |= files_of(tree.get("traffic"))
    bases = (Path.cwd(), path.resolve().parent)
    base = next((each for each in bases if all(_is_file(each, file) for file in wanted.values())), None)
    if base is None:
        base = max(bases, key=lambda each: sum(_is_file(each, file) for file in wanted.values()))
        for place, file in wanted.items():
            if not _is_file(base, file):
                problems.add(place, f"there is no file {shown(file)} in the current folder or beside the experiment")
    compose = wanted.get(("stack", "compose", "file"))
    services = _compose_services(base / compose) if compose and _is_file(base, compose) else None
    return _Files(
        base_dir=str(base),
        compose_services=services,
        targets=targets_of_files(path),
        tables=read_tables(tree.get("traffic"), base, problems),
    )


_FILES = (("traffic", "scenario"), ("stack", "compose", "file"))


def _at(tree: object, place: tuple[str, ...]) -> object:
    for key in place:
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    return tree


def _is_file(base: Path, file: str) -> bool:
    try:
        return (base / file).is_file()
    except (OSError, ValueError):
        return False


def _compose_services(path: Path) -> frozenset[str] | None:
    """The services that a compose file names itself; None when it draws on others or is beyond our YAML."""
    try:
        tree = parse(path.read_bytes(), where=str(path)).value
    except (OSError, BadInput):
        return None
    services = tree.get("services") if isinstance(tree, Mapping) else None
    if not isinstance(tree, Mapping) or not isinstance(services, Mapping) or "include" in tree:
        return None
    return frozenset(services)


def _build(
    tree: Mapping[str, Tree],
    recorded: Mapping[str, Tree],
    files: _Files,
    problems: Problems,
    extra_kinds: Iterable[Kind],
) -> Experiment:
    for key in tree:
        if key not in KEYS:
            problems.add((str(key),), shapes.unknown_key(str(key), KEYS))
    head = shapes.read(shapes.Head, {key: tree[key] for key in HEAD if key in tree}, (), problems)
    seed = _seed(head)
    draft = _draft(tree, files, seed, problems, index((*KINDS, *extra_kinds)))
    faults = check(draft, problems)
    stages = tuple(stage.value for stage in draft.stages)
    limits = [limit.value for limit in draft.budget]
    traffic = draft.traffic and check_pool(tree["traffic"], draft.traffic, stages, limits, problems)
    if draft.traffic:
        check_declared(draft.traffic, stages, problems)
    if not draft.partial & {"stages", "faults"}:
        check_steady_state(draft.steady_state, [stage.value for stage in draft.stages], faults, problems)
    targets = read_targets(tree["targets"], ("targets",), problems) if "targets" in tree else None
    blast_radius = read_blast_radius(tree.get("blast_radius", {}), ("blast_radius",), problems)
    problems.stop_if_any()
    assert head and draft.stack and traffic  # noqa: S101 - what is missing was a problem
    probes = tuple(probe.value for probe in draft.probes)
    return Experiment(
        name=head.name,
        why=head.why,
        stack=draft.stack,
        toxiproxy=head.toxiproxy,
        proxies=tuple(proxy.value for proxy in draft.proxies),
        traffic=traffic,
        stages=stages,
        faults=faults,
        probes=probes,
        budget=tuple(resolve(limit.value, probes) for limit in draft.budget),
        abort=tuple(resolve(limit.value, probes) for limit in draft.abort),
        questions=tuple(question.value for question in draft.questions),
        seed=seed,
        base_dir=files.base_dir,
        steady_state=tuple(resolve(limit.value, probes) for limit in draft.steady_state),
        targets=(*((targets,) if targets else ()), *files.targets),
        blast_radius=blast_radius,
        document=mask(recorded),
    )


def _seed(head: shapes.Head | None) -> int:
    """What chance is drawn from: as written, else made from the name."""
    if head is None:
        return 0
    return zlib.crc32(head.name.encode()) if head.seed is None else head.seed


def _draft(
    tree: Mapping[str, Tree], files: _Files, seed: int, problems: Problems, kinds: Mapping[tuple[str, str], Kind]
) -> Draft:
    stack = _required(tree, "stack", problems) and read_stack(tree["stack"], ("stack",), problems)
    proxies = read_named(tree.get("proxies", {}), ("proxies",), problems, read_proxy)
    stages = _stages(tree, problems)
    faults: tuple[Placed[Written], ...] = read_list(tree.get("faults", []), ("faults",), problems, fault_reader(kinds))
    probes = read_list(tree.get("probes", []), ("probes",), problems, read_probe)
    budget = read_list(tree.get("budget", []), ("budget",), problems, read_limit)
    return Draft(
        stack=stack or None,
        services=_services(tree, stack or None, files),
        proxies=proxies,
        traffic=_traffic(tree, files, problems),
        stages=stages,
        faults=faults,
        probes=probes,
        budget=budget if "budget" in tree else _default_budget(),
        abort=read_abort(tree.get("abort", []), ("abort",), problems),
        steady_state=read_steady_state(tree.get("steady_state", []), ("steady_state",), problems),
        questions=_questions(tree, problems),
        seed=seed,
        partial=_partial(tree, proxies=proxies, stages=stages, faults=faults, probes=probes),
        named={
            "proxies": _names_of(tree.get("proxies")),
            "stages": _names_in(tree.get("stages")) | {stage.value.name for stage in stages},
            "faults": _names_in(tree.get("faults")) | {fault.value.name for fault in faults},
        },
    )


def _required(tree: Mapping[str, Tree], key: str, problems: Problems) -> bool:
    if key in tree:
        return True
    problems.add((key,), "this key is required, and missing")
    return False


def _traffic(tree: Mapping[str, Tree], files: _Files, problems: Problems) -> TrafficSpec | None:
    if not _required(tree, "traffic", problems):
        return None
    return read_traffic(tree["traffic"], ("traffic",), problems, files.tables)


def _stages(tree: Mapping[str, Tree], problems: Problems) -> tuple[Placed[Stage], ...]:
    if ("stages" in tree) == ("ladder" in tree):
        got = "both" if "stages" in tree else "neither"
        problems.add(("stages",), f"expected stages, or ladder for the short form, got {got}")
    if "ladder" in tree:
        return read_ladder(tree["ladder"], ("ladder",), problems)
    if "stages" not in tree:
        return ()
    stages = read_list(tree["stages"], ("stages",), problems, read_stage)
    if tree["stages"] == []:
        problems.add(("stages",), "expected at least one stage, got an empty list")
    return stages


def _questions(tree: Mapping[str, Tree], problems: Problems) -> tuple[Placed[Question], ...]:
    if "questions" not in tree:
        return (Placed(path=("questions",), value=Question(kind="budget")),)
    if tree["questions"] == []:
        problems.add(("questions",), "expected at least one question, got an empty list")
    return read_list(tree["questions"], ("questions",), problems, read_question)


def _default_budget() -> tuple[Placed[Limit], ...]:
    return tuple(Placed(path=("budget",), value=parse_limit(text)) for text in DEFAULT_BUDGET)


def _services(tree: Mapping[str, Tree], stack: Stack | None, files: _Files) -> frozenset[str] | None:
    if isinstance(stack, ComposeStack):
        return files.compose_services
    if isinstance(stack, ExternalStack | ProcessStack):
        kind = "external" if isinstance(stack, ExternalStack) else "process"
        return _names_of(_at(tree, ("stack", kind)))
    return None


def _partial(tree: Mapping[str, Tree], **sections: Sequence[object]) -> frozenset[str]:
    """The sections of which not everything could be read, or whose key seems to be misspelt."""
    short = {name for name, found in sections.items() if name in tree and len(found) != _length(tree[name])}
    misspelt = {name for key in tree if key not in KEYS for name in nearest(str(key), sections)}
    return frozenset(short | misspelt | ({"stages"} if not sections["stages"] else set()))


def _length(value: Tree) -> int:
    return len(value) if isinstance(value, list | tuple | Mapping) else -1


def _names_of(value: object) -> frozenset[str]:
    return frozenset(map(str, value)) if isinstance(value, Mapping) else frozenset()


def _names_in(value: object) -> frozenset[str]:
    """The names of a list's entries, also of those that are wrong otherwise."""
    entries = value if isinstance(value, list | tuple) else ()
    names = (entry.get("name") for entry in entries if isinstance(entry, Mapping))
    return frozenset(name for name in names if isinstance(name, str))
