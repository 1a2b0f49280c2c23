"""Where the harness keeps what must outlive it: one folder per user, found again by any later command.

$HARNESS_STATE, else $XDG_STATE_HOME/harness, else ~/.local/state/harness   (XDG Base Directory Specification)
    runs/<run>.jsonl    the ledger of a run that is under way, or that died before all was undone
    locks/<key>         who works at a target now (see locks.py)
"""

from __future__ import annotations

import os
from pathlib import Path

from harness.errors import EnvironmentBroke

VARIABLE = "HARNESS_STATE"


def folder() -> Path:
    """The state folder; it need not exist. Raises EnvironmentBroke for a user without a home who names none."""
    if own := os.environ.get(VARIABLE):
        return Path(own).absolute()
    base = os.environ.get("XDG_STATE_HOME", "")
    if base.startswith("/"):
        return Path(base) / "harness"
    try:
        return Path.home() / ".local" / "state" / "harness"
    except RuntimeError as error:
        raise EnvironmentBroke(
            "this user has no home folder, in which undo records could be kept", hint=f"give a folder in {VARIABLE}"
        ) from error


def made(name: str) -> Path:
    """A folder in the state folder, made if need be, for nobody else to read. Raises EnvironmentBroke."""
    path = folder() / name
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise EnvironmentBroke(
            f"{path}: cannot be made: {error.strerror}", hint=f"give a folder that can be written in {VARIABLE}"
        ) from error
    return path
