"""When faults are in force: repetitions counted out, random schedules drawn from the seed, and none that fight.

The seed and the file are all that a schedule is drawn from, so a recorded document gives the same faults again.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from harness.experiment import ROLES, Fault, Selector, Stage
from harness.loader.document import MAX_ENTRIES
from harness.loader.draft import Draft, no_such
from harness.loader.faults import Effect, WrittenFault, WrittenRandom
from harness.loader.problems import Path, Problems
from harness.loader.sections import Placed
from harness.loader.victims import may_meet, resolve_on
from harness.units import NS_PER_MS, NS_PER_S, format_duration

# A random fault leaves so much time to what was in force on its knob before, since healing takes a moment.
REST_NS = 2 * NS_PER_S
MAX_FAULTS = 2 * MAX_ENTRIES


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduled:
    """A fault with its place in the file and what it turns."""

    path: Path
    fault: Fault
    knobs: frozenset[str]

    def fights(self, other: Scheduled) -> bool:
        """Whether the two may not be in force at one time."""
        if (self.fault.driver, self.fault.stage) != (other.fault.driver, other.fault.stage):
            return False
        turns_one = bool(self.knobs & other.knobs) or "state" in self.knobs | other.knobs
        return turns_one and may_meet(self.fault, other.fault)

    @property
    def end_ns(self) -> int:
        """When it is healed, from the start of the stage's hold."""
        return self.fault.after_ns + self.fault.hold_ns


def schedule(draft: Draft, problems: Problems) -> tuple[Placed[Fault], ...]:
    """Every fault with its time, those written first at their places; what makes no sense is a problem."""
    written: dict[Path, tuple[Scheduled, ...]] = {
        placed.path: tuple(_written(placed.path, placed.value, draft, problems))
        for placed in draft.faults
        if isinstance(placed.value, WrittenFault)
    }
    all_of_them = [each for found in written.values() for each in found]
    if _too_many(all_of_them, problems):
        return ()
    _refuse_fights(all_of_them, problems)
    for placed in draft.faults:
        if isinstance(placed.value, WrittenRandom) and not _too_many(all_of_them, problems):
            written[placed.path] = tuple(_random(placed.path, placed.value, all_of_them, draft, problems))
            all_of_them += written[placed.path]
    return tuple(
        Placed(path=each.path, value=each.fault) for placed in draft.faults for each in written.get(placed.path, ())
    )


def _too_many(faults: Sequence[Scheduled], problems: Problems) -> bool:
    if len(faults) > MAX_FAULTS:
        problems.add(("faults",), f"expected at most {MAX_FAULTS} faults with all repetitions, got {len(faults)}")
    return len(faults) > MAX_FAULTS


def _stage(during: str, path: Path, draft: Draft, problems: Problems) -> Stage | None:
    names = draft.named["stages"]
    if during not in names:
        role = "; a role is not enough, since a fault belongs to one stage" if during in ROLES else ""
        problems.add((*path, "during"), no_such("stage", during, names) + role)
    return next((stage.value for stage in draft.stages if stage.value.name == during), None)


def _written(path: Path, written: WrittenFault, draft: Draft, problems: Problems) -> Iterator[Scheduled]:
    before = len(problems.found)
    stage = _stage(written.keys.during, path, draft, problems)
    on = resolve_on(written.effect, path, draft, problems)
    if stage is None:
        return
    hold_ns = _length(written, path, stage, problems)
    times = _times(written, path, stage, problems) if len(problems.found) == before else 0
    if len(problems.found) > before:
        return
    first = _scheduled(path, written.effect, on, stage, name=written.name, after_ns=written.keys.after, hold_ns=hold_ns)
    if written.keys.every is None:
        yield first
        return
    for number in range(times):
        name, after_ns = f"{written.name}-{number + 1}", first.fault.after_ns + number * written.keys.every
        yield replace(first, fault=replace(first.fault, name=name, group=written.name, after_ns=after_ns))


def _scheduled(
    path: Path, effect: Effect, on: str, stage: Stage, *, name: str, after_ns: int, hold_ns: int, group: str = ""
) -> Scheduled:
    fault = Fault(
        name=name,
        driver=effect.kind.driver,
        kind=effect.kind.name,
        on=on,
        params=effect.params,
        stage=stage.name,
        after_ns=after_ns,
        hold_ns=hold_ns,
        group=group,
        select=effect.on if isinstance(effect.on, Selector) else None,
        irreversible=effect.irreversible,
        written=path,
    )
    return Scheduled(path=path, fault=fault, knobs=effect.kind.knobs(effect.params))


def _length(written: WrittenFault, path: Path, stage: Stage, problems: Problems) -> int:
    keys = written.keys
    left_ns = _left(keys.after, path, stage, problems)
    if left_ns > 0 and keys.hold is not None and keys.hold > left_ns:
        problems.add(
            (*path, "for"),
            f"the fault outlasts {stage.name}: after {format_duration(keys.after)} + for {format_duration(keys.hold)}"
            f" is more than its hold of {format_duration(stage.hold_ns)}",
            hint=f"at most {format_duration(left_ns)} is left, or lengthen the hold",
        )
    return left_ns if keys.hold is None else keys.hold


def _left(after_ns: int, path: Path, stage: Stage, problems: Problems) -> int:
    if after_ns >= stage.hold_ns:
        hold, got = format_duration(stage.hold_ns), format_duration(after_ns)
        problems.add((*path, "after"), f"expected less than {hold}, the hold of {stage.name}, got {got}")
    return stage.hold_ns - after_ns


