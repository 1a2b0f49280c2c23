"""Before a run: is this machine's generator up to what is planned? Said, or refused, before anything is touched."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from harness.experiment import Experiment
from harness.journal import Event, SelfTest, Trouble
from harness.traffic.locust_check import UserClass, check_scenario
from harness.traffic.sizing.planned import described, is_due, planned, require_carried
from harness.traffic.sizing.processes import decide
from harness.traffic.sizing.room import addresses_used
from harness.traffic.sizing.selftest import CLIENTS, Client, self_test

SOURCE = "self-test"
NOT_RUN = "not run (--no-self-test): what this machine's generator carries is not known"
_ELSEWHERE = "not run: the load comes from other hosts, and what they carry is not known here"
_FOLDER = "self-test"

Now = Callable[[], int]
Say = Callable[[str], None]


def try_out(experiment: Experiment, *, skip: bool, log_dir: Path, now: Now, say: Say | None) -> tuple[Event, ...]:
    """What the journal is to tell of it, nothing when so little is planned that it was not due.

    Takes some eight seconds; `say` hears the outcome in a line. Raises BadInput when the plan is beyond what the
    generator carries, or the scenario cannot be imported; EnvironmentBroke when nothing could be measured.
    """
    if not is_due(experiment):
        return ()
    if skip or experiment.traffic.workers is not None:
        return (Trouble(at_ns=now(), source=SOURCE, message=NOT_RUN if skip else _ELSEWHERE),)
    classes = check_scenario(experiment.traffic, Path(experiment.base_dir))
    client = costliest(classes)
    if client is None:
        others = ", ".join(sorted(one.name for one in classes if one.client not in CLIENTS))
        message = f"not run: {others} has a client of its own, and what this generator carries of it is not known"
        return (Trouble(at_ns=now(), source=SOURCE, message=message),)
    plan = planned(experiment, classes)
    with Progress(shown=say is not None) as progress:
        addresses = addresses_used(experiment) if client == "FastUser" else 1
        processes = decide(experiment).number
        test = self_test(client, processes, log_dir=log_dir / _FOLDER, addresses=addresses, say=progress)
    test = replace(test, at_ns=now())
    doubt = require_carried(test, plan)
    if say is not None:
        say(f"{SOURCE}: {described(test)}")
    return (test, *([Trouble(at_ns=now(), source=SOURCE, message=doubt)] if doubt else []))


def costliest(classes: Sequence[UserClass]) -> Client | None:
    """The kind of user that costs the most CPU among them; None when one of them has a client that is not ours."""
    found = {one.client for one in classes}
    return next((client for client in reversed(CLIENTS) if client in found), None) if found <= set(CLIENTS) else None


def measured(client: Client, processes: int) -> SelfTest:
    """One kind of user, whatever is planned: what `harness self-test` does."""
    with TemporaryDirectory() as logs, Progress(shown=True) as progress:
        return self_test(client, processes, log_dir=Path(logs), say=progress)


class Progress:
    """The rate that is being tried, on a line of the terminal that is gone afterwards."""

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown and sys.stdout.isatty()

    def __enter__(self) -> Progress:
        self("starting")
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            click.echo("\r\033[K", nl=False)

    def __call__(self, what: str) -> None:
        """Show it in the place of what was there."""
        if self._shown:
            click.echo(f"\r\033[K{SOURCE} of the generator: {what}", nl=False)
