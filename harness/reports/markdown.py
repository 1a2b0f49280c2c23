"""report.md: the report for a pull request, a ticket or a retro."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from harness.reports.escape import markdown as md
from harness.reports.story import SYMBOLS, Row, Story
from harness.reports.words import NO_VALUE
from harness.verdict import Outcome

NUMBER_HEADS = ("Metric", "Where", "Target", "Actual", "Status")


def markdown(told: Story, plots: Sequence[tuple[str, str, str]] = ()) -> str:
    """The report. `plots` are (file, title, alt) of pictures beside it."""
    return "\n".join(_blocks(told, plots)).rstrip() + "\n"


def _blocks(told: Story, plots: Sequence[tuple[str, str, str]]) -> Iterator[str]:
    yield f"# {told.symbol} {told.word}: {md(told.experiment)}\n"
    yield f"**{md(told.headline, 400)}**\n"
    yield from _target(told)
    yield f"Hypothesis: {md(told.hypothesis, 1000)}\n"
    yield from _table(("", ""), told.key_facts)
    yield "## By the numbers\n"
    if told.rows:
        yield from _table(NUMBER_HEADS, [_number(row) for row in told.rows])
    else:
        yield "Nothing was judged.\n"
    yield from _list("What would decide it", told.undecided)
    yield from _point(told)
    yield from _generator(told)
    for file, title, alt in plots:
        yield f"## {md(title)}\n\n![{md(alt)}]({file})\n"
    yield from _faults(told)
    yield from _list(
        "What limits this evidence", [f"{place}: {what} ({effect})" for place, what, effect in told.defects]
    )
    yield from _list("Warnings", told.warnings)
    yield from _samples(told)
    yield "## Do it again\n"
    yield from (f"{md(why)}:\n\n    {command}\n" for why, command in told.commands)
    yield "## Provenance\n"
    yield from _table(("", ""), told.provenance)


def _target(told: Story) -> Iterator[str]:
    mark = {True: "\N{CHECK MARK}", False: "\N{MULTIPLICATION X}", None: "?"}[told.target.clean]
    yield f"{mark} {md(told.target.sentence)}\n"
    if told.target.left:
        yield from _table(("Left on the target", "Type"), told.target.left)


def _number(row: Row) -> tuple[str, ...]:
    interval = f" ({row.interval})" if row.interval != NO_VALUE else ""
    miss = f", {row.miss}" if row.miss else ""
    status = f"{SYMBOLS[row.outcome]} {row.outcome.value}{miss}"
    reason = f": {row.because}" if row.outcome is not Outcome.PASS else ""
    return row.metric, row.place, row.target, f"{row.actual}{interval}", f"{status}{reason}"


def _point(told: Story) -> Iterator[str]:
    if not told.point:
        return
    because = "" if told.point_because in told.point else f" {md(told.point_because)}."
    yield f"## Breaking point\n\n**{md(told.point)}**{because}\n"
    if told.levels:
        yield from _table(told.level_heads, told.levels)


def _generator(told: Story) -> Iterator[str]:
    if not told.generator.blame:
        return
    yield f"## Target or generator?\n\n**{md(told.generator.blame, 400)}.**\n"
    if told.generator.self_test:
        yield f"{md(told.generator.self_test, 400)}.\n"
    yield from _table(told.generator.heads, told.generator.rows)


def _faults(told: Story) -> Iterator[str]:
    if not told.faults:
        return
    yield "## Faults\n\nTimes count from the start of the first stage.\n"
    heads = ("Fault", "What", "Stage", "Asked", "In force", "Asked to end", "Over", "Felt", "Proof")
    yield from _table(
        heads,
        [
            (one.name, one.what, one.stage, one.asked, one.in_force, one.heal_asked, one.over, one.felt,
             "; ".join(filter(None, (one.proof, *one.troubles))))
            for one in told.faults
        ],
    )  # fmt: skip


def _samples(told: Story) -> Iterator[str]:
    if not told.samples:
        return
    yield "## Failed requests to look at\n"
    yield from _table(
        ("Due", "Endpoint", "Failure", "Latency", "Message"),
        [(one.at, one.endpoint, one.failure, one.latency, one.message) for one in told.samples],
    )
    if told.samples_left_out:
        yield f"{told.samples_left_out:,} more are in the journal.\n"


def _list(title: str, items: Sequence[str]) -> Iterator[str]:
    if items:
        yield f"## {title}\n"
        yield from (f"- {md(item, 600)}" for item in items)
        yield ""


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{' --- |' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(md(cell, 600) for cell in row)} |"
    yield ""