def _times(written: WrittenFault, path: Path, stage: Stage, problems: Problems) -> int:
    """How many repetitions: those asked for, when they fit, else as many as fit."""
    keys = written.keys
    if keys.every is None or keys.hold is None:
        return 1
    fit = (stage.hold_ns - keys.after - keys.hold) // keys.every + 1
    if keys.times is None and fit > MAX_ENTRIES:
        problems.add((*path, "every"), f"expected at most {MAX_ENTRIES} repetitions, got {fit}", hint="say times")
    if keys.times is not None and keys.times > fit:
        needed_ns = keys.after + keys.hold + (keys.times - 1) * keys.every
        problems.add(
            (*path, "times"),
            f"the repetitions outlast {stage.name}: {keys.times} of them need {format_duration(needed_ns)}"
            f" of its hold of {format_duration(stage.hold_ns)}",
            hint=f"{fit} fit; without times there are as many as fit",
        )
    return min(keys.times or fit, MAX_ENTRIES + 1)


def _refuse_fights(faults: Sequence[Scheduled], problems: Problems) -> None:
    near: dict[tuple[str, str], list[Scheduled]] = defaultdict(list)
    for each in faults:
        near[each.fault.driver, each.fault.stage].append(each)
    told: set[tuple[Path, Path]] = set()
    for group in near.values():
        for first, second in combinations(group, 2):
            apart = first.fault.after_ns >= second.end_ns or second.fault.after_ns >= first.end_ns
            if apart or (first.path, second.path) in told or not first.fights(second):
                continue
            told.add((first.path, second.path))
            _fight(first.fault, second, problems)


def _fight(one: Fault, second: Scheduled, problems: Problems) -> None:
    two = second.fault
    over = one.on if one.on == two.on else f"what both may hit, {one.on} and {two.on},"
    problems.add(
        second.path,
        f"the faults {one.name} ({one.kind}) and {two.name} ({two.kind}) fight over {over} at the same time",
        hint="let one end before the other begins, or move one to another stage",
    )


def _random(
    path: Path, written: WrittenRandom, others: Sequence[Scheduled], draft: Draft, problems: Problems
) -> Iterator[Scheduled]:
    before, place, keys = len(problems.found), (*path, "random"), written.keys
    stage = _stage(keys.during, place, draft, problems)
    ons = [resolve_on(drawn.value.effect, drawn.path, draft, problems) for drawn in written.pool]
    if stage is None:
        return
    left_ns = _left(keys.after, place, stage, problems)
    if left_ns > 0:
        left_ns = _window(written, place, stage, left_ns, problems)
    if len(problems.found) > before:
        return
    pool = [
        replace(
            _scheduled(
                each.path, each.value.effect, on, stage, name=written.name, after_ns=0, hold_ns=each.value.hold_ns
            ),
            path=path,
        )
        for each, on in zip(written.pool, ons, strict=True)
    ]
    found = _drawn(pool, written, draft.seed, keys.after + left_ns, others)
    if not found:
        message = f"the seed {draft.seed} draws no fault that fits into {stage.name}, so nothing would be tried"
        problems.add(place, message, hint="another seed, a higher rate, or a longer hold")
    yield from found


def _window(written: WrittenRandom, place: Path, stage: Stage, left_ns: int, problems: Problems) -> int:
    """How long the schedule lasts; everything that it may draw must fit into that."""
    keys = written.keys
    if keys.hold is not None and keys.hold > left_ns:
        problems.add(
            (*place, "for"),
            f"the schedule outlasts {stage.name}: at most {format_duration(left_ns)} of its hold is left,"
            f" got {format_duration(keys.hold)}",
        )
    window_ns = min(left_ns, keys.hold or left_ns)
    if window_ns > MAX_ENTRIES * keys.rate:
        message = f"expected at most {MAX_ENTRIES} faults on average, got about {window_ns // keys.rate}"
        problems.add((*place, "rate"), message)
    for drawn in written.pool:
        if drawn.value.hold_ns > window_ns:
            got = format_duration(drawn.value.hold_ns)
            message = f"the fault never fits into the {format_duration(window_ns)} of the schedule, got {got}"
            problems.add((*drawn.path, "for"), message)
    return window_ns


def _drawn(
    pool: Sequence[Scheduled], written: WrittenRandom, seed: int, end_ns: int, others: Sequence[Scheduled]
) -> list[Scheduled]:
    """Poisson arrivals, each as likely of the pool. Who finds its knob turned waits; who could not end is left out.

    Only `random()` is used, whose numbers are the same in every version of Python.
    """
    dice = random.Random(f"{seed}/{written.name}")  # noqa: S311 - to be reproducible; nobody gains by guessing it
    found: list[Scheduled] = []
    at_ns = float(written.keys.after)
    while (at_ns := at_ns - math.log(1 - dice.random()) * written.keys.rate) < end_ns:
        chosen = pool[int(dice.random() * len(pool))]
        start_ns = _free(chosen, round(at_ns / NS_PER_MS) * NS_PER_MS, [*others, *found])
        if start_ns + chosen.fault.hold_ns <= end_ns:
            found.append(replace(chosen, fault=replace(chosen.fault, group=written.name, after_ns=start_ns)))
    found.sort(key=lambda each: each.fault.after_ns)
    return [
        replace(each, fault=replace(each.fault, name=f"{written.name}-{number}"))
        for number, each in enumerate(found, start=1)
    ]


def _free(chosen: Scheduled, at_ns: int, others: Sequence[Scheduled]) -> int:
    """The first instant from `at_ns` at which nothing that it would fight with is in force, nor for a rest around."""
    foes = sorted((each for each in others if chosen.fights(each)), key=lambda each: each.fault.after_ns)
    for foe in foes:
        if at_ns < foe.end_ns + REST_NS and foe.fault.after_ns < at_ns + chosen.fault.hold_ns + REST_NS:
            at_ns = foe.end_ns + REST_NS
    return at_ns
