"""Errors that a person can act on, and the one table of exit codes.

Every error that reaches a user is a `HarnessError`: what is wrong, where, and what to do about it, with the
exit code that CI concludes from. A traceback is a defect of ours, never an answer to a mistake of theirs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum


class ExitCode(IntEnum):
    """What `harness` returns to the shell. Scripts depend on these numbers."""

    PASS = 0
    FAIL = 1
    INCONCLUSIVE = 2
    BAD_INPUT = 3
    BROKEN = 4
    DIRTY = 5
    INTERRUPTED = 130


EXIT_MEANINGS: dict[ExitCode, str] = {
    ExitCode.PASS: "every finding passed",
    ExitCode.FAIL: "a limit was broken, and the interval says so",
    ExitCode.INCONCLUSIVE: "the evidence does not decide; the report says what would",
    ExitCode.BAD_INPUT: "the experiment or the arguments are wrong; nothing was touched",
    ExitCode.BROKEN: "the harness or its environment broke; no verdict on the target",
    ExitCode.DIRTY: "a fault could not be taken back; the message names the command to type",
    ExitCode.INTERRUPTED: "stopped by a signal; faults were healed, the journal is kept",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing wrong with an input: `where` is file:line, `path` is a place inside such as stages[2].hold."""

    where: str
    path: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        place = " ".join(part for part in (self.where, self.path) if part)
        tail = f" ({self.hint})" if self.hint else ""
        return f"{place}: {self.message}{tail}" if place else f"{self.message}{tail}"


class HarnessError(Exception):
    """An error with a hint and an exit code. `str()` is the message without the hint."""

    exit_code: ExitCode = ExitCode.BROKEN

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class BadInput(HarnessError):
    """The experiment, a file or an argument is wrong. Carries *all* problems that were found."""

    exit_code = ExitCode.BAD_INPUT

    def __init__(self, message: str = "", *, hint: str = "", problems: Iterable[Problem] = ()) -> None:
        self.problems = tuple(problems)
        super().__init__(message or "\n".join(str(problem) for problem in self.problems), hint=hint)


class EnvironmentBroke(HarnessError):
    """Something outside did not do its part: Docker away, a port taken, a worker that cannot start."""

    exit_code = ExitCode.BROKEN


class TargetDirty(HarnessError):
    """A fault is still in force on the target. The hint is the exact command that takes it back."""

    exit_code = ExitCode.DIRTY
