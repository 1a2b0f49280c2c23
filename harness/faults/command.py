"""Faults of the user's own, as commands: one puts it in force, one takes it back, one tells whether it is in force.

All that healing needs is in the parameters and in `before` (the folder, the run, the PATH), so that the reaper runs
the same command in the same place. That `heal` may be called twice, or without `inject`, is for its author to see to.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

from harness.clients.command import Ran, end_marked, run
from harness.clock import SystemClock
from harness.errors import BadInput, EnvironmentBroke
from harness.experiment import Fault
from harness.faults import Before, Felt
from harness.faults.confirm import CHECK_NS, FELT_NS, MARGIN_NS, keep, must_know_undo, must_not_be, read_back
from harness.secrets import hide
from harness.units import NS_PER_MS, NS_PER_S

KIND = "run"
STEPS = ("inject", "heal", "confirm")
CANNOT_TELL = 126
"""From this exit code on `confirm` says nothing: not to be started, not found, ended by a signal."""
LAST_LINES = 5
_MARKS = frozenset({"HARNESS_RUN", "HARNESS_FAULT", "HARNESS_STEP"})
"""By these in its environment a command of ours is found in the process table."""
_MILLISECONDS = 10_000


class CommandFaults:
    """Runs the commands of `command: run`; their output is kept in `log_dir`, when there is one."""

    def __init__(
        self,
        *,
        run: str = "",
        cwd: str = "",
        log_dir: Path | None = None,
        address_of: Callable[[str], str] = lambda _: "",
    ) -> None:
        self._run = run
        self._cwd = cwd
        self._log_dir = log_dir
        self._address_of = address_of

    def check(self, fault: Fault) -> None:
        """Refuse a fault without undo, commands that are not there, and what is in force already."""
        if fault.kind != KIND:
            raise BadInput(f"fault {fault.name}: there is no command fault {fault.kind!r}", hint=f"known: {KIND}")
        must_know_undo(fault)
        for step in STEPS:
            self._must_exist(fault, step)
        if _has(fault, "confirm"):
            yes = self._in_force(fault, self.before(fault), min(CHECK_NS, _timeout_ns(fault)))
            must_not_be(fault, yes, _words(fault, "confirm"))

    def before(self, fault: Fault) -> Before:
        """Where and for whom the commands run; the state itself is known to the user's `heal` alone."""
        path = os.environ.get("PATH", "")
        return {"cwd": self._cwd, "run": self._run, "path": path, "address": self._address_of(fault.on)}

    def inject(self, fault: Fault, before: Before) -> None:
        """Run `inject`, then `confirm` until it says yes, all within `timeout`. Raises EnvironmentBroke."""
        self._do(fault, before, "inject", wanted=True)

    def heal(self, fault: Fault, before: Before) -> None:
        """End an `inject` of ours that is still at work; run `heal`, then `confirm` until it says no, all in time.

        Nothing for an irreversible fault without `heal`.
        """
        end_marked({name: value for name, value in _env(fault, before, "inject").items() if name in _MARKS})
        if _has(fault, "heal"):
            self._do(fault, before, "heal", wanted=False)

    def felt(self, fault: Fault, before: Before) -> Felt:
        """What `confirm` says; without one there is only the exit code that `inject` had."""
        if not _has(fault, "confirm"):
            return Felt(felt=True, proof="inject exited with 0; without `confirm` nothing shows that it had an effect")
        yes = self._in_force(fault, before, min(FELT_NS, _timeout_ns(fault)))
        return Felt(felt=yes, proof=f"{_words(fault, 'confirm')} {'exited' if yes else 'did not exit'} with 0")

    def by_hand(self, fault: Fault, before: Before) -> str:
        """The heal command, in its folder and with its environment."""
        if not _has(fault, "heal"):
            return ""
        settings = [f"{name}={value}" for name, value in _env(fault, before, "heal").items() if name != "PATH"]
        command = shlex.join(["env", *settings, *_argv(fault, "heal")])
        return f"cd {shlex.quote(str(before['cwd']))} && {command}" if before.get("cwd") else command

    def limits_ns(self, fault: Fault, before: Before) -> tuple[int, int]:  # noqa: ARG002 - the contract's shape
        """As long as the user says, for either."""
        return _timeout_ns(fault) + MARGIN_NS, _timeout_ns(fault) + MARGIN_NS

    def _must_exist(self, fault: Fault, step: str) -> None:
        if fault.params.get("shell") or not _has(fault, step):
            return
        program = _argv(fault, step)[0]
        place = str(Path(self._cwd or ".", program)) if "/" in program else program
        if shutil.which(place) is None:
            raise BadInput(
                f"fault {fault.name}: {step}: there is no command {program}",
                hint="give its path from where the experiment's files are found, or put its folder on PATH",
            )

    def _do(self, fault: Fault, before: Before, step: str, *, wanted: bool) -> None:
        clock = SystemClock()
        limit_ns = _timeout_ns(fault)
        ran = self._ran(fault, before, step, limit_ns)
        keep(self._log_dir, fault, f"{_told(fault, step, ran)}\n{ran.output}")
        if ran.code != 0:
            raise EnvironmentBroke(f"{_told(fault, step, ran)}{_tail(ran)}")
        if _has(fault, "confirm"):
            read_back(
                lambda left_ns: self._in_force(fault, before, left_ns),
                wanted=wanted,
                left_ns=limit_ns - clock.now(),
                what=f"{_words(fault, step)} exited with 0",
            )

    def _in_force(self, fault: Fault, before: Before, limit_ns: int) -> bool:
        """What `confirm` says. Raises EnvironmentBroke when it cannot tell."""
        ran = self._ran(fault, before, "confirm", limit_ns)
        if ran.code is None or ran.code >= CANNOT_TELL:
            keep(self._log_dir, fault, f"{_told(fault, 'confirm', ran)}\n{ran.output}")
            raise EnvironmentBroke(f"{_told(fault, 'confirm', ran)}, which tells nothing{_tail(ran)}")
        return ran.code == 0

    def _ran(self, fault: Fault, before: Before, step: str, limit_ns: int) -> Ran:
        return run(
            _argv(fault, step), cwd=str(before.get("cwd", "")), env=_env(fault, before, step), timeout_ns=limit_ns
        )


