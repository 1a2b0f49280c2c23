"""The commands. Each turns words into calls and the outcome into an exit code; no logic lives here.

Heavy things (Locust, Docker, numpy, matplotlib) are imported by the command that needs them, when it needs them.
"""

from __future__ import annotations

import shutil
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.errors import EXIT_MEANINGS, BadInput, ExitCode, HarnessError
from harness.healing.unhealed import unhealed_note
from harness.version import VERSION

if TYPE_CHECKING:
    from harness.experiment import Experiment
    from harness.traffic.sizing.selftest import Client

RESULTS = "results"
CLIENTS: tuple[Client, ...] = ("FastUser", "FastHttpUser", "HttpUser")
EPILOG = "Exit codes: " + "; ".join(f"{code.value} {meaning}" for code, meaning in EXIT_MEANINGS.items()) + "."


def explain(error: BaseException) -> ExitCode:  # noqa: PLR0911 - one line per kind of error
    """Tell the user what is wrong and what to do, on stderr; the exit code to leave with."""
    match error:
        case click.exceptions.Exit():
            return ExitCode(error.exit_code) if error.exit_code in set(ExitCode) else ExitCode.BROKEN
        case click.exceptions.Abort():
            click.echo("interrupted", err=True)
            return ExitCode.INTERRUPTED
        case click.ClickException():
            error.show()
            return ExitCode.BAD_INPUT
        case BadInput(problems=problems) if problems:
            lines = [line for line in str(error).splitlines() if line not in {str(problem) for problem in problems}]
            click.echo("\n".join(f"error: {line}" for line in (*lines, *map(str, problems))), err=True)
            if error.hint:
                click.echo(f"hint: {error.hint}", err=True)
            return error.exit_code
        case HarnessError():
            click.echo(f"error: {error}", err=True)
            if error.hint:
                click.echo(f"hint: {error.hint}", err=True)
            return error.exit_code
        case OSError():
            click.echo(f"error: {error.filename or 'the system'}: {error.strerror or error}", err=True)
            return ExitCode.BROKEN
        case _:
            click.echo(f"error: a defect of the harness: {type(error).__name__}: {error}", err=True)
            click.echo("hint: please report it with these lines:", err=True)
            click.echo("".join(traceback.format_exception(error)[-3:]), err=True)
            return ExitCode.BROKEN


HEALING = frozenset({"heal", "run"})
"""Commands that heal what dead runs left, and say so themselves."""


