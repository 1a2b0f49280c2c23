"""A run from its file to its report: load, build, run, judge, write. What `harness run` and `harness judge` do."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import click

from harness import opening
from harness.blast_radius import require_within
from harness.clients.resolver import addresses_of
from harness.clock import Inbox, SystemClock, wall_now
from harness.errors import EnvironmentBroke, ExitCode, HarnessError, TargetDirty
from harness.experiment import Experiment
from harness.generator import try_out
from harness.healing.leftovers import heal_first
from harness.journal import SCHEMA, Event, RunStarted, StageEntered, Writer, read
from harness.ledger import Ledger
from harness.plan import Plan, SetLoad, plan
from harness.plugins import kinds, load
from harness.reaper.lease import ReaperLease
from harness.reports.live import LiveView
from harness.result import RunFolder, as_json, create, find, provenance
from harness.run import Ending, World, run
from harness.run.calls import ThreadCalls
from harness.run.guard import Guard
from harness.run.loop import Loop, Message, Stop
from harness.run.steady import SteadyState
from harness.traffic.hosts.gate import Gate
from harness.traffic.sizing.processes import told
from harness.traffic.sizing.room import require_room

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
TWICE = 2
"""So many signals mean: heal, and nothing else."""
_Handler = Callable[[int, FrameType | None], object] | int | None


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
            try:
                self.view.on_event(event)
            except OSError:  # nobody looks any more: the run, its verdict and its exit code go on
                self.view = None
                _mute()


def _mute() -> None:
    """From now on, what is written to standard output goes nowhere (see Python's note on SIGPIPE)."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _say(text: str, *, newline: bool = True, colour: bool | None = None) -> None:
    """Write to standard output, if anybody reads it."""
    try:
        click.echo(text, nl=newline, color=colour)
    except BrokenPipeError:
        _mute()


def conduct(
    file: Path,
    *,
    overrides: Sequence[str],
    seed: int | None,
    own: Collection[str],
    output: Path,
    quiet: bool,
    as_json: bool,
    plots: bool,
    token_file: Path | None = None,
    self_test: bool = True,
) -> ExitCode:
    """Run the experiment in `file`; the exit code says how it ended. Raises HarnessError for what came before it."""
    with _Signals() as signals:
        experiment = load(file, overrides=overrides, seed=seed)
        timeline = plan(experiment)
        require_within(file, experiment, timeline, own=own, addresses_of=addresses_of)
        if experiment.traffic.processes == 0 and not (quiet or as_json):
            click.echo(told(experiment))
        require_room(experiment)
        gate = opening.gate(experiment, token_file, lambda line: click.echo(line, err=True))
        clock = SystemClock()
        folder = create(output, experiment.name, wall_now())
        with ExitStack() as opened:
            try:
                opened.enter_context(opening.lock(experiment, folder))
                heal_first(lambda line: click.echo(line, err=True))
                say = None if quiet or as_json else _say
                tried = try_out(experiment, skip=not self_test, log_dir=folder.logs, now=clock.now, say=say)
                ledger = opening.ledger(experiment, folder, clock)
                opened.callback(_close, ledger)
                world, header = _build(experiment, timeline, folder, clock, ledger, gate)
                writer = Writer.create(folder.journal)
            except BaseException:
                folder.discard()
                raise
            folder.make_latest()
            view = None if quiet or as_json else LiveView(experiment, timeline)
            journal = _Watched(writer=writer, view=view)
            inbox: Inbox[Message] = Inbox()
            for event in tried:
                inbox.put(event)
            guard, steady = Guard(experiment.abort), SteadyState(experiment.steady_state, experiment.probes)
            loop = Loop(clock, inbox, ThreadCalls(inbox), journal, guard, steady)
            signals.tell = lambda name: inbox.put(Stop(why=name))
            with view or _nothing():
                ending = run(timeline, header, world, loop)
            signals.tell = lambda _: None
            with suppress(OSError):  # what could not be flushed is in ending.error already
                writer.close()
            folder.mask_logs()
            show = (journal.entered or bool(signals.received)) and signals.count < TWICE
            return _conclude(folder, ending, signals, show=show, as_json=as_json, plots=plots)


def _close(ledger: Ledger) -> None:
    """Normally closed by the run already. What cannot be closed is left to later commands: the run ended as it did."""
    with suppress(OSError, HarnessError):
        ledger.close()


def _build(
    experiment: Experiment,
    timeline: Plan,
    folder: RunFolder,
    clock: SystemClock,
    ledger: Ledger,
    gate: Gate | None,
) -> tuple[World, RunStarted]:
    """The live drivers, and what is written before anything is touched."""
    from harness import rig

    lease = ReaperLease(ledger, log_dir=folder.logs, drivers=opening.drivers(experiment))
    world, toxiproxy = rig.build(
        experiment,
        run=folder.run,
        log_dir=folder.logs,
        origin_ns=clock.origin_ns,
        ledger=ledger,
        lease=lease,
        gate=gate,
    )
    header = _header(experiment, timeline, folder, wall_now().isoformat(timespec="milliseconds"), toxiproxy)
    _write_phase_0(folder, experiment, timeline, header)
    return world, header


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
        facts={**facts, "toxiproxy": toxiproxy, "generator": told(experiment)},
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
    if isinstance(action, SetLoad):
        return f"{action.level_from:g} -> {action.level_to:g}{'/s' if action.unit == 'rate' else ''}"
    return ""


def _conclude(
    folder: RunFolder, ending: Ending, signals: _Signals, *, show: bool, as_json: bool, plots: bool
) -> ExitCode:
    """Judge what there is; then say what broke, if something did. A dirty target outranks everything."""
    code, error = ExitCode.BROKEN, ending.error
    if show:
        try:
            code = judged(folder, as_json=as_json, plots=plots, hurry=lambda: bool(signals.received))
        except (HarnessError, OSError) as raised:  # what broke the run comes first: a full disk breaks both
            error = error or raised
    if ending.dirty:
        raise TargetDirty(
            "the target is not as it was found:\n  " + "\n  ".join(ending.dirty),
            hint=f"type: harness heal --run {folder.run}",
        )
    if signals.received:
        click.echo(f"interrupted by {signals.received}; the journal is kept: {folder.journal}", err=True)
        return ExitCode.INTERRUPTED
    if error is None:
        return code
    if isinstance(error, HarnessError):
        raise error
    if isinstance(error, OSError):
        raise EnvironmentBroke(
            f"{folder.path}: cannot be written: {error.strerror or error}",
            hint="faults were healed; the journal is kept up to there. Make room, or give another folder with --output",
        )
    raise HarnessError(f"{type(error).__name__}: {error}", hint=f"the journal is kept: {folder.journal}")


def judged(folder: RunFolder, *, as_json: bool, plots: bool, hurry: Callable[[], bool] = lambda: False) -> ExitCode:
    """Judge a run from its journal, write its reports, print the summary or verdict.json.

    In a `hurry` only what machines need is written: evidence, verdict and JUnit; plots and pages stay as they are.
    """
    from harness.evidence.measure import measure
    from harness.judges import judge
    from harness.reports import render
    from harness.reports.console import summary

    evidence = measure(read(folder.journal), kinds())
    verdict = judge(evidence)
    machines_served = False
    for name, content in render(verdict, evidence, plots=plots):
        folder.write(name, content)
        if as_json and name == "verdict.json":
            _say(content.decode(), newline=False)
        machines_served |= name == "junit.xml"
        if machines_served and hurry():
            break
    if not as_json:
        colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else 80
        _say(summary(verdict, evidence, str(folder.path), colour=colour, columns=columns), colour=colour)
    return verdict.exit_code


def rejudge(run_name: str, *, output: Path, as_json: bool, reports: bool) -> ExitCode:
    """Judge a finished run again, from its journal alone; with `reports`, draw and write those anew too."""
    return judged(find(run_name, output), as_json=as_json, plots=reports, hurry=lambda: not reports)


class _Signals:
    """From the first look at the file to the last report, a signal is told to whoever can act on it.

    At first nothing has been touched and it ends us; then `tell` is the run's loop; in the end it is only noted.
    """

    def __init__(self) -> None:
        self.received = ""
        self.count = 0
        self.tell: Callable[[str], None] = _give_up
        self._before: dict[int, _Handler] = {}

    def __enter__(self) -> _Signals:
        heard = [number for number in SIGNALS if number != signal.SIGHUP or not _nohup()]
        self._before = {number: signal.signal(number, self._on) for number in heard}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the shape of a handler
        self.received = signal.Signals(number).name
        self.count += 1
        self.tell(self.received)


def _nohup() -> bool:
    """Whether whoever started us wants us to outlive the terminal: nohup(1)."""
    return signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def _give_up(name: str) -> None:
    raise KeyboardInterrupt(name)


@contextmanager
def _nothing() -> Iterator[None]:
    yield
