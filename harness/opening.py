"""What a run has before it touches anything: its lock on the target, and its ledger."""

from __future__ import annotations

import getpass
import os
from contextlib import suppress

from harness.clients.process import started_at
from harness.clock import SystemClock, wall_now
from harness.errors import EnvironmentBroke
from harness.experiment import ComposeStack, Experiment
from harness.healing import boot
from harness.ledger import SCHEMA, Ledger, Opened
from harness.locks import Held, Owner, hold, keys
from harness.result import RunFolder
from harness.state import VARIABLE


def lock(experiment: Experiment, folder: RunFolder) -> Held:
    """Be the only harness at the target. Raises BadInput that says who is there already."""
    owner = Owner(
        run=folder.run,
        experiment=experiment.name,
        user=_user(),
        pid=os.getpid(),
        since=wall_now().isoformat(timespec="seconds"),
    )
    return hold(keys(experiment), owner)


def ledger(experiment: Experiment, folder: RunFolder, clock: SystemClock) -> Ledger:
    """A ledger for the run, in the state folder. Raises EnvironmentBroke: without one nothing may be touched."""
    pid = os.getpid()
    opened = Opened(
        schema=SCHEMA,
        run=folder.run,
        experiment=experiment.name,
        folder=str(folder.path.absolute()),
        user=_user(),
        wall=wall_now().isoformat(timespec="milliseconds"),
        pid=pid,
        pid_started=started_at(pid) or 0.0,
        boot=boot(),
        origin_ns=clock.origin_ns,
    )
    try:
        return Ledger.create(opened)
    except OSError as error:
        raise EnvironmentBroke(
            f"the ledger of what must be undone cannot be written: {error.strerror or error}",
            hint=f"make room, or give another folder in {VARIABLE}; nothing was touched",
        ) from error


def _user() -> str:
    """The user's name; in containers there may be none for our number."""
    with suppress(KeyError, OSError):
        return getpass.getuser()
    return f"uid {os.getuid()}"


def drivers(experiment: Experiment) -> tuple[str, ...]:
    """What the reaper may have to heal with."""
    needed = {fault.driver for fault in experiment.faults}
    if isinstance(experiment.stack, ComposeStack):
        needed.add("compose")
    if "://" in experiment.toxiproxy:
        needed.add("links")
    return tuple(sorted(needed))
