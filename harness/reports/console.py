"""The summary printed at the end of a run: 80 columns, readable without colour."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from harness.evidence import Evidence
from harness.reports.story import STATE_WORDS, SYMBOLS, Row, Story, story
from harness.units import format_rate
from harness.verdict import Level, Outcome, Verdict

COLUMNS = 80
_STYLES = {Outcome.PASS: "green", Outcome.FAIL: "red", Outcome.INCONCLUSIVE: "yellow"}
_MOST_ROWS = 12
_MOST_SAMPLES = 3


def summary(verdict: Verdict, evidence: Evidence, folder: str, *, colour: bool = False, columns: int = COLUMNS) -> str:
    """The end of a run in words and one table; `folder` is where the reports are."""
    out = io.StringIO()
    console = Console(
        file=out, width=columns, force_terminal=colour, color_system="standard" if colour else None,
        highlight=False, emoji=False, markup=False, legacy_windows=False,
    )  # fmt: skip
    for part in _parts(story(verdict, evidence), verdict, folder):
        console.print(part, soft_wrap=isinstance(part, str))
    return out.getvalue().rstrip("\n")


def _parts(told: Story, verdict: Verdict, folder: str) -> Iterator[RenderableType]:
    style = f"bold {_STYLES[told.mood]}{' reverse' if told.target.clean is False else ''}"
    yield Text.assemble((f"{told.symbol} {told.word}", style), f"  {told.experiment}")
    yield Text(told.headline)
    if told.target.clean is not False:
        yield Text(f"{told.target.sentence}.", style="" if told.target.clean else "yellow")
    for what, _ in told.target.left:
        yield Text.assemble(("Left: ", "bold red"), what)
    yield Text("")
    if told.rows:
        yield _findings(told)
    if told.point:
        facts = "".join(f" {name}: {value}." for name, value in told.point_facts)
        yield Text.assemble(("Breaking point: ", "bold"), told.point, facts)
        states = [
            f"{_level(level)} {STATE_WORDS.get(level.state, level.state)}"
            for level in (verdict.breaking_point.levels if verdict.breaking_point else ())
        ]
        if states:
            yield Text(f"Levels: {', '.join(states)}")
    yield from _generator(told)
    for reason in told.undecided[:4]:
        yield Text.assemble(("Undecided: ", "bold"), reason)
    for warning in told.warnings[:4]:
        yield Text.assemble(("Warning: ", "bold"), warning)
    first_of = {sample.failure: sample for sample in reversed(told.samples)}
    for sample in list(first_of.values())[-_MOST_SAMPLES:]:
        yield Text(f"Failed at {sample.at}: {sample.endpoint}, {sample.failure}, {sample.latency}: {sample.message}")
    yield Text("")
    yield f"Report: {folder}/report.html"


def _generator(told: Story) -> Iterator[Text]:
    if told.generator.blame:
        yield Text.assemble(("Blame: ", "bold"), f"{told.generator.blame}.")
    if told.generator.self_test:
        yield Text(f"{told.generator.self_test}.")


def _level(level: Level) -> str:
    return format_rate(level.rate) if level.unit == "per_s" else f"{level.users:,}"


def _findings(told: Story) -> RenderableType:
    """The findings as a table. When they are many, those that passed are counted instead of listed."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    table.add_column("Question", max_width=9)
    table.add_column("Subject", overflow="fold")
    table.add_column("Observed", justify="right", no_wrap=True)
    table.add_column("Limit", justify="right", no_wrap=True)
    table.add_column("Interval")
    many = len(told.rows) > _MOST_ROWS
    shown = [row for row in told.rows if not many or row.outcome is not Outcome.PASS][:_MOST_ROWS]
    for row in shown:
        state = Text(f"{SYMBOLS[row.outcome]} {row.outcome.value}", style=_STYLES[row.outcome])
        table.add_row(state, row.question.replace("_", " "), _subject(row), row.actual, row.target, row.interval)
    left_out = Counter(row.outcome.value for row in told.rows) - Counter(row.outcome.value for row in shown)
    for outcome, count in left_out.items():
        table.add_row(f"and {count} {outcome}", "", "", "", "", "")
    return table


def _subject(row: Row) -> str:
    return f"{row.metric}{f' [{row.place}]' if row.place else ''}"
