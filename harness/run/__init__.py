"""A run, from the first look to the last heal. The only stage that touches the world.

    reaper -> stack up -> links open -> traffic ready -> obey the plan -> heal, drain, take down -> RunEnded

Whatever ends a run (its plan, a guard, a signal, an error), winding down is the same and in the same order: faults
healed and confirmed, load down, requests in flight drained, the target asked whether it is clean, logs kept, stack
down.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.errors import EnvironmentBroke
from harness.experiment import Fault
from harness.faults import Before, FaultDriver, Sweeps
from harness.journal import LoadSet, RunEnded, RunStarted, StageEntered
from harness.plan import EnterStage, Finish, Heal, Inject, Plan, SetLoad, Step
from harness.run.faultlife import Faults
from harness.run.loop import Call, Done, Loop, Watched
from harness.run.watch import Books, Lease, LedgerBook
from harness.stacks import CollectsLogs, StackDriver
from harness.traffic import Load, TrafficDriver
from harness.units import NS_PER_S

UP_LIMIT_NS = 600 * NS_PER_S
START_LIMIT_NS = 90 * NS_PER_S
DOWN_LIMIT_NS = 90 * NS_PER_S
SWEEP_LIMIT_NS = 30 * NS_PER_S
LINKS_LIMIT_NS = 20 * NS_PER_S
LINKS_EVERY_NS = NS_PER_S // 2
DRAIN_MARGIN_NS = 10 * NS_PER_S
# Rows of a second may arrive this much after it; probes stop when they have.
LAST_ROWS_NS = 2 * NS_PER_S


class Links(Protocol):
    """The proxies between services: opened when addresses are known, closed at the end."""

    def open(self, addresses: Mapping[str, str]) -> None:
        """Create every proxy of the experiment in front of its upstream."""

    def lost(self) -> str:
        """Why nothing can pass through them any more; empty while all is well."""

    def close(self) -> None:
        """Remove them, and the server if we started it. Twice is fine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The live drivers of one run."""

    stack: StackDriver
    links: Links
    traffic: TrafficDriver
    faults: Mapping[str, FaultDriver]
    probes: Callable[[], tuple[Watched, ...]]
    target: Callable[[], str]
    ledger: LedgerBook
    lease: Lease
    log_dir: Path
    drain_ns: int
    workers: int = 1
    start_limit_ns: int = START_LIMIT_NS
    faults_at_once: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a run ended. `error` is what broke it, to be shown after winding down."""

    completed: bool
    dirty: tuple[str, ...]
    error: Exception | None


def run(plan: Plan, header: RunStarted, world: World, loop: Loop) -> Ending:
    """Obey `plan`. Raises nothing that the world does: errors are in the Ending, after everything was healed."""
    books = Books(world.ledger, world.lease, loop)
    faults = Faults(world.faults, loop, books, world.faults_at_once)
    error: Exception | None = None
    loaded = False
    try:
        loop.write(header, sync=True)
        books.open()
        prepare(plan, world, loop, books)
        loaded = True
        watch_links(world.links, loop)
        obey(plan, world, loop, faults)
    except Exception as raised:  # noqa: BLE001 - kept and given back: healing comes first, whatever happened
        error = raised
        loop.abort("error", str(raised))
    return wind_down(world, loop, faults, books, error, loaded=loaded)


def prepare(plan: Plan, world: World, loop: Loop, books: Books) -> None:
    """Everything that can fail before load or a fault touches the target."""
    books.intend(world.links)
    books.intend(world.stack)
    loop.perform("starting the stack", lambda: world.stack.up(world.links.open), UP_LIMIT_NS, stoppable=True)
    for step in plan.steps:
        if isinstance(step.action, Inject):
            fault = step.action.fault
            driver = world.faults[fault.driver]
            loop.perform(f"checking {fault.name}", _checking(driver, step.action), SWEEP_LIMIT_NS, stoppable=True)
    address = world.target()
    loop.perform(
        "starting the traffic", lambda: world.traffic.start(loop.inbox, address), world.start_limit_ns, stoppable=True
    )


def watch_links(links: Links, loop: Loop) -> None:
    """End the run when its links are gone: what happens from then on says nothing about the target."""

    def ask() -> None:
        loop.ask("asking whether the links are there", links.lost, LINKS_LIMIT_NS, told)

    def told(done: Done) -> None:
        why = str(done.error or done.result or "")
        if loop.closing:
            return  # we take them away ourselves
        if why:
            loop.abort("error", why)
        else:
            loop.later(loop.clock.now() + LINKS_EVERY_NS, ask)

    ask()


def _checking(driver: FaultDriver, action: Inject) -> Call:
    return lambda: driver.check(action.fault)


