"""What dead runs left, by their ledgers: healed by `harness heal`, and before each run."""

from __future__ import annotations

from collections.abc import Callable

from harness.clients.poll import poll
from harness.errors import BadInput, ExitCode, HarnessError, TargetDirty
from harness.healers import healer_of
from harness.healing import Hand, alive, finish, reaped
from harness.ledger import Account, Ledger, ledgers, read
from harness.residue import scan
from harness.units import NS_PER_S

HEAL_LIMIT_NS = 30 * NS_PER_S
REAPER_NS = 15 * NS_PER_S
"""How long to wait for a reaper that is at work already."""

Say = Callable[[str], None]


def heal_runs(run: str | None, *, dry_run: bool, say: Say) -> ExitCode:
    """Heal what `run`, or every dead run of this user, left. Raises TargetDirty, naming what to type, or BadInput."""
    found = [path for path in ledgers() if run in {None, path.stem}]
    if run is not None and not found:
        raise BadInput(f"no run {run} has anything to heal", hint=f"there are: {_names() or 'none'}")
    left: list[str] = []
    done = 0
    for path in found:
        try:
            account = read(path)
            done += _heal(account, dry_run, say)
        except HarnessError as error:  # one that cannot be healed must not keep the others from it
            left.append(f"{path.stem}: {error}" + (f" ({error.hint})" if error.hint else ""))
    if dry_run:
        for line in scan().lines():
            say(line)
            done += line.startswith("left: ")
    if left:
        raise TargetDirty("not healed:\n  " + "\n  ".join(left), hint="mend the cause named there, then: harness heal")
    if not done:
        say("nothing is left in force")
    return ExitCode.PASS


def _names() -> str:
    return ", ".join(path.stem for path in ledgers())


def _heal(account: Account, dry_run: bool, say: Say) -> int:
    """Heal one ledger; how much there was to say. Raises TargetDirty with what is left of it."""
    name = account.path.stem
    for line in account.damaged:
        say(f"{name}: a damaged line, which can tell nothing any more: {line}")
    if account.opened is not None and alive(account.opened):
        say(f"{name}: is still running (pid {account.opened.pid}); end it with: harness halt")
        return 1
    if reaped(account) and not dry_run:
        say(f"{name}: its reaper is at work")
        poll(lambda: not reaped(account), REAPER_NS)
        if not account.path.exists():
            return 1
        account = read(account.path)
    if dry_run:
        for one in account.open:
            say(f"{name}: {one.undo.name} ({one.undo.kind} on {one.undo.on}) would be healed")
        return len(account.open)
    return _now(account, say)


def _now(account: Account, say: Say) -> int:
    name = account.path.stem
    healing = Hand(account, healer_of, by="heal").heal(HEAL_LIMIT_NS)
    undos = {one.undo.name: one.undo for one in account.open}
    for healed in healing.healed:
        say(f"{name}: {healed} ({undos[healed].kind} on {undos[healed].on}): healed")
    left = finish(account, healing, "the harness and its reaper died; healed by `harness heal`")
    if left:
        raise TargetDirty("; ".join(left))
    if account.damaged:
        account.path.rename(account.path.with_suffix(".damaged"))
        say(f"{name}: the ledger with the damaged line is kept as {account.path.with_suffix('.damaged')}")
    else:
        Ledger(account.path).close()
    return len(account.open)


def heal_first(say: Say) -> None:
    """Before a run: dead runs' faults could be felt in it. Raises TargetDirty when one cannot be healed."""
    dead = [path for path in ledgers() if _dead(read(path))]
    for path in dead:
        heal_runs(path.stem, dry_run=False, say=say)


def _dead(account: Account) -> bool:
    return account.opened is None or not alive(account.opened)
