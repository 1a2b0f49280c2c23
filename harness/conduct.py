"""A run from its file to its report: load, build, run, judge, write. What `harness run` and `harness judge` do."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import click

from harness.clock import Inbox, SystemClock, wall_now
from harness.errors import ExitCode, HarnessError, TargetDirty
from harness.experiment import Experiment
from harness.journal import SCHEMA, Event, RunStarted, StageEntered, Writer, read
from harness.loader import load
from harness.plan import Plan, plan
from harness.reports.live import LiveView
from harness.result import RunFolder, as_json, create, find, provenance
from harness.run import Ending, run
from harness.run.calls import ThreadCalls
from harness.run.guard import Guard
from harness.run.loop import Loop, Message, Stop

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass
class _Watched:
    """A journal that is also looked at: by the live view, and for whether any stage was entered."""

    writer: Writer
    view: LiveView | None
    entered: bool = False

    def append(self, event: Event, *, sync: bool = False) -> None:
        """Write, then show."""
        self.writer.append(event, sync=sync)
        self.entered |= isinstance(event, StageEntered)
        if self.view is not None:
            self.view.on_event(event)


def conduct(
    file: Path,
    *,
    overrides: Sequence[str],
    seed: int | None,
    output: Path,
    quiet: bool,
    as_json: bool,
    plots: bool,
) -> ExitCode:
    """Run the experiment in `file`; the exit code says how it ended. Raises HarnessError for what came before it."""
    from harness import rig

    experiment = load(file, overrides=overrides, seed=seed)
    timeline = plan(experiment)
    started = wall_now()
    folder = create(output, experiment.name, started)
    clock = SystemClock()
    inbox: Inbox[Message] = Inbox()
    world, toxiproxy = rig.build(experiment, run=folder.run, log_dir=folder.logs, origin_ns=clock.origin_ns)
    header = _header(experiment, timeline, folder, started.isoformat(timespec="milliseconds"), toxiproxy)
    _write_phase_0(folder, experiment, timeline, header)
    view = None if quiet or as_json else LiveView(experiment, timeline)
    journal = _Watched(writer=Writer.create(folder.journal), view=view)
    loop = Loop(clock, inbox, ThreadCalls(inbox), journal, Guard(experiment.abort))
    with _signals(inbox), view or _nothing():
        ending = run(timeline, header, world, loop)
    journal.writer.close()
    return _conclude(folder, ending, loop, entered=journal.entered, as_json=as_json, plots=plots)


def _header(experiment: Experiment, timeline: Plan, folder: RunFolder, wall: str, toxiproxy: str) -> RunStarted:
    facts = provenance(sys.argv, Path(experiment.base_dir))
    return RunStarted(
        at_ns=0,
        schema=SCHEMA,
        run=folder.run,
        wall=wall,
        seed=experiment.seed,
        plan_ns=timeline.total_ns,
        document=experiment.document,  # type: ignore[arg-type]
        base_dir=experiment.base_dir,
        facts={**facts, "toxiproxy": toxiproxy},
    )


def _write_phase_0(folder: RunFolder, experiment: Experiment, timeline: Plan, header: RunStarted) -> None:
    import yaml

    text = yaml.safe_dump(dict(experiment.document), sort_keys=False, allow_unicode=True)
    folder.write("experiment.yaml", text.encode())
    folder.write("header.json", as_json({"run": header.run, "wall": header.wall, **header.facts}))
    steps = [
        {"at_ns": step.at_ns, "action": type(step.action).__name__, "what": _what(step.action)}
        for step in timeline.steps
    ]
    folder.write("plan.json", as_json({"total_ns": timeline.total_ns, "steps": steps}))


def _what(action: object) -> str:
    named = getattr(action, "stage", None) or getattr(action, "fault", None)
    if named is not None:
        return str(named.name)
    return f"{getattr(action, 'users_from', '')} -> {getattr(action, 'users_to', '')}".strip(" ->")


def _conclude(folder: RunFolder, ending: Ending, loop: Loop, *, entered: bool, as_json: bool, plots: bool) -> ExitCode:
    """Judge what there is; then say what broke, if something did. A dirty target outranks everything."""
    code = judged(folder, as_json=as_json, plots=plots) if entered else ExitCode.BROKEN
    if ending.dirty:
        raise TargetDirty(
            "the target is not as it was found:\n  " + "\n  ".join(ending.dirty),
            hint=f"type: harness heal {folder.path}",
        )
    if loop.stopped is not None and loop.stopped[0] == "signal":
        return ExitCode.INTERRUPTED
    if ending.error is None:
        return code
    if isinstance(ending.error, HarnessError):
        raise ending.error
    raise HarnessError(f"{type(ending.error).__name__}: {ending.error}", hint=f"the journal is kept: {folder.journal}")


def judged(folder: RunFolder, *, as_json: bool, plots: bool) -> ExitCode:
    """Judge a run from its journal, write its reports, print the summary or verdict.json."""
    from harness.evidence.measure import measure
    from harness.judges import judge
    from harness.reports import render
    from harness.reports.console import summary

    evidence = measure(read(folder.journal))
    verdict = judge(evidence)
    for name, content in render(verdict, evidence, plots=plots):
        folder.write(name, content)
        if as_json and name == "verdict.json":
            click.echo(content.decode(), nl=False)
    if not as_json:
        click.echo(summary(verdict, evidence, str(folder.path)))
    return verdict.exit_code


def rejudge(run_name: str, *, output: Path, as_json: bool, plots: bool) -> ExitCode:
    """Judge a finished run again, from its journal alone."""
    return judged(find(run_name, output), as_json=as_json, plots=plots)


@contextmanager
def _signals(inbox: Inbox[Message]) -> Iterator[None]:
    """While a run is on, a signal is a message to its loop."""

    def tell(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the shape of a handler
        inbox.put(Stop(why=signal.Signals(number).name))

    before = {number: signal.signal(number, tell) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _nothing() -> Iterator[None]:
    yield