def healer() -> CommandFaults:
    """Heals from the ledger alone."""
    return CommandFaults()


def _has(fault: Fault, step: str) -> bool:
    return bool(fault.params.get(step))


def _argv(fault: Fault, step: str) -> list[str]:
    written = str(fault.params[step])
    return ["sh", "-c", written] if fault.params.get("shell") else shlex.split(written)


def _env(fault: Fault, before: Before, step: str) -> dict[str, str]:
    """What is added to the environment: a command may serve several faults and steps."""
    about = {
        "HARNESS_RUN": str(before.get("run", "")),
        "HARNESS_FAULT": fault.name,
        "HARNESS_ON": fault.on,
        "HARNESS_ADDRESS": str(before.get("address", "")),
        "HARNESS_STEP": step,
    }
    return {**about, "PATH": str(before["path"])} if before.get("path") else about


def _timeout_ns(fault: Fault) -> int:
    return int(fault.params.get("timeout", _MILLISECONDS)) * NS_PER_MS


def _words(fault: Fault, step: str) -> str:
    return f"`{hide(str(fault.params[step]))}`"


def _told(fault: Fault, step: str, ran: Ran) -> str:
    seconds = f"{ran.took_ns / NS_PER_S:.1f} s"
    if ran.code is None:
        return f"{step}: {_words(fault, step)} was ended: not done after {seconds}"
    return f"{step}: {_words(fault, step)} exited with {ran.code} after {seconds}"


def _tail(ran: Ran) -> str:
    """The last lines that it printed."""
    lines = [line.strip() for line in hide(ran.output).splitlines() if line.strip()]
    return "".join(f"\n    {line[:200]}" for line in lines[-LAST_LINES:])
