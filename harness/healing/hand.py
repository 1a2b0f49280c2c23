"""Taking back what a dead run left: the one way of the reaper, of `harness heal` and of the next run.

Everything comes from the ledger. The last thing done is undone first; a failure keeps no other from being tried; what
failed is tried again, each time a little later. A call that was under way when its caller died may still take effect:
what was intended and never confirmed is healed again and again until its driver's settling time is over.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path
from typing import Protocol

from harness.clients.poll import poll
from harness.clients.process import NoSuchProcessError, started_at, stopped
from harness.clock import Clock, Inbox, SystemClock
from harness.errors import EnvironmentBroke, HarnessError
from harness.experiment import Fault
from harness.faults import Before, Notes, Settles, Takes
from harness.journal import Aborted, Event, FaultHealed, FaultIntended, RunEnded, Trouble, Writer, read
from harness.ledger import Account, Failed, Healed, Ledger, Open, Opened, read_if_there
from harness.result import JOURNAL
from harness.secrets import hide
from harness.units import NS_PER_S

CALL_LIMIT_NS = 15 * NS_PER_S
AGAIN_NS = (NS_PER_S // 4, NS_PER_S // 2, NS_PER_S, 2 * NS_PER_S)
SETTLE_EVERY_NS = NS_PER_S // 2
SETTLE_MOST = 40
"""How often at most: what may settle for minutes is healed less often."""
SETTLE_NS = NS_PER_S
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Healer(Protocol):
    """The part of a fault driver that needs no run: see `harness.faults`."""

    def heal(self, fault: Fault, before: Before) -> None:
        """Take it back; idempotent. Raises HarnessError."""


Attempt = Callable[[Callable[[], None], int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Healing:
    """What became of a ledger's open records, by name; `failed` with why; `notes` on unusual ways."""

    healed: tuple[str, ...]
    failed: Mapping[str, str]
    notes: tuple[str, ...] = ()


def in_time(call: Callable[[], None], limit_ns: int) -> None:
    """Make a call in a thread that may hang without holding us. Raises what it raises, or EnvironmentBroke."""
    raised: list[Exception] = []

    def make() -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001 - carried to the caller
            raised.append(error)

    thread = threading.Thread(target=make, daemon=True)
    thread.start()
    thread.join(limit_ns / NS_PER_S)
    if thread.is_alive():
        raise EnvironmentBroke(f"no answer within {limit_ns / NS_PER_S:g} s")
    if raised:
        raise raised[0]


