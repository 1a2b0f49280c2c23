"""What dead runs left, by their ledgers: healed by `harness heal`, and before each run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from harness.clients.poll import poll
from harness.errors import BadInput, ExitCode, HarnessError, TargetDirty
from harness.healing.drivers import healer_of
from harness.healing.hand import Hand, alive, alone, finish, left_by_hand, reaped
from harness.healing.residue import scan
from harness.ledger import Account, ledgers, read_if_there
from harness.units import NS_PER_S

HEAL_LIMIT_NS = 30 * NS_PER_S
REAPER_NS = 15 * NS_PER_S
"""How long to wait for a reaper that is at work already."""

Say = Callable[[str], None]


def heal_runs(run: str | None, *, dry_run: bool, say: Say) -> ExitCode:
    """Heal what `run`, or every dead run of this user, left. Raises TargetDirty, naming what to type, or BadInput."""
    found = [path for path in ledgers() if run in {None, path.stem}]
    if run is not None and not found:
        there = ", ".join(path.stem for path in ledgers())
        raise BadInput(f"no run {run} has anything to heal", hint=f"there are: {there or 'none'}")
    done = _each(found, lambda account: _running(account, say) or _heal(account, dry_run, say))
    if dry_run:
        for line in scan().lines():
            say(line)
            done += line.startswith("left: ")
    if not done:
        say("nothing is left in force")
    return ExitCode.PASS


def heal_first(say: Say) -> None:
    """Before a run: dead runs' faults could be felt in it. Raises TargetDirty when one cannot be healed."""
    _each(ledgers(), lambda account: 0 if _lives(account) else _heal(account, dry_run=False, say=say))


def _each(paths: Iterable[Path], act: Callable[[Account], int]) -> int:
    """The sum of what `act` says; one that cannot be healed must not keep the others from it. Raises TargetDirty."""
    left: list[str] = []
    done = 0
    for path in paths:
        try:
            account = read_if_there(path)
            done += act(account) if account is not None else 0
        except HarnessError as error:
            left.append(f"{path.stem}: {error}" + (f" ({error.hint})" if error.hint else ""))
    if left:
        raise TargetDirty("not healed:\n  " + "\n  ".join(left), hint="mend the cause named there, then: harness heal")
    return done


def _lives(account: Account) -> bool:
    return account.opened is not None and alive(account.opened)


def _running(account: Account, say: Say) -> int:
    if account.opened is None or not alive(account.opened):
        return 0
    say(f"{account.path.stem}: is still running (pid {account.opened.pid}); end it with: harness halt")
    return 1


def _heal(account: Account, dry_run: bool, say: Say) -> int:
    """Heal one dead run's ledger; how much there was to say. Raises TargetDirty with what is left of it."""
    name = account.path.stem
    if dry_run:
        for one in account.open:
            say(f"{name}: {one.undo.name} ({one.undo.kind} on {one.undo.on}) would be healed")
        for line in account.damaged:
            say(f"{name}: what a damaged line told is lost: {line}")
        return len(account.open) + len(account.damaged)
    waited = reaped(account)
    if waited:
        say(f"{name}: its reaper is at work")
        poll(lambda: not reaped(account), REAPER_NS)
    with alone(account.path, REAPER_NS):
        now = read_if_there(account.path)
        return _now(now, say) if now is not None else int(waited)


def _now(account: Account, say: Say) -> int:
    name = account.path.stem
    healing = Hand(account, healer_of, by="heal").heal(HEAL_LIMIT_NS)
    undos = {one.undo.name: one.undo for one in account.open}
    for healed in healing.healed:
        say(f"{name}: {healed} ({undos[healed].kind} on {undos[healed].on}): healed")
    for trouble in finish(account, healing, "the harness and its reaper died; healed by `harness heal`"):
        say(f"{name}: {trouble}")
    left = list(left_by_hand(account, healing))
    if account.damaged and not left:
        left = [_kept(account)]
    if left:
        raise TargetDirty("; ".join(left))
    return len(account.open)


def _kept(account: Account) -> str:
    """Put a damaged ledger aside, so that it is told once; what is to be thought of it."""
    kept = account.path.with_suffix(".damaged")
    try:
        account.path.rename(kept)
    except OSError:
        kept = account.path
    return (
        f"{len(account.damaged)} damaged in its ledger ({'; '.join(account.damaged)}), so a fault that nobody knows of"
        f" may be in force; all others are healed; type: harness doctor; the ledger is kept: {kept}"
    )