@click.group(
    invoke_without_command=True,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(VERSION, prog_name="harness")
@click.pass_context
def cli(context: click.Context) -> None:
    """Load and chaos testing with verdicts you can stake a release on: pass, fail or inconclusive."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
    elif context.invoked_subcommand not in HEALING and (note := unhealed_note()):
        click.echo(note, err=True)


OVERRIDES = click.option(
    "--set", "overrides", multiple=True, metavar="PATH=VALUE", help="Override a value, e.g. stages[0].users=50."
)
OWN = click.option(
    "--i-own", "own", multiple=True, metavar="HOST", help="HOST is yours to load and break, though it is public."
)
SEED = click.option("--seed", type=int, help="Seed of everything random; the file's otherwise.")
TOKEN_FILE = click.option(
    "--token-file", type=click.Path(path_type=Path), help="File of the token by which workers join; else HARNESS_TOKEN."
)
OUTPUT = click.option(
    "--output", type=click.Path(path_type=Path), default=Path(RESULTS), show_default=True, help="Folder of results."
)


@cli.command()
@click.argument("file", type=click.Path(path_type=Path))
@OVERRIDES
@SEED
@OWN
@OUTPUT
@click.option("--quiet", is_flag=True, help="No progress; only the summary.")
@click.option("--json", "as_json", is_flag=True, help="Print verdict.json instead of the summary; no progress.")
@click.option("--no-plots", is_flag=True, help="Leave out the plots (faster).")
@click.option("--no-self-test", is_flag=True, help="Do not measure first what this machine's generator carries.")
@TOKEN_FILE
def run(
    file: Path,
    overrides: tuple[str, ...],
    seed: int | None,
    own: tuple[str, ...],
    output: Path,
    quiet: bool,
    as_json: bool,
    no_plots: bool,
    no_self_test: bool,
    token_file: Path | None,
) -> ExitCode:
    """Run the experiment in FILE and give a verdict."""
    from harness.conduct import conduct

    return conduct(
        file,
        overrides=overrides,
        seed=seed,
        own=own,
        output=output,
        quiet=quiet,
        as_json=as_json,
        plots=not no_plots,
        self_test=not no_self_test,
        token_file=token_file,
    )


@cli.command()
@click.argument("files", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="FILE...")
@OVERRIDES
@SEED
@OWN
@click.option("--scenario", is_flag=True, help="Import the locustfile too (a second): its errors, expected requests.")
def check(
    files: tuple[Path, ...], overrides: tuple[str, ...], seed: int | None, own: tuple[str, ...], scenario: bool
) -> ExitCode:
    """Validate experiments, print their timelines.

    Nothing is touched: no service is started, no request sent.
    """
    from harness.blast_radius import require_within
    from harness.clients.resolver import addresses_of
    from harness.plan import plan
    from harness.plugins import kinds, load
    from harness.timeline import WIDTH, timeline
    from harness.traffic.sizing.processes import told
    from harness.traffic.sizing.room import shortages

    width = shutil.get_terminal_size((WIDTH, 24)).columns
    problems = []
    for file in files:
        try:
            experiment = load(file, overrides=overrides, seed=seed)
            planned = plan(experiment)
            require_within(file, experiment, planned, own=own, addresses_of=addresses_of)
            known = scenario or experiment.traffic.declared is not None
            rate = _rate_per_user_s(experiment) if known else None
        except BadInput as error:
            problems.append(error)
        else:
            click.echo(timeline(experiment, planned, rate_per_user_s=rate, kinds=kinds(), width=width))
            if experiment.traffic.processes == 0 or experiment.traffic.workers is not None:
                click.echo(f"load         {told(experiment)}\n")
            for what, remedy in shortages(experiment):
                click.echo(f"this machine {what}; {remedy}\n")
            if not known:
                click.echo("expected requests: add --scenario\n")
    if problems:
        raise BadInput(
            "\n".join(str(error) for error in problems if not error.problems),
            problems=[problem for error in problems for problem in error.problems],
            hint="\n".join(error.hint for error in problems if error.hint),
        )
    return ExitCode.PASS


def _rate_per_user_s(experiment: Experiment) -> float | None:
    """Requests a second of one user, over the weights of the scenario's classes; None where a wait is not known."""
    from harness.traffic.locust_check import check_scenario
    from harness.traffic.sizing.planned import rate_per_user_s, requests_per_iteration

    classes = check_scenario(experiment.traffic, Path(experiment.base_dir))
    each = rate_per_user_s(classes)
    return None if each is None else each * requests_per_iteration(classes)


@cli.command()
@click.argument("run", metavar="RUN")
@OUTPUT
@click.option("--json", "as_json", is_flag=True, help="Print verdict.json instead of the summary.")
def judge(run: str, output: Path, as_json: bool) -> ExitCode:
    """Judge a finished RUN again, from its journal.

    Nothing else is needed. evidence.json, verdict.json and junit.xml are written anew, the same byte for byte; the
    pictures and pages stay (harness report draws them).
    """
    from harness.conduct import rejudge

    return rejudge(run, output=output, as_json=as_json, reports=False)


@cli.command()
@click.argument("run", metavar="RUN")
@OUTPUT
def report(run: str, output: Path) -> ExitCode:
    """Write all reports of RUN again, from its journal."""
    from harness.conduct import rejudge

    return rejudge(run, output=output, as_json=False, reports=True)


@cli.command()
@click.option("--master", required=True, metavar="HOST[:PORT]", help="Where the harness waits for workers.")
@TOKEN_FILE
@click.option("--once", is_flag=True, help="End after one run; exit code 4 when it was cut off.")
@click.option("--name", default="", help="What people call this worker; the host's name unless given.")
@click.option("--wait", metavar="DURATION", help="How long to wait for a harness, such as 60s; for ever unless given.")
def worker(master: str, token_file: Path | None, once: bool, name: str, wait: str | None) -> ExitCode:
    """Send load from this machine for a harness on another one.

    Waits for the harness, serves its runs one after the other. The token is in HARNESS_TOKEN or in a file.
    """
    from harness.traffic.hosts.joining import serve

    return serve(master, token_file=token_file, once=once, name=name, wait=wait, say=click.echo)


@cli.command("list")
@OUTPUT
@click.option("--faults", is_flag=True, help="List the fault kinds instead.")
def list_runs(output: Path, faults: bool) -> ExitCode:
    """List the runs in the results folder, oldest first."""
    if faults:
        from harness.loader.catalogue import KINDS
        from harness.plugins import kinds

        for kind in (*KINDS, *kinds()):
            click.echo(f"{kind.key:10} {kind.name:14} {kind.felt}")
        return ExitCode.PASS
    from harness.result import outcome_of, runs

    for folder in runs(output):
        click.echo(f"{outcome_of(folder):13} {folder.path.parent.name:30} {folder.run}")
    return ExitCode.PASS


@cli.command()
@click.option("--run", "run", metavar="RUN", help="Only this run's.")
@click.option("--all", "everything", is_flag=True, help="Those of every dead run of this user (the default).")
@click.option("--dry-run", is_flag=True, help="Only say what would be healed, and what this machine still shows.")
def heal(run: str | None, everything: bool, dry_run: bool) -> ExitCode:
    """Take back the faults that dead runs left in force, from their ledgers.

    Needed only when harness and reaper were killed together.
    """
    from harness.healing.leftovers import heal_runs

    if run and everything:
        raise BadInput("--run and --all exclude each other", hint="leave one out")
    return heal_runs(run, dry_run=dry_run, say=click.echo)


@cli.command()
def halt() -> ExitCode:
    """Stop every running experiment of this user now: heal, confirm, end.

    From any terminal. Says how long each took; exit code 5 when something could not be confirmed, with what to type.
    """
    from harness.healing.halting import halt as halt_all

    return halt_all(click.echo)


@cli.command()
@click.argument("address", metavar="[URL]", default="")
@click.option("--from", "source", type=click.Path(path_type=Path), help="An OpenAPI 3 document or a HAR file.")
@click.option("--dir", "folder", type=click.Path(path_type=Path), default=Path(), help="Where to write; default here.")
@click.option("--name", default="", help="Name of the experiment; default: first, or that of the document.")
@click.option("--all-methods", is_flag=True, help="OpenAPI: take in POST, PUT, PATCH and DELETE too.")
@click.option("--host", default="", help="HAR: whose requests; default: the most frequent host.")
@click.option("--assets", is_flag=True, help="HAR: take in images, styles, scripts and fonts too.")
def init(
    address: str, source: Path | None, folder: Path, name: str, all_methods: bool, host: str, assets: bool
) -> ExitCode:
    """Write a first experiment, for the system at URL or from a document.

    With both, the requests are those of the document and go to URL.
    """
    from harness.starter import write_first, write_imported

    if source is not None:
        lines = write_imported(source, folder, name, address=address, all_methods=all_methods, host=host, assets=assets)
    elif not address or all_methods or host or assets:
        missing = "--from FILE" if address else "URL or --from FILE"
        raise BadInput(f"init: expected {missing}", hint="harness init --help tells more")
    else:
        lines = write_first(address, folder, name or "first")
    for line in lines:
        click.echo(line)
    return ExitCode.PASS


@cli.command("self-test")
@click.option("--client", "clients", multiple=True, type=click.Choice(CLIENTS), help="Kind of user; default: each.")
@click.option("--processes", type=click.IntRange(min=1), default=1, show_default=True, help="Traffic processes.")
def self_test(clients: tuple[Client, ...], processes: int) -> ExitCode:
    """Measure what this machine's generator carries: requests a second and users, eight seconds for each kind.

    A run does so by itself before a ladder and before much load. Nothing but this machine is touched.
    """
    from harness.generator import measured
    from harness.traffic.sizing.planned import described

    for client in clients or CLIENTS:
        click.echo(described(measured(client, processes)))
    return ExitCode.PASS


@cli.command()
def doctor() -> ExitCode:
    """Say what this machine has, and what to do about the rest."""
    from harness.doctor import examine

    findings = examine()
    for finding in findings:
        click.echo(str(finding))
    return ExitCode.BROKEN if any(finding.needed and not finding.well for finding in findings) else ExitCode.PASS


@cli.command()
def schema() -> ExitCode:
    """Print the JSON Schema of experiment files, for editors."""
    import json

    from harness.loader import schema as make
    from harness.plugins import kinds

    json.dump(make(kinds()), sys.stdout, indent=2)
    click.echo()
    return ExitCode.PASS
