"""`harness halt`: stop every running experiment of this user now, from another terminal, and see that it has healed.

A run that is asked to stop (SIGTERM) heals first and takes its load down after. Its ledger tells how far it is: no
fault open, then no ledger. One that does not heal in time is killed; its reaper heals then.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from harness.clients.poll import poll
from harness.clients.process import NoSuchProcessError, started_at, stopped
from harness.clock import Clock, SystemClock
from harness.errors import BadInput, ExitCode, TargetDirty
from harness.healing.hand import alive, reaped
from harness.ledger import Account, Open, Opened, ledgers, read
from harness.units import NS_PER_S

HEAL_NS = 5 * NS_PER_S
"""How long a run may take to heal its faults before it is killed."""
REAPER_NS = 10 * NS_PER_S
"""How long its reaper may take from then on."""
END_NS = 100 * NS_PER_S
"""How long drain and stack may take to end: `compose down` alone has 80 s."""
_OWN = frozenset({"stack", "links"})
"""Undo records of what a run brought up itself: no fault, and slow to take down."""

Say = Callable[[str], None]


class Processes(Protocol):
    """What is asked of the process table."""

    def alive(self, opened: Opened) -> bool:
        """Whether it is still the process that wrote this."""

    def reaped(self, account: Account) -> bool:
        """Whether its reaper is still there."""

    def send(self, opened: Opened, number: signal.Signals) -> str:
        """Signal a run if it is still that process; why it may not be, or the empty string."""

    def stopped(self, opened: Opened) -> bool:
        """Whether it is stopped (state T), and so deaf."""


class RealProcesses:
    """Those of this host."""

    def alive(self, opened: Opened) -> bool:
        """Same boot, same pid, same start."""
        return alive(opened)

    def reaped(self, account: Account) -> bool:
        """The same for the reaper."""
        return reaped(account)

    def send(self, opened: Opened, number: signal.Signals) -> str:
        """Looked at just before: a pid may be somebody else's by now."""
        if started_at(opened.pid) != opened.pid_started:
            return ""
        try:
            os.kill(opened.pid, number)
        except ProcessLookupError:
            return ""
        except PermissionError:
            return f"pid {opened.pid} belongs to user {opened.user}, who alone may stop it"
        return ""

    def stopped(self, opened: Opened) -> bool:
        """By its state in the process table."""
        with suppress(NoSuchProcessError):
            return stopped(opened.pid)
        return False


@dataclass(slots=True, kw_only=True)
class _Running:
    """A run that is being halted. `killed_ns` is since the call; `over`: nobody is at work on it any more."""

    path: Path
    opened: Opened
    account: Account
    had_faults: bool
    healed: bool = False
    killed_ns: int | None = None
    over: bool = False
    trouble: str = ""

    @property
    def faults(self) -> tuple[Open, ...]:
        """Those that may be in force."""
        return _faults(self.account)


