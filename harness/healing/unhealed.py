"""The note that any command gives when a run and its reaper died together: the target may still be broken.

Asked by every command, so it imports nothing until there is a ledger: without one it costs a look at a folder.
"""

from __future__ import annotations

import os

from harness import state
from harness.errors import BadInput, EnvironmentBroke

RUNS = "runs"
SUFFIX = ".jsonl"
"""As in ledger.py, which takes too long to import for nothing."""


def unhealed_note() -> str:
    """A line for each run that is over with faults possibly in force and nobody left to heal them; normally empty."""
    try:
        names = sorted(entry.name for entry in os.scandir(state.folder() / RUNS) if entry.name.endswith(SUFFIX))
    except (
        OSError,
        EnvironmentBroke,
    ):  # no such folder, normally; what cannot be read is told by the commands that need it
        return ""
    lines = [line for name in names if (line := _line(name))]
    return "\n".join(lines)


def _line(name: str) -> str:
    from harness.healing.hand import alive, reaped
    from harness.ledger import read

    try:
        account = read(state.folder() / RUNS / name)
    except BadInput as error:
        gone = not (state.folder() / RUNS / name).exists()  # its run has just closed it
        return "" if gone else f"{error}" + (f" ({error.hint})" if error.hint else "")
    run, count = account.path.stem, len(account.open)
    if not (count or account.damaged) or reaped(account) or (account.opened is not None and alive(account.opened)):
        return ""
    if not count:
        return f"run {run} is over and its ledger is damaged: harness heal"
    return f"run {run} is over with {count} fault{'s' * (count > 1)} possibly still in force: harness heal"
