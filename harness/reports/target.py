"""How a run left its target: clean, dirty (with what to type), or not known."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from harness.evidence import Evidence
from harness.reports import words
from harness.reports.escape import clean
from harness.verdict import Verdict

_SECONDS = re.compile(r"at ([\d.]+) s")
_COMMAND = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """How the target was left: `clean` is None when nobody could tell. `left` holds (what, the command to type)."""

    clean: bool | None
    sentence: str
    left: tuple[tuple[str, str], ...]


def target_of(verdict: Verdict, evidence: Evidence) -> Target:
    """Whether the run left anything on the target, by the last look at it."""
    if verdict.dirty:
        left = tuple(left_of(line) for line in verdict.dirty)
        return Target(clean=False, sentence=f"Target left dirty: {words.things(len(left))} not taken back", left=left)
    if evidence.checked:
        text = clean(_SECONDS.sub(lambda found: _wall(found, evidence.header.wall), evidence.checked))
        return Target(clean=True, sentence=text[:1].upper() + text[1:], left=())
    unknown = "Not known whether the target was left clean; look at it with: harness heal --dry-run"
    return Target(clean=None, sentence=unknown, left=())


def _wall(found: re.Match[str], wall: str) -> str:
    """`at 53.5 s` on the run's clock as a time of day, which people and other logs share."""
    try:
        began = datetime.fromisoformat(wall)
    except ValueError:
        return found[0]
    return f"at {began + timedelta(seconds=float(found[1])):%H:%M:%S %Z}".rstrip()


def left_of(line: str) -> tuple[str, str]:
    """What is left and the command that takes it away, of a line such as `slow-db: latency on db: why; type: ...`."""
    what, found, command = clean(line, _COMMAND).partition("; type: ")
    return what, command if found else ""
