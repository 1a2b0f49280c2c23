"""Taking back what a dead run left in force, from its journal alone: `harness heal`.

A fault's `FaultIntended` line holds what is needed to undo it. Process stacks and our own Toxiproxy servers end with
the harness that started them, so what can be left is container state, toxics on a server of the user's, and the
containers of a compose stack, which go by the name of their run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import psutil

from harness.clients.toxiproxy import Toxiproxy
from harness.errors import BadInput, ExitCode, HarnessError, TargetDirty
from harness.experiment import ComposeStack, Experiment
from harness.faults import FaultDriver
from harness.faults.container import ContainerFaults
from harness.faults.toxiproxy import ToxiproxyFaults
from harness.journal import FaultHealed, FaultIntended, RunEnded, RunStarted, Writer, read
from harness.loader import from_document
from harness.result import RunFolder, find, runs
from harness.stacks.compose import ComposeDriver

Say = Callable[[str], None]


def heal_runs(run: str | None, *, output: Path, dry_run: bool, say: Say) -> ExitCode:
    """Heal one run, or every run below `output`. Raises TargetDirty when something cannot be healed."""
    folders = [find(run, output)] if run else list(runs(output))
    left: list[str] = []
    done = 0
    for folder in folders:
        for what, step in _steps(folder, dry_run, say):
            try:
                if words := step():
                    say(f"{folder.run}: {what}{words}")
                    done += 1
            except HarnessError as error:  # one that cannot be healed must not stop the healing of the others
                left.append(f"{folder.run}: {what}{error}")
    if left:
        raise TargetDirty("not healed:\n  " + "\n  ".join(left), hint="mend the cause named there, then call it again")
    if not done:
        say("nothing is left in force")
    return ExitCode.PASS


def _steps(folder: RunFolder, dry_run: bool, say: Say) -> list[tuple[str, Callable[[], str]]]:
    """What has to be done for a run: (what, how), in order. A journal that cannot be read is a step that fails."""
    try:
        header, open_faults, ended = unhealed(folder)
    except BadInput as error:
        return [("", partial(_refuse, error))]
    if header is None or (ended and not open_faults):
        return []
    if _alive(header):
        say(f"{folder.run}: is still running; interrupt it instead, and it heals itself")
        return []
    steps: list[tuple[str, Callable[[], str]]] = [
        (f"{one.fault} ({one.kind} on {one.on}): ", partial(_heal, folder, header, one, dry_run)) for one in open_faults
    ]
    return steps if ended else [*steps, ("its compose stack ", partial(_take_down, folder, header, dry_run))]


def _refuse(error: BadInput) -> str:
    raise error


def unhealed(folder: RunFolder) -> tuple[RunStarted | None, tuple[FaultIntended, ...], bool]:
    """A run's header, its faults that were intended and never confirmed over, the last one first; whether it ended."""
    header: RunStarted | None = None
    ended = False
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
                return header, (), True
            case RunEnded():
                ended = True
    return header, tuple(reversed(intended.values())), ended


def _alive(header: RunStarted) -> bool:
    pid, started = header.facts.get("pid"), header.facts.get("pid_started")
    try:
        return isinstance(pid, int) and psutil.Process(pid).create_time() == started
    except psutil.Error:
        return False


def _heal(folder: RunFolder, header: RunStarted, intended: FaultIntended, dry_run: bool) -> str:
    if dry_run:
        return "would be healed"
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


def _take_down(folder: RunFolder, header: RunStarted, dry_run: bool) -> str:
    """Take down the compose project of a run that was killed; what was done, empty when there was none."""
    experiment = from_document(header.document, base_dir=header.base_dir, where=str(folder.journal))
    if not isinstance(experiment.stack, ComposeStack):
        return ""
    stack = ComposeDriver(
        experiment.stack,
        links={proxy.name: "ended" for proxy in experiment.proxies},
        base_dir=Path(experiment.base_dir),
        log_dir=folder.logs,
        run=folder.run,
    )
    if not stack.take_over():
        return ""
    if dry_run:
        return f"{stack.project} would be taken down"
    stack.down()
    return f"{stack.project} is taken down"


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
