"""Collects everything that is wrong with an input, each with its place, so that all is told at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from harness.errors import BadInput, Problem
from harness.secrets import mask_text

Path = tuple[str | int, ...]
_LONGEST_SHOWN = 80
_LONGEST_WORD = 40


def path_text(path: Path) -> str:
    """stages[2].hold for ("stages", 2, "hold")."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def shown(value: object) -> str:
    """A written value for a message: as a person would recognise it, short, and with secrets masked."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    text = mask_text(repr(value))
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 3] + "..."


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """'; did you mean latency?' when something known is near, else nothing."""
    near = nearest(word, known)
    return f"; did you mean {near[0]}?" if near else ""


def nearest(word: str, known: Iterable[str]) -> list[str]:
    """The known word that is nearest, when any is near."""
    return difflib.get_close_matches(word[:_LONGEST_WORD], list(known), n=1, cutoff=0.6)


@dataclass(slots=True, kw_only=True)
class Problems:
    """The problems found so far. `lines` gives the line of a path in `where`; `overridden` paths came from --set."""

    where: str
    lines: Mapping[Path, int] = field(default_factory=dict)
    overridden: dict[Path, str] = field(default_factory=dict)
    found: list[Problem] = field(default_factory=list)

    def add(self, path: Path, message: str, *, hint: str = "") -> None:
        """Note that something at `path` is wrong."""
        problem = Problem(where=self._place(path), path=path_text(path), message=mask_text(message), hint=hint)
        if problem not in self.found:
            self.found.append(problem)

    def stop_if_any(self) -> None:
        """Raise BadInput with all problems, in the order of the file, when there are some."""
        if self.found:
            raise BadInput(problems=sorted(self.found, key=_file_order))

    def _place(self, path: Path) -> str:
        """--set, or file:line of the nearest enclosing thing that has a line."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.overridden:
                return self.overridden[path[:length]]
            if path[:length] in self.lines:
                return f"{self.where}:{self.lines[path[:length]]}"
        return self.where


def _file_order(problem: Problem) -> int:
    line = "" if problem.where.startswith("--set") else problem.where.rpartition(":")[2]
    return int(line) if line.isdecimal() else 0