class Halt:
    """One call of `harness halt`."""

    def __init__(self, say: Say, *, clock: Clock | None = None, processes: Processes | None = None) -> None:
        self._say = say
        self._clock = clock or SystemClock()
        self._processes = processes or RealProcesses()
        self._began_ns = self._clock.now()
        self._left: list[str] = []

    def halt(self) -> ExitCode:
        """Stop all, wait until all have healed and ended. Raises TargetDirty with what is left and what to type."""
        runs = self._find()
        for run in runs:
            self._ask(run)
        poll(lambda: self._all_over(runs), 2 * END_NS + REAPER_NS, clock=self._clock)
        for run in runs:
            self._left += self._leftover(run)
        if self._left:
            raise TargetDirty("not halted and healed:\n  " + "\n  ".join(self._left), hint="then: harness heal")
        self._say(f"all healed and ended after {self._seconds()}" if runs else "no experiment is running")
        return ExitCode.PASS

    def _find(self) -> tuple[_Running, ...]:
        found = []
        for path in ledgers():
            try:
                account = read(path)
            except BadInput as error:
                if path.exists():  # else its run has just closed it
                    self._left.append(f"{path.stem}: {error}" + (f" ({error.hint})" if error.hint else ""))
                continue
            opened = account.opened
            if opened is None or not (self._processes.alive(opened) or self._processes.reaped(account)):
                self._dead(account)
            else:
                found.append(_Running(path=path, opened=opened, account=account, had_faults=bool(_faults(account))))
        return tuple(found)

    def _dead(self, account: Account) -> None:
        """Nobody is left to be asked."""
        name = account.path.stem
        if account.open:
            self._left.append(f"{name}: has died with {_named(account.open)} in force: harness heal --run {name}")
        else:
            self._say(f"{name}: has died, nothing is in force; tidy up with: harness heal --run {name}")

    def _ask(self, run: _Running) -> None:
        what = f"{_named(run.faults)} in force" if run.faults else "no fault in force"
        if not self._processes.alive(run.opened):
            self._say(f"{run.path.stem}: has died, its reaper is at work; {what}")
            return
        self._say(f"{run.path.stem}: stopping experiment {run.opened.experiment} (pid {run.opened.pid}); {what}")
        run.trouble = self._processes.send(run.opened, signal.SIGTERM)
        self._wake(run)

    def _wake(self, run: _Running) -> None:
        """A process that is stopped hears of no signal but this one and SIGKILL."""
        if self._processes.stopped(run.opened):
            self._processes.send(run.opened, signal.SIGCONT)

    def _all_over(self, runs: tuple[_Running, ...]) -> bool:
        over = [self._step(run) for run in runs]  # each of them, every time
        return all(over)

    def _step(self, run: _Running) -> bool:
        """Look once; whether there is nothing more to wait for."""
        if run.over or run.trouble:
            return True
        living = self._processes.alive(run.opened)  # before the ledger: of a dead run, all is in there by then
        gone = not self._look(run)
        now_ns = self._now()
        if not run.faults and run.had_faults and not run.healed:
            run.healed = True
            self._tell(run, f"healed in {now_ns / NS_PER_S:.1f} s")
        run.over = gone or not (living or self._processes.reaped(run.account))
        if run.over:
            clean = not run.account.open
            self._tell(run, f"ended in {now_ns / NS_PER_S:.1f} s" if clean else "ended, and not all is healed")
        elif living and run.killed_ns is None:
            self._press(run, now_ns)
        patience_ns = REAPER_NS if run.faults else END_NS
        return run.over or (run.killed_ns is not None and now_ns > run.killed_ns + patience_ns)

    def _look(self, run: _Running) -> bool:
        """Read the ledger anew; False when it has gone, which its run does when nothing is open."""
        try:
            run.account = read(run.path)
            run.had_faults |= bool(run.faults)
        except BadInput as error:
            if run.path.exists():
                run.trouble = str(error)
                return True
            run.account = replace(run.account, open=())
            return False
        return True

    def _press(self, run: _Running, now_ns: int) -> None:
        """Kill what has had its time; its reaper heals."""
        self._wake(run)
        if now_ns <= (HEAL_NS if run.faults else END_NS):
            return
        run.killed_ns = now_ns
        self._tell(run, f"not {'healed' if run.faults else 'ended'} after {self._seconds()}: killed, its reaper heals")
        run.trouble = self._processes.send(run.opened, signal.SIGKILL)

    def _leftover(self, run: _Running) -> list[str]:
        """What could not be confirmed, each with what to type."""
        name = run.path.stem
        if run.trouble:
            return [f"{name}: {run.trouble}"]
        if run.over and not run.account.open:
            return []
        lines = [
            f"{name}: {one.undo.name} ({one.undo.kind} on {one.undo.on}) is not confirmed healed; "
            f"type: {one.undo.by_hand or f'harness heal --run {name}'}"
            for one in run.account.open
        ]
        return lines or [f"{name}: has not ended (pid {run.opened.pid}); type: kill -KILL {run.opened.pid}"]

    def _tell(self, run: _Running, words: str) -> None:
        self._say(f"{run.path.stem}: {words}")

    def _now(self) -> int:
        return self._clock.now() - self._began_ns

    def _seconds(self) -> str:
        return f"{self._now() / NS_PER_S:.1f} s"


def halt(say: Say) -> ExitCode:
    """Stop every running experiment of this user. Raises TargetDirty with what is left and what to type."""
    return Halt(say).halt()


def _faults(account: Account) -> tuple[Open, ...]:
    return tuple(one for one in account.open if one.undo.name not in _OWN)


def _named(opens: tuple[Open, ...]) -> str:
    return ", ".join(f"{one.undo.name} ({one.undo.kind} on {one.undo.on})" for one in opens)
