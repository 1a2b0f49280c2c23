"""Taking back what a dead run left in force, from its journal alone: `harness heal`.

A fault's `FaultIntended` line holds what is needed to undo it. Process stacks and our own Toxiproxy servers end with
the harness that started them, so what can be left is container state and toxics on a server of the user's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

from harness.clients.toxiproxy import Toxiproxy
from harness.errors import BadInput, ExitCode, HarnessError, TargetDirty
from harness.experiment import Experiment
from harness.faults import FaultDriver
from harness.faults.container import ContainerFaults
from harness.faults.toxiproxy import ToxiproxyFaults
from harness.journal import FaultHealed, FaultIntended, RunEnded, RunStarted, Writer, read
from harness.loader import from_document
from harness.result import RunFolder, find, runs

Say = Callable[[str], None]


def heal_runs(run: str | None, *, output: Path, dry_run: bool, say: Say) -> ExitCode:
    """Heal one run, or every run below `output`. Raises TargetDirty when something cannot be healed."""
    folders = [find(run, output)] if run else list(runs(output))
    left: list[str] = []
    healed = 0
    for folder in folders:
        try:
            header, open_faults = unhealed(folder)
        except BadInput as error:
            left.append(f"{folder.run}: {error}")  # one damaged journal must not stop the healing of the others
            continue
        if not open_faults or header is None:
            continue
        if _alive(header):
            say(f"{folder.run}: is still running; interrupt it instead, and it heals itself")
            continue
        for intended in open_faults:
            what = f"{folder.run}: {intended.fault} ({intended.kind} on {intended.on})"
            if dry_run:
                say(f"{what}: would be healed")
                continue
            try:
                say(f"{what}: {_heal(folder, header, intended)}")
                healed += 1
            except HarnessError as error:
                left.append(f"{what}: {error}")
    if left:
        raise TargetDirty("not healed:\n  " + "\n  ".join(left), hint="mend the cause named there, then call it again")
    if not dry_run and not healed:
        say("nothing is left in force")
    return ExitCode.PASS


def unhealed(folder: RunFolder) -> tuple[RunStarted | None, tuple[FaultIntended, ...]]:
    """A run's header, and its faults that were intended and never confirmed over, the last one first."""
    header: RunStarted | None = None
    intended: dict[str, FaultIntended] = {}
    for event in read(folder.journal):
        match event:
            case RunStarted():
                header = event
            case FaultIntended():
                intended[event.fault] = event
            case FaultHealed():
                intended.pop(event.fault, None)
            case RunEnded(dirty=()):
                return header, ()
    return header, tuple(reversed(intended.values()))


def _alive(header: RunStarted) -> bool:
    pid, started = header.facts.get("pid"), header.facts.get("pid_started")
    try:
        return isinstance(pid, int) and psutil.Process(pid).create_time() == started
    except psutil.Error:
        return False


def _heal(folder: RunFolder, header: RunStarted, intended: FaultIntended) -> str:
    experiment = from_document(header.document, base_dir=header.base_dir, where=str(folder.journal))
    driver = _driver(intended.driver, experiment, folder.run)
    if driver is not None:
        fault = next((one for one in experiment.faults if one.name == intended.fault), None)
        if fault is None:
            raise BadInput(f"the journal's header does not know the fault {intended.fault}")
        driver.heal(fault, intended.before)
    writer = Writer.resume(folder.journal)
    writer.append(FaultHealed(at_ns=intended.at_ns, fault=intended.fault, asked_ns=intended.at_ns), sync=True)
    writer.close()
    return "healed" if driver is not None else "ended with the harness that started it"


def _driver(name: str, experiment: Experiment, run: str) -> FaultDriver | None:
    """The driver that can heal without the run's world, or None where nothing can be left."""
    makers: Mapping[str, Callable[[], FaultDriver | None]] = {
        "container": lambda: ContainerFaults(lambda container: container),
        "toxiproxy": lambda: _toxiproxy(experiment, run),
    }
    return makers.get(name, lambda: None)()


def _toxiproxy(experiment: Experiment, run: str) -> FaultDriver | None:
    if not experiment.toxiproxy.startswith(("http://", "https://")):
        return None
    in_front = {proxy.upstream: proxy.name for proxy in experiment.proxies}
    return ToxiproxyFaults(Toxiproxy(experiment.toxiproxy), run=run, proxy_of=lambda name: in_front.get(name, name))