def obey(plan: Plan, world: World, loop: Loop, faults: Faults) -> None:
    """The plan's steps at their instants, counted from a whole second, until it is over or somebody stops the run."""
    loop.watch(world.probes())
    zero_ns = -(-(loop.clock.now() + NS_PER_S // 10) // NS_PER_S) * NS_PER_S
    untouched = True
    for step in plan.steps:
        due_ns = zero_ns + step.at_ns
        while loop.clock.now() < due_ns and not loop.stopped:
            loop.turn(min(due_ns, loop.clock.now() + NS_PER_S // 4))
            loop.check_guard()
            if len(loop.lost_workers) >= world.workers:
                loop.abort("generator", "every traffic worker is lost: nothing sends load any more")
        if untouched and isinstance(step.action, Inject) and not loop.stopped:
            untouched = False
            loop.check_steady()
        if loop.stopped:
            return
        _act(step, zero_ns, world, loop, faults)


def _act(step: Step, zero_ns: int, world: World, loop: Loop, faults: Faults) -> None:
    now = loop.clock.now()
    match step.action:
        case EnterStage(stage=stage, hold_at_ns=hold_at_ns, ends_at_ns=ends_at_ns):
            loop.write(
                StageEntered(
                    at_ns=zero_ns + step.at_ns,
                    stage=stage.name,
                    role=stage.role,
                    users=stage.users,
                    hold_at_ns=zero_ns + hold_at_ns,
                    ends_at_ns=zero_ns + ends_at_ns,
                    rate=stage.rate,
                )
            )
        case SetLoad() as line:
            loop.write(_load_set(line, zero_ns + step.at_ns))
            world.traffic.set_load(
                Load(
                    at_ns=zero_ns + step.at_ns,
                    level_from=line.level_from,
                    level_to=line.level_to,
                    ramp_ns=line.ramp_ns,
                    unit=line.unit,
                )
            )
        case Inject(fault=fault):
            faults.begin(fault)
        case Heal(fault=fault):
            faults.end(fault)
        case Finish():
            loop.turn(now)


def _load_set(line: SetLoad, at_ns: int) -> LoadSet:
    if line.unit == "users":
        start, end = int(line.level_from), int(line.level_to)
        return LoadSet(at_ns=at_ns, users_from=start, users_to=end, ramp_ns=line.ramp_ns)
    return LoadSet(
        at_ns=at_ns,
        users_from=0,
        users_to=0,
        ramp_ns=line.ramp_ns,
        unit="rate",
        rate_from=line.level_from,
        rate_to=line.level_to,
    )


def wind_down(
    world: World, loop: Loop, faults: Faults, books: Books, error: Exception | None, *, loaded: bool
) -> Ending:
    """Heal, drain, look, take down. Each part is tried whatever the parts before it did; every error is kept."""
    faults.heal_rest()
    drain_ns = world.drain_ns if loaded and not loop.hurry else 0
    loop.on_hurry = lambda: world.traffic.stop(0)
    _try(loop, "stopping the traffic", lambda: world.traffic.stop(drain_ns), drain_ns + DRAIN_MARGIN_NS)
    until_ns = loop.clock.now() + LAST_ROWS_NS
    while loaded and not loop.traffic_ended and loop.clock.now() < until_ns:
        loop.turn(until_ns)
    loop.watch(())
    asked, residue = _residue(world, loop, faults)
    if isinstance(world.stack, CollectsLogs):
        stack = world.stack
        _try(loop, "keeping the logs", lambda: stack.collect_logs(world.log_dir), SWEEP_LIMIT_NS)
    loop.closing = True
    if _try(loop, "closing the links", world.links.close, SWEEP_LIMIT_NS):
        books.over(world.links)
    if _try(loop, "taking down the stack", world.stack.down, DOWN_LIMIT_NS):
        books.over(world.stack)
    dirty = (*faults.dirty, *residue)
    checked = "" if dirty or asked is None else f"target left clean: checked at {loop.clock.now() / NS_PER_S:.1f} s"
    if checked and asked:
        checked += f", and asked of {', '.join(asked)}"
    if error is None and loop.stopped is not None and loop.stopped[0] == "error":
        error = EnvironmentBroke(loop.stopped[1])
    completed = loop.stopped is None and error is None
    loop.write(RunEnded(at_ns=loop.clock.now(), completed=completed, dirty=dirty, checked=checked), sync=True)
    books.close()
    return Ending(completed=completed, dirty=dirty, error=loop.journal_error or error)


def _residue(world: World, loop: Loop, faults: Faults) -> tuple[list[str] | None, list[str]]:
    """Which drivers were asked what is left, and what they said; None when one could not tell."""
    asked: list[str] | None = []
    left: list[str] = []
    for name, driver in world.faults.items():
        if isinstance(driver, Sweeps):
            known = tuple((fault, before) for fault, before in faults.healed if fault.driver == name)
            try:
                left += _lines(loop.perform(f"asking {name} what is left", _asking(driver, known), SWEEP_LIMIT_NS))
                if asked is not None:
                    asked.append(name)
            except Exception as error:  # noqa: BLE001 - a target that cannot be asked is not known to be clean
                loop.trouble(f"{name} faults", f"cannot tell whether anything is left: {error}")
                asked = None
    return asked, left


def _asking(driver: Sweeps, known: tuple[tuple[Fault, Before], ...]) -> Call:
    return lambda: driver.residue(known)


def _try(loop: Loop, what: str, call: Call, limit_ns: int) -> bool:
    try:
        loop.perform(what, call, limit_ns)
    except Exception as error:  # noqa: BLE001 - winding down goes on past any failure, and says it
        loop.trouble(what, str(error))
        return False
    return True


def _lines(result: object) -> tuple[str, ...]:
    return tuple(str(line) for line in result) if isinstance(result, tuple) else ()
