"""What became of the trials, for a person."""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from tests.chaos.trial import INSTANTS, WAYS, Outcome

K = TypeVar("K")
PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- measured by: make chaos -->", "<!-- end of the measured part -->"


def as_text(outcomes: Iterable[Outcome]) -> str:
    """Both tables as Markdown."""
    every = list(outcomes)
    return "\n".join([*_by_kind(every), "", *_by_instant(every)])


def _by_kind(outcomes: list[Outcome]) -> list[str]:
    """One row for each kind of fault in force, a column for each way of ending."""
    rows: defaultdict[tuple[str, str], list[Outcome]] = defaultdict(list)
    for one in outcomes:
        for kind in one.trial.faults:
            rows[kind].append(one)
    return _table(
        "fault in force",
        sorted(rows),
        WAYS,
        lambda kind, way: [one for one in rows[kind] if one.trial.way == way],
        lambda kind: f"{kind[0]}: {kind[1]}",
    )


def _by_instant(outcomes: list[Outcome]) -> list[str]:
    return _table(
        "instant",
        INSTANTS,
        WAYS,
        lambda instant, way: [one for one in outcomes if (one.trial.instant, one.trial.way) == (instant, way)],
        str,
    )


def _table(
    what: str,
    keys: Iterable[K],
    ways: tuple[str, ...],
    pick: Callable[[K, str], list[Outcome]],
    name: Callable[[K], str],
) -> list[str]:
    lines = [f"| {what} | {' | '.join(ways)} |", f"|---|{'---|' * len(ways)}"]
    lines += [f"| {name(key)} | {' | '.join(_cell(pick(key, way)) for way in ways)} |" for key in keys]
    return lines


def _cell(outcomes: list[Outcome]) -> str:
    """trials, residues, the longest time until all was as before."""
    if not outcomes:
        return ""
    left = sum(one.healed_s is None for one in outcomes)
    times = [one.healed_s for one in outcomes if one.healed_s is not None]
    longest = f"{max(times):.1f} s" if times else "-"
    return f"{len(outcomes)}: {left} left, {longest}"


def write(outcomes: list[Outcome], seed: int) -> None:
    """Put the tables into docs/reliability.md, between its marks."""
    text = PAGE.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    left = sum(one.healed_s is None for one in outcomes)
    times = sorted(one.healed_s for one in outcomes if one.healed_s is not None)
    today = datetime.datetime.now(tz=datetime.UTC).date()
    summary = (
        f"{today}, {len(outcomes)} trials (seed {seed}): **{left} left anything behind**; until everything was as "
        f"before, median {times[len(times) // 2]:.1f} s, longest {times[-1]:.1f} s. Each cell: trials, how many left "
        "anything behind, the longest time until the target was as before."
    )
    PAGE.write_text(f"{head}{BEGIN}\n\n{summary}\n\n{as_text(outcomes)}\n\n{END}{rest.partition(END)[2]}", "utf-8")
