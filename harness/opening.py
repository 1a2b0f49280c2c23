"""What a run has before it touches anything: its lock on the target, its ledger, its gate for workers."""

from __future__ import annotations

import getpass
import os
from contextlib import suppress
from pathlib import Path

from harness.clients.process import started_at
from harness.clock import SystemClock, wall_now
from harness.errors import BadInput, EnvironmentBroke
from harness.experiment import ComposeStack, Experiment
from harness.healing.hand import boot
from harness.ledger import SCHEMA, Ledger, Opened
from harness.locks import Held, Owner, hold, keys
from harness.result import RunFolder
from harness.state import VARIABLE
from harness.traffic.hosts.gate import Gate, Say
from harness.traffic.hosts.token import about_this, given_token


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


def gate(experiment: Experiment, token_file: Path | None, say: Say) -> Gate | None:
    """Where workers of other hosts will join, not open yet; None when none are expected. Raises BadInput: the token."""
    workers = experiment.traffic.workers
    if workers is None:
        if token_file is not None:
            raise BadInput("--token-file is for workers, and this experiment expects none", hint="traffic: {workers:}")
        return None
    return Gate(workers, given_token(token_file), about_this(), say)


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
