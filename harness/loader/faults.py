"""The section `faults`: one mapping is a fault, a repeated fault, or a random schedule of faults.

Only what can be seen within one mapping is checked here; victims.py and schedule.py do the rest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from harness.experiment import Scalar, Selector
from harness.loader import document as shapes
from harness.loader.catalogue import COMMON_KEYS, Kind
from harness.loader.fault_shapes import DrawnShape, EffectShape, FaultShape, RandomEntryShape, RandomShape
from harness.loader.problems import Path, Problems, did_you_mean, shown
from harness.loader.sections import Placed, one_of, read_list
from harness.units import format_duration

Kinds = Mapping[tuple[str, str], Kind]
RANDOM = "random"
DRAWN_KEYS = ("on", "mode", "for", "irreversible")
_RANDOM_SAYS = ("name", "during", "after", "every", "times")


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What is done to what: the kind, its parameters in the driver's units, and `on` as a name or a selector."""

    kind: Kind
    params: Mapping[str, Scalar]
    on: str | Selector
    irreversible: bool

    @property
    def label(self) -> str:
        """The name of a fault that was given none."""
        word = self.on if isinstance(self.on, str) else re.sub(r"[^A-Za-z0-9_.-]+", "-", self.on.pattern).strip("-.")
        return f"{self.kind.name}-{word}"[:63] if isinstance(self.on, Selector) else f"{self.kind.name}-{word}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenFault:
    """A fault as written; its stage is only a name."""

    name: str
    effect: Effect
    keys: FaultShape


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnFault:
    """What a random schedule may draw."""

    effect: Effect
    hold_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenRandom:
    """A random schedule as written."""

    name: str
    pool: tuple[Placed[DrawnFault], ...]
    keys: RandomShape


Written = WrittenFault | WrittenRandom


def fault_reader(kinds: Kinds) -> Callable[[object, Path, Problems], Written | None]:
    """The reader of one entry, for these kinds."""
    keys = tuple(dict.fromkeys(key for key, _ in kinds))

    def read(value: object, path: Path, problems: Problems) -> Written | None:
        if isinstance(value, Mapping) and RANDOM in value and not any(key in value for key in keys):
            return _random(value, kinds, path, problems)
        key = one_of(value, (*keys, RANDOM), path, problems, or_else=COMMON_KEYS)
        kind = _kind(value, key, kinds, path, problems) if key and isinstance(value, Mapping) else None
        return _fault(value, kind, path, problems) if kind and isinstance(value, Mapping) else None

    return read


def _kind(value: Mapping[str, object], key: str, kinds: Kinds, path: Path, problems: Problems) -> Kind | None:
    word = value[key]
    kind = kinds.get((key, word)) if isinstance(word, str) else None
    if kind is None:
        names = tuple(name for owner, name in kinds if owner == key)
        near = did_you_mean(word, names) if isinstance(word, str) else ""
        problems.add((*path, key), f"expected one of {', '.join(names)}, got {shown(word)}{near}")
    return kind


def _fault(value: Mapping[str, object], kind: Kind, path: Path, problems: Problems) -> WrittenFault | None:
    before = len(problems.found)
    common = _known(value, kind, COMMON_KEYS, path, problems)
    shape = shapes.read(FaultShape, common, path, problems)
    effect = _effect(value, kind, shape, path, problems)
    if shape is not None and effect is not None:
        _repeats(shape, effect, path, problems)
    if shape is None or effect is None or len(problems.found) > before:
        return None
    return WrittenFault(name=shape.name or effect.label, effect=effect, keys=shape)


def _repeats(keys: FaultShape, effect: Effect, path: Path, problems: Problems) -> None:
    """Whether repetitions have an end before the next begins."""
    if keys.every is None:
        if keys.times is not None:
            problems.add((*path, "every"), "this key is required beside times, and missing (from start to start)")
        return
    if keys.hold is None:
        problems.add((*path, "for"), "this key is required beside every, and missing (shorter than every)")
    elif keys.hold >= keys.every:
        on = effect.on if isinstance(effect.on, str) else effect.on.pattern
        spans = f"for {format_duration(keys.hold)} is not shorter than every {format_duration(keys.every)}"
        problems.add((*path, "for"), f"the repetitions would fight over {on}: {spans}")