class Hand:
    """Heals one ledger's open records. `attempt` makes a call that may hang; tests make it directly."""

    def __init__(
        self,
        account: Account,
        healer_of: Callable[[str], Healer],
        *,
        by: str,
        clock: Clock | None = None,
        attempt: Attempt = in_time,
    ) -> None:
        self._account = account
        self._ledger = Ledger(account.path)
        self._healer_of = healer_of
        self._by = by
        self._clock = clock or SystemClock()
        self._attempt = attempt
        self._notes: tuple[str, ...] = ()

    def heal(self, limit_ns: int) -> Healing:
        """Heal what is open, trying again what fails until `limit_ns` has passed."""
        began_ns = self._clock.now()
        failed: dict[str, str] = {}
        healed: list[str] = []
        unconfirmed: list[Open] = []
        to_do = list(self._account.open)
        for again_ns in chain(AGAIN_NS, repeat(AGAIN_NS[-1])):
            for one in tuple(to_do):
                why = self._try(one)
                if why:
                    failed[one.undo.name] = why
                    continue
                to_do.remove(one)
                failed.pop(one.undo.name, None)
                unconfirmed += [] if one.injected else [one]
                if one.injected:
                    healed += self._over(one)
            if not to_do or self._clock.now() - began_ns + again_ns > limit_ns:
                break
            self._pause(again_ns)
        for one in unconfirmed:
            why = self._settle(one)
            if why:
                failed[one.undo.name] = why
            else:
                healed += self._over(one)
        for name, why in failed.items():
            self._note(Failed(name=name, by=self._by, message=why))
        return Healing(healed=tuple(healed), failed=failed, notes=self._notes)

    def _pause(self, for_ns: int) -> None:
        self._clock.wait(Inbox[None](), self._clock.now() + for_ns)

    def _try(self, one: Open) -> str:
        """Heal one record; why it failed, or the empty string."""
        try:
            healer = self._healer_of(one.undo.driver)
            self._attempt(lambda: healer.heal(one.undo.fault, one.undo.before), _limit_ns(healer, one))
            self._notes += tuple(map(str, healer.notes())) if isinstance(healer, Notes) else ()
        except HarnessError as error:
            return f"{error}" + (f" ({error.hint})" if error.hint else "")
        except Exception as error:  # noqa: BLE001 - a defect in one driver must not keep the others from healing
            return f"{type(error).__name__}: {error}"
        return ""

    def _settle(self, one: Open) -> str:
        """Heal until nothing that its dead caller asked for can come any more; the last answer counts."""
        settle_ns = self._settle_ns(one)
        until_ns = self._clock.now() + settle_ns
        why = ""
        while self._clock.now() < until_ns:
            self._pause(max(SETTLE_EVERY_NS, settle_ns // SETTLE_MOST))
            why = self._try(one)
        return why

    def _settle_ns(self, one: Open) -> int:
        try:
            healer = self._healer_of(one.undo.driver)
            return int(healer.settle_ns(one.undo.fault, one.undo.before)) if isinstance(healer, Settles) else SETTLE_NS
        except Exception:  # noqa: BLE001 - a driver that cannot tell gets the usual time
            return SETTLE_NS

    def _over(self, one: Open) -> list[str]:
        self._note(Healed(name=one.undo.name, by=self._by))
        return [one.undo.name]

    def _note(self, record: Healed | Failed) -> None:
        """A full disk must not keep anything from being healed: the record stays open, and healing twice is fine."""
        try:
            self._ledger.append(record)
        except OSError:
            return


def _limit_ns(healer: Healer, one: Open) -> int:
    """How long one call may take."""
    try:
        asked_ns = int(healer.limits_ns(one.undo.fault, one.undo.before)[1]) if isinstance(healer, Takes) else 0
    except Exception:  # noqa: BLE001 - a driver that cannot tell gets the usual time
        asked_ns = 0
    return max(CALL_LIMIT_NS, asked_ns)


@contextmanager
def alone(path: Path, within_ns: int) -> Iterator[None]:
    """Heal a ledger while others who would, wait; but nobody waits for longer, as healing twice at once harms nothing.

    The kernel ends it with its holder. Read the ledger inside: who had it before has changed or removed it.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # it has gone, or is not ours: reading it will tell
        yield
        return
    try:
        poll(lambda: _locked(file), within_ns)
        yield
    finally:
        os.close(file)


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # somebody has it; or a file system without locks
        return False
    return True


def boot() -> str:
    """The id of this boot of the machine: process numbers and the monotonic clock mean nothing across boots."""
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""


def alive(opened: Opened) -> bool:
    """Whether the run of a ledger is still there: same boot, same pid, same start."""
    return opened.boot == boot() and started_at(opened.pid) == opened.pid_started


def reaped(account: Account) -> bool:
    """Whether the reaper of a ledger is still there. One that is stopped (state T) heals nothing: it does not count."""
    watched = account.watched
    same_boot = account.opened is not None and account.opened.boot == boot()
    if not same_boot or watched is None or started_at(watched.pid) != watched.pid_started:
        return False
    try:
        return not stopped(watched.pid)
    except NoSuchProcessError:
        return False


def tell_journal(account: Account, healing: Healing, why: str) -> None:
    """Write into a dead run's journal what was healed after it, and its end. Nothing if the journal is gone.

    Raises OSError, or BadInput for one that is damaged.
    """
    opened = account.opened
    journal = Path(opened.folder) / JOURNAL if opened is not None else Path()
    if opened is None or not journal.is_file():
        return
    events = list(read(journal))
    last_ns = max((event.at_ns for event in events), default=0)
    at_ns = max(last_ns, SystemClock(opened.origin_ns).now()) if opened.boot == boot() else last_ns
    writer = Writer.resume(journal)
    try:
        for event in _afterwards(events, healing, why, at_ns):
            writer.append(event, sync=True)
    finally:
        writer.close()


def _afterwards(events: list[Event], healing: Healing, why: str, at_ns: int) -> list[Event]:
    told = {event.fault for event in events if isinstance(event, FaultHealed)}
    intended = {event.fault for event in events if isinstance(event, FaultIntended)}
    added: list[Event] = []
    if not any(isinstance(event, Aborted | RunEnded) for event in events):
        added.append(Aborted(at_ns=at_ns, by="error", why=why))
    added += [Trouble(at_ns=at_ns, source="healing", message=note) for note in healing.notes]
    for name in healing.healed:
        if name in told:
            continue
        if name in intended:
            added.append(FaultHealed(at_ns=at_ns, fault=name, asked_ns=at_ns))
        else:
            added.append(Trouble(at_ns=at_ns, source="healing", message=f"{name} was taken down after the run"))
    dirty = tuple(f"{name}: {words}" for name, words in healing.failed.items())
    if not any(isinstance(event, RunEnded) for event in events):
        clean = f"target left clean: healed and checked at {at_ns / NS_PER_S:.1f} s, after the run had died"
        checked = "" if dirty else clean
        added.append(RunEnded(at_ns=at_ns, completed=False, dirty=dirty, checked=checked))
    return added


def left_by_hand(account: Account, healing: Healing) -> tuple[str, ...]:
    """What could not be healed, each with why and what to type; secrets are hidden, as these lines go into logs."""
    undos = {one.undo.name: one.undo for one in account.open}
    lines = []
    for name, why in healing.failed.items():
        undo = undos[name]
        typed = f"\n    type: {hide(undo.by_hand)}" if undo.by_hand else ""
        lines.append(f"{name} ({undo.kind} on {undo.on}): {why}{typed}")
    return tuple(lines)


def finish(account: Account, healing: Healing, why: str) -> tuple[str, ...]:
    """Tell the journal and close the ledger, once all was tried; what could not be written, in words.

    That leaves no target dirty: see `left_by_hand`.
    """
    troubles = []
    try:
        tell_journal(account, healing, why)
    except (OSError, HarnessError) as error:
        troubles.append(f"what was healed cannot be told to the journal of {account.path.stem}: {error}")
    try:
        if not healing.failed:
            Ledger(account.path).close()
            kept = read_if_there(account.path)
            if kept is not None and kept.open:  # a disk that is full or read-only
                troubles.append("that all is healed cannot be written to the ledger, so it will be healed again")
    except (OSError, HarnessError) as error:
        troubles.append(f"the ledger of {account.path.stem} cannot be closed: {error}")
    return tuple(troubles)
