"""The user that declared traffic stands for: a FastUser whose one task is an iteration."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import gevent
import locust
from locust.exception import CatchResponseError, StopUser

from harness.datafile import BadData, columns_of, read_rows
from harness.declared import Between, DeclaredTraffic, from_json
from harness.traffic.child.hooks import PACE
from harness.traffic.declared.checks import NotAsExpectedError
from harness.traffic.declared.feeds import Feed, RanOutError
from harness.traffic.declared.program import Order, Planned, compiled
from harness.traffic.declared.visitor import Supply, Visitor
from harness.traffic.fast.answer import Response
from harness.traffic.fast.user import FastUser
from harness.traffic.fast.writing import Call, Request, Writer, writer_for
from harness.traffic.scenario import Loaded, ScenarioError
from harness.traffic.settings import ChildSettings

LOGIN = "login"


class _Wire:
    """An order as this target is to get it: a request that is made once, or what it is filled into."""

    __slots__ = ("_block", "_decodes", "_prefix", "_request", "_writer", "order")

    def __init__(self, order: Order, writer: Writer) -> None:
        self.order = order
        plain = writer.write(Call("GET", "/", headers=order.headers))
        self._writer = writer
        self._prefix = plain.target[:-1]
        self._block = plain.head.partition(b"\r\n")[2]
        varying = {name.lower() for name, _ in order.varying}
        self._decodes = plain.decodes or "accept-encoding" in varying
        self._block = b"".join(
            line + b"\r\n"
            for line in self._block.split(b"\r\n")
            if line and line.partition(b":")[0].decode("latin-1").lower() not in varying
        )
        self._request = self._filled({}) if order.fixed else None

    def request(self, values: dict[str, Any]) -> tuple[str, Request]:
        """Path and request. Raises ValueError for a value that cannot stand where it is wanted."""
        return self._request or self._filled(values)

    def _filled(self, values: dict[str, Any]) -> tuple[str, Request]:
        path, head, body = self.order.fill(self._prefix, self._block, values)
        method, target = self.order.method, self._prefix + path
        ready = head + b"\r\n" + body
        return path, Request(self._writer.origin, method, target, head, body, ready, self._decodes)


class Notes:
    """What is to be told of iterations that ended early. `tell` and `count_raised` come with the run."""

    def __init__(self) -> None:
        self.tell: Callable[[str], None] = lambda _: None
        self.count_raised: Callable[[], None] = lambda: None
        self._short: Counter[tuple[str, str]] = Counter()

    def ran_out(self, error: RanOutError) -> None:
        """There is no row for somebody: the load is not what was planned, so the window must not look whole."""
        self.count_raised()
        self.tell(str(error))

    def unfit(self, order: Order, error: ValueError) -> None:
        """A value cannot stand where it is wanted: nothing was sent."""
        self.count_raised()
        self.tell(f"{order.activity}: step {order.name} was not sent: {error} (told once)")

    def cut_short(self, order: Order, why: object) -> None:
        """A step has failed, and what comes after it in its iteration is left out."""
        key = (order.activity, order.name)
        self._short[key] += 1
        if self._short[key] == 1:
            rest = "the user tries again in its next iteration" if order.activity == LOGIN else "the rest is left out"
            self.tell(f"{order.activity}: when step {order.name} fails, {rest}; the first time: {why}")

    def sum_up(self, **_: Any) -> None:
        """At the end: how often."""
        for (activity, step), count in self._short.items():
            self.tell(f"{activity}: {count} iterations ended at step {step}, which failed")


class DeclaredUser(FastUser):
    """Each subclass has the traffic of one experiment."""

    abstract = True
    supply: ClassVar[Supply]
    wires: ClassVar[dict[int, _Wire]]
    notes: ClassVar[Notes]

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.visitor = Visitor(self.supply)

    def on_start(self) -> None:
        """The login. When it fails, or there is no row to do it with, the first iteration meets that again."""
        with contextlib.suppress(RanOutError):
            self.visitor.greet()
            self._log_in()

    def iterate(self) -> None:
        """One iteration: the login if that is still to be done, then what is picked."""
        visitor = self.visitor
        try:
            visitor.begin()
        except RanOutError as error:
            self.notes.ran_out(error)
            if getattr(getattr(self, PACE, None), "await_arrival", None) is not None:
                return  # open model: arrivals keep coming, and find nothing to do
            raise StopUser from None
        if visitor.logged_in or self._log_in():
            self._do(visitor.pick())

    def _log_in(self) -> bool:
        if self.visitor.logged_in or not self._do(self.supply.program.login):
            return self.visitor.logged_in
        self.visitor.log_in()
        return True

    def _do(self, steps: tuple[Planned, ...]) -> bool:
        """The steps one after another, until one fails."""
        last = steps[-1]
        for step in steps:
            if isinstance(step, Between):
                gevent.sleep(drawn_s(step, self.supply))
                continue
            error = self._send(step)
            if error is not None:
                if step is not last or step.activity == LOGIN:
                    self.notes.cut_short(step, error)
                return False
        return True

    def _send(self, order: Order) -> Exception | None:
        """What was wrong with it."""
        try:
            path, request = self.wires[id(order)].request(self.visitor.values)
        except ValueError as error:
            self.notes.unfit(order, error)
            return error
        judge = None
        if order.judge.looks:

            def judge(answer: Response) -> Exception | None:
                try:
                    order.judge.look(answer, self.visitor.values)
                except NotAsExpectedError as wrong:
                    return CatchResponseError(str(wrong))
                return None

        return self.client.send(request, path, order.name, judge).error


def drawn_s(wait: Between, supply: Supply) -> float:
    """A wait, in seconds."""
    return supply.dice.uniform(wait.least_ns, wait.most_ns) / 1e9


def load_declared(settings: ChildSettings) -> Loaded:
    """The class of the settings' declared traffic. Only a worker, which may be elsewhere, has its files.

    Raises ScenarioError for a file that is not what it was when the experiment was read.
    """
    traffic = from_json(settings.declared or {})
    base, works = Path(settings.base_dir), settings.role == "worker"
    program = compiled(traffic, lambda file: _read(base / file) if works else b"")
    feeds = _feeds(traffic, program.names, settings, base) if works else ()
    supply = Supply(program, feeds, worker=settings.worker, workers=settings.workers, seed=settings.seed)
    writer = writer_for(settings.address, ())
    orders = [step for steps in (program.login, *program.activities) for step in steps if isinstance(step, Order)]
    members = {
        "supply": supply,
        "wires": {id(order): _Wire(order, writer) for order in orders},
        "notes": Notes(),
        "tasks": [DeclaredUser.iterate],
        "host": settings.address,
        "abstract": False,
        **_wait_time(traffic, supply),
    }
    return Loaded(classes=(type("Declared", (DeclaredUser,), members),), shapes=0)


def attach(loaded: Loaded, events: Any, tell: Callable[[str], None], count_raised: Callable[[], None]) -> None:
    """From here on, users that are declared can tell what they meet."""
    for found in loaded.classes:
        if issubclass(found, DeclaredUser):
            found.notes.tell, found.notes.count_raised = tell, count_raised
            events.test_stop.add_listener(found.notes.sum_up)


def _feeds(traffic: DeclaredTraffic, names: frozenset[str], settings: ChildSettings, base: Path) -> tuple[Feed, ...]:
    """The worker's share of all data."""
    feeds = []
    for source in traffic.data:
        path = base / source.file
        try:
            columns = columns_of(path)
            there = {f"{source.name}.{column}" for column in columns}
            missing = [name for name in sorted(names - there) if name.startswith(f"{source.name}.")]
            if missing:
                raise BadData(f"has no column for {missing[0]}", line=1)
            deal = {"worker": settings.worker, "workers": settings.workers, "seed": settings.seed}
            feeds.append(Feed(source, read_rows(path), **deal))
        except BadData as error:
            where = f"{path}:{error.line}" if error.line else str(path)
            hint = error.hint or "the file is not what it was when the experiment was read"
            raise ScenarioError(str(error), where=where, hint=hint) from error
    return tuple(feeds)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        message = f"cannot be read: {error.strerror or error}"
        raise ScenarioError(message, where=str(path), hint="a body_file must stay where it is") from error


def _wait_time(traffic: DeclaredTraffic, supply: Supply) -> dict[str, Any]:
    if traffic.pace_ns:
        return {"wait_time": locust.constant_pacing(traffic.pace_ns / 1e9)}
    think = traffic.think
    return {"wait_time": lambda _: drawn_s(think, supply) if think is not None else 0.0}