def _random(value: Mapping[str, object], kinds: Kinds, path: Path, problems: Problems) -> WrittenRandom | None:
    before = len(problems.found)
    entry = shapes.read(RandomEntryShape, value, path, problems)
    inside = value[RANDOM]
    if not isinstance(inside, Mapping):
        return None
    place = (*path, RANDOM)
    keys = shapes.read(RandomShape, inside, place, problems)
    pool: tuple[Placed[DrawnFault], ...] = ()
    if isinstance(inside.get("from"), list | tuple):
        pool = read_list(inside["from"], (*place, "from"), problems, _drawn_reader(kinds))
    if entry is None or keys is None or len(problems.found) > before:
        return None
    return WrittenRandom(name=entry.name, pool=pool, keys=keys)


def _drawn_reader(kinds: Kinds) -> Callable[[object, Path, Problems], DrawnFault | None]:
    keys = tuple(dict.fromkeys(key for key, _ in kinds))

    def read(value: object, path: Path, problems: Problems) -> DrawnFault | None:
        key = one_of(value, keys, path, problems, or_else=DRAWN_KEYS)
        kind = _kind(value, key, kinds, path, problems) if key and isinstance(value, Mapping) else None
        if kind is None or not isinstance(value, Mapping):
            return None
        common = _known(value, kind, DRAWN_KEYS, path, problems)
        shape = shapes.read(DrawnShape, common, path, problems)
        effect = _effect(value, kind, shape, path, problems)
        return None if shape is None or effect is None else DrawnFault(effect=effect, hold_ns=shape.hold)

    return read


def _known(
    value: Mapping[str, object], kind: Kind, keys: tuple[str, ...], path: Path, problems: Problems
) -> dict[str, object]:
    """What stands at the common keys; a key that is not known is a problem."""
    shared = [key for key in keys if key != "mode" or kind.driver == "container"]
    known = (kind.key, *shared, *(param.name for param in kind.params))
    for key in value:
        if key in known or key in keys:
            continue
        if key in _RANDOM_SAYS and keys is DRAWN_KEYS:
            problems.add((*path, str(key)), f"a random schedule draws its faults itself; {key} has no place in `from`")
        else:
            problems.add((*path, str(key)), shapes.unknown_key(str(key), known))
    return {key: item for key, item in value.items() if key in keys}


def _effect(
    value: Mapping[str, object], kind: Kind, shape: EffectShape | None, path: Path, problems: Problems
) -> Effect | None:
    before = len(problems.found)
    params = _params(value, kind, path, problems)
    if not kind.undo and "irreversible" not in value:
        problems.add(path, f"nothing takes {kind.name} back", hint="write irreversible: accepted if that is meant")
    on = None if shape is None else _selected(shape, kind, path, problems)
    if shape is None or on is None or len(problems.found) > before:
        return None
    return Effect(kind=kind, params=params, on=on, irreversible=shape.irreversible)


def _selected(shape: EffectShape, kind: Kind, path: Path, problems: Problems) -> str | Selector:
    """`on` and `mode` together. A plain name with a mode is a compose service."""
    on, mode = shape.on, shape.mode
    if kind.driver != "container" and (mode is not None or isinstance(on, Selector)):
        key = "on" if isinstance(on, Selector) else "mode"
        problems.add((*path, key), f"only container faults draw what they hit, not {kind.key}", hint="on: NAME")
        return on
    if mode is None:
        return on
    chosen = Selector(by="service", pattern=on, mode="one") if isinstance(on, str) else on
    return replace(chosen, mode=mode[0], amount=mode[1])


def _params(value: Mapping[str, object], kind: Kind, path: Path, problems: Problems) -> dict[str, Scalar]:
    params: dict[str, Scalar] = {}
    for param in kind.params:
        needed = param.required or (param.required_unless_irreversible and "irreversible" not in value)
        if param.name not in value and needed:
            problems.add((*path, param.name), f"this key is required, and missing ({param.expected()})")
        elif param.name in value or param.default != "":
            try:
                params[param.name] = param.read(value.get(param.name, param.default))
            except ValueError as error:
                problems.add((*path, param.name), str(error))
    return params
