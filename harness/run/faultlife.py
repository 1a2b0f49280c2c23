"""The life of a run's faults: intended on disk, injected, shown to be felt, healed, whatever happens in between.

    planned -> intended -> injecting -> in force -> ending -> over
                   |            |           |         |
                   +------------+-----------+---------+--> (any failure) healed all the same, or named as dirty

`before` is read and written to the ledger and the journal (both synced) before anything is touched. A heal that comes
due while the injection is still under way waits for it, then heals: once the run is stopping, for a while only.
Healing is tried again after growing pauses, which bear the restart of an Engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from harness.errors import EnvironmentBroke
from harness.experiment import Fault
from harness.faults import Before, FaultDriver, Feels, Felt, Notes, Settles, Takes, Tells
from harness.journal import FaultFailed, FaultFelt, FaultHealed, FaultInjected, FaultIntended, Json
from harness.ledger import Failed, Healed, Injected, Intended, Undo
from harness.run.loop import Done, Loop
from harness.run.watch import Books
from harness.secrets import hide
from harness.units import NS_PER_S

INJECT_LIMIT_NS = 15 * NS_PER_S
HEAL_LIMIT_NS = 20 * NS_PER_S
FELT_LIMIT_NS = 5 * NS_PER_S
TRY_AGAIN_NS = (NS_PER_S // 2, NS_PER_S, 2 * NS_PER_S, 4 * NS_PER_S)
"""The pauses between tries to heal."""
PATIENCE_NS = 15 * NS_PER_S
"""How long a run that is stopping waits for an injection under way, and for one that failed to settle."""
ROOM_EVERY_NS = NS_PER_S // 20
SETTLE_NS = NS_PER_S
"""For drivers that do not say how long a call under way may take to have its effect."""


@dataclass
class _Life:
    """One fault under way. `busy`: a call of its driver has not answered yet.

    `confirmed`: the injection answered well. One that did not may still take effect, however late: it is healed, and
    once its driver's settling time is over, healed again.
    """

    fault: Fault
    before: Before = field(default_factory=dict)
    by_hand: str = ""
    touched: bool = False
    confirmed: bool = False
    busy: bool = False
    injecting: bool = False
    given_up: bool = False
    end_wanted: bool = False


class Faults:
    """Starts and ends faults without blocking; `heal_rest` blocks until nothing more can be done.

    At most `at_once` are under way or left in force: a further one waits for room until its time is over. Of those due
    at one instant on one thing, each waits until the one before it is in: their order is the file's.
    """

    def __init__(
        self, drivers: Mapping[str, FaultDriver], loop: Loop, books: Books, at_once: int | None = None
    ) -> None:
        self._drivers = drivers
        self._loop = loop
        self._books = books
        self._at_once = at_once
        self._lives: dict[str, _Life] = {}
        self._waiting: dict[str, str] = {}
        self.dirty: list[str] = []
        self.healed: list[tuple[Fault, Before]] = []

    def begin(self, fault: Fault) -> None:
        """Read what must be restored, write it down, inject."""
        if not self._may_begin():
            return
        if why := self._no_room(fault):
            self._wait(fault, why)
            return
        life = self._lives[fault.name] = _Life(fault=fault, busy=True)
        driver = self._drivers[fault.driver]

        def seen(done: Done) -> None:
            life.busy = False
            if done.error is not None:
                self._failed(fault, "before", done.error)
            else:
                life.before = done.result if isinstance(done.result, Mapping) else {}
                if self._may_inject(life):
                    self._inject(life)
                    return
            del self._lives[fault.name]

        self._loop.ask(
            f"looking at {fault.on} before {fault.name}", lambda: driver.before(fault), INJECT_LIMIT_NS, seen
        )

    def _may_inject(self, life: _Life) -> bool:
        """Whether its undo record is on disk. A driver whose answers cannot be written down breaks its fault alone."""
        try:
            return self._intend(life)
        except Exception as error:  # noqa: BLE001 - a defect of the driver, before anything was touched
            self._failed(life.fault, "before", error)
            return False

    def _intend(self, life: _Life) -> bool:
        """Write down what will undo it; False when it must not begin any more."""
        fault = life.fault
        if life.end_wanted:
            self._failed(fault, "inject", EnvironmentBroke("its time was over before it could begin"))
            return False
        undo = _undo(fault, life.before, self._drivers[fault.driver])
        life.by_hand = undo.by_hand
        if not self._books.note(Intended(undo=undo)):
            return False
        self._loop.write(_intended(fault, life.before, self._loop.clock.now()), sync=True)
        if not self._may_begin():
            self._books.note(Healed(name=fault.name, by="run"))
            return False
        return True

    def _inject(self, life: _Life) -> None:
        fault = life.fault
        driver = self._drivers[fault.driver]
        asked_ns = self._loop.clock.now()
        limit_ns, _ = _limits_ns(driver, life)
        life.touched = life.busy = life.injecting = True

        def injected(done: Done) -> None:
            if life.given_up:
                return
            life.busy = life.injecting = False
            if done.error is not None:
                self._failed(fault, "inject", done.error)
            else:
                now = self._loop.clock.now()
                self._loop.write(FaultInjected(at_ns=now, fault=fault.name, asked_ns=asked_ns))
                self._books.note(Injected(name=fault.name))
                life.confirmed = True
            if life.end_wanted:
                self.end(fault)

        self._loop.ask(f"injecting {fault.name}", lambda: driver.inject(fault, life.before), limit_ns, injected)

    def _may_begin(self) -> bool:
        """Nothing new is touched once the run is stopping, its journal is full, or nobody watches over it."""
        return self._loop.journal_error is None and self._loop.stopped is None and self._books.watched()

    def _no_room(self, fault: Fault) -> str:
        if self._at_once is not None and len(self._lives) + len(self.dirty) >= self._at_once:
            return f"there was room: faults_at_once allows {self._at_once}"
        for life in self._lives.values():
            same = (life.fault.driver, life.fault.on) == (fault.driver, fault.on)
            if same and life.busy and not life.confirmed and not life.end_wanted:
                return f"{life.fault.name}, which comes first, was in force"
        return ""

    def _wait(self, fault: Fault, why: str) -> None:
        self._waiting[fault.name] = why

        def again() -> None:
            if self._waiting.pop(fault.name, ""):
                self.begin(fault)

        self._loop.later(self._loop.clock.now() + ROOM_EVERY_NS, again)

    def end(self, fault: Fault) -> None:
        """Show that the fault was felt, then heal it; waits for an injection still under way."""
        if why := self._waiting.pop(fault.name, ""):
            self._failed(fault, "inject", EnvironmentBroke(f"its time was over before {why}"))
        life = self._lives.get(fault.name)
        if life is None:
            return
        life.end_wanted = True
        if life.busy or not life.touched:
            return
        life.busy = True
        driver = self._drivers[fault.driver]

        def felt(done: Done) -> None:
            life.busy = False
            self._felt(fault, done)
            self._heal(life)

        if not life.confirmed:
            felt(Done(call=0, result=Felt(felt=False, proof="its injection failed")))
        elif isinstance(driver, Feels):
            self._loop.ask(f"proving {fault.name}", lambda: driver.felt(fault, life.before), FELT_LIMIT_NS, felt)
        else:
            felt(Done(call=0, result=Felt(felt=False, proof=f"the driver {fault.driver} proves nothing")))

    def heal_rest(self) -> None:
        """Heal what is still in force, the last one first; returns when all is over or has failed for good."""
        for life in reversed(tuple(self._lives.values())):
            life.end_wanted = True
            if life.touched and not life.busy:
                self._heal(life)
        self._waiting.clear()
        self._loop.later(self._loop.clock.now() + PATIENCE_NS, self._give_up)
        while self._lives:
            self._loop.turn(self._loop.clock.now() + NS_PER_S)

    def _give_up(self) -> None:
        """Injections that are still under way are healed without waiting for them any longer."""
        for life in reversed(tuple(self._lives.values())):
            if life.injecting:
                life.given_up = True
                life.injecting = False
                self._failed(life.fault, "inject", EnvironmentBroke("it was still under way when the run was stopped"))
                self._heal(life)

    def _heal(self, life: _Life, tried: int = 0) -> None:
        fault = life.fault
        driver = self._drivers[fault.driver]
        asked_ns = self._loop.clock.now()
        _, limit_ns = _limits_ns(driver, life)
        life.busy = True

        def healed(done: Done) -> None:
            now = self._loop.clock.now()
            for note in _notes(driver):
                self._loop.trouble(f"healing {fault.name}", note)
            if done.error is None and not life.confirmed:
                life.confirmed = True
                settle_ns = _settle_ns(driver, life)
                if life.given_up and settle_ns > PATIENCE_NS:
                    self._lost(life, "its injection may still take effect; healed once")
                    return
                self._loop.later(now + settle_ns, lambda: self._heal(life, tried))
            elif done.error is None:
                self._loop.write(FaultHealed(at_ns=now, fault=fault.name, asked_ns=asked_ns), sync=True)
                self._books.note(Healed(name=fault.name, by="run"))
                self.healed.append((fault, life.before))
                del self._lives[fault.name]
            elif tried < len(TRY_AGAIN_NS):
                self._loop.later(now + TRY_AGAIN_NS[tried], lambda: self._heal(life, tried + 1))
            else:
                self._failed(fault, "heal", done.error)
                self._lost(life, str(done.error))

        self._loop.ask(f"healing {fault.name}", lambda: driver.heal(fault, life.before), limit_ns, healed)

    def _lost(self, life: _Life, why: str) -> None:
        """It cannot be said to be over: the ledger keeps it, and the run ends dirty."""
        fault = life.fault
        self._books.note(Failed(name=fault.name, by="run", message=why))
        typed = f"; type: {hide(life.by_hand)}" if life.by_hand else ""
        self.dirty.append(f"{fault.name}: {fault.kind} on {fault.on}: {why}{typed}")
        del self._lives[fault.name]

    def _felt(self, fault: Fault, done: Done) -> None:
        now = self._loop.clock.now()
        if isinstance(done.result, Felt):
            self._loop.write(
                FaultFelt(at_ns=now, fault=fault.name, felt=bool(done.result.felt), proof=str(done.result.proof))
            )
        else:
            self._loop.write(FaultFelt(at_ns=now, fault=fault.name, felt=False, proof=str(done.error)))

    def _failed(self, fault: Fault, step: str, error: Exception) -> None:
        self._loop.write(FaultFailed(at_ns=self._loop.clock.now(), fault=fault.name, step=step, message=str(error)))


def _settle_ns(driver: FaultDriver, life: _Life) -> int:
    try:
        return int(driver.settle_ns(life.fault, life.before)) if isinstance(driver, Settles) else SETTLE_NS
    except Exception:  # noqa: BLE001 - a driver that cannot tell gets the usual time: healing goes on
        return SETTLE_NS


def _notes(driver: FaultDriver) -> tuple[str, ...]:
    try:
        return tuple(map(str, driver.notes())) if isinstance(driver, Notes) else ()
    except Exception as error:  # noqa: BLE001 - healing goes on
        return (f"the driver cannot tell how: {error}",)


def _limits_ns(driver: FaultDriver, life: _Life) -> tuple[int, int]:
    """How long its injection and its healing are waited for."""
    inject_ns = heal_ns = 0
    if isinstance(driver, Takes):
        with suppress(Exception):  # a driver that cannot tell gets the usual time: healing goes on
            inject_ns, heal_ns = map(int, driver.limits_ns(life.fault, life.before))
    return max(INJECT_LIMIT_NS, inject_ns), max(HEAL_LIMIT_NS, heal_ns)


def _undo(fault: Fault, before: Before, driver: FaultDriver) -> Undo:
    params: dict[str, Json] = dict(fault.params)
    return Undo(
        name=fault.name,
        driver=fault.driver,
        kind=fault.kind,
        on=fault.on,
        params=params,
        before=dict(before),
        by_hand=driver.by_hand(fault, before) if isinstance(driver, Tells) else "",
    )


def _intended(fault: Fault, before: Before, at_ns: int) -> FaultIntended:
    """For people: unlike the ledger, which heals, it shows no secrets."""
    params: dict[str, Json] = hide(dict(fault.params))
    return FaultIntended(
        at_ns=at_ns,
        fault=fault.name,
        driver=fault.driver,
        kind=fault.kind,
        on=fault.on,
        params=params,
        before=hide(dict(before)),
    )
