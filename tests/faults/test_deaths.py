"""A death before and after every call to the outside, for the drivers that tell others to act: then another heals.

The drivers of containers, their networks, toxics, helpers, fills and links have the same beside their other tests.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from harness.experiment import ComposeStack, Fault, Scalar
from harness.faults import Before, FaultDriver, command, http
from harness.faults.process import ProcessFaults
from harness.faults.process import healer as process_healer
from harness.healing.hand import Healer
from harness.ledger import Intended, Undo, decode, encode
from harness.stacks.compose import ComposeDriver, ComposeHealer
from tests.faults.crash import Died
from tests.faults.flags import Flags

Effect = Literal["before", "after"]
MOST = 40
effects = pytest.mark.parametrize("effect", ["before", "after"])


class Calls:
    """Counts calls to the outside; at number `at` the harness dies, before or after the call has its effect."""

    def __init__(self, effect: Effect) -> None:
        self.effect = effect
        self.at = 0
        self.made = 0

    def through(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """The call, which may be our last."""

        def made(*args: Any, **kwargs: Any) -> Any:
            self.made += 1
            if (self.made, self.effect) == (self.at, "before"):
                raise Died
            result = call(*args, **kwargs)
            if (self.made, self.effect) == (self.at, "after"):
                raise Died
            return result

        return made

    def to_the_end(self, life: Callable[[], None], heal: Callable[[], None], *, least: int) -> None:
        """Die at the first, the second, the third ... until the life is survived; each time `heal` and look."""
        for at in range(1, MOST):
            self.at, self.made = at, 0
            try:
                life()
            except Died:
                self.at = 0
                heal()
            else:
                assert at > least, "it has not died at every call"
                return
        pytest.fail(f"more than {MOST} calls")


def of_a_ledger(fault: Fault, before: Before) -> Undo:
    """The undo record as another process reads it."""
    undo = Undo(name=fault.name, driver=fault.driver, kind=fault.kind, on=fault.on, params=fault.params, before=before)
    record = decode(encode(Intended(undo=undo)))
    assert isinstance(record, Intended)
    return record.undo


def die_everywhere(
    calls: Calls, driver: FaultDriver, other: Healer, fault: Fault, in_force: Callable[[], bool]
) -> None:
    """Through `inject` and `heal`; the other one heals from the record alone, twice."""
    undo = of_a_ledger(fault, driver.before(fault))

    def live() -> None:
        driver.inject(fault, undo.before)
        assert in_force()
        driver.heal(fault, undo.before)

    def heal() -> None:
        for _ in range(2):
            other.heal(undo.fault, undo.before)
            assert not in_force(), f"{calls.effect} call {calls.made}"

    calls.to_the_end(live, heal, least=3)


def written(driver: str, kind: str, **params: Scalar) -> Fault:
    """A fault on `api`."""
    return Fault(name="f", driver=driver, kind=kind, on="api", params=params, stage="s", after_ns=0, hold_ns=1)


@effects
def test_command_faults(effect: Effect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At each start of inject, heal and confirm."""
    calls = Calls(effect)
    monkeypatch.setattr(command, "run", calls.through(command.run))
    steps = {"inject": "touch flag", "heal": "rm -f flag", "confirm": "test -e flag"}
    driver = command.CommandFaults(run="r", cwd=str(tmp_path))
    fault = written("command", "run", timeout=5000, **steps)
    die_everywhere(calls, driver, command.healer(), fault, (tmp_path / "flag").exists)


@effects
def test_http_faults(effect: Effect, monkeypatch: pytest.MonkeyPatch) -> None:
    """At each request of inject, heal and confirm."""
    calls, flags = Calls(effect), Flags()
    monkeypatch.setattr(http, "ask", calls.through(http.ask))
    steps = {step: f"{method} http://{flags.address}/flags/x" for step, method in
             {"inject": "POST", "heal": "DELETE", "confirm": "GET"}.items()}  # fmt: skip
    fault = written("http", "call", timeout=5000, expect="200-299", **steps)
    try:
        die_everywhere(calls, http.HttpFaults(), http.healer(), fault, lambda: bool(flags.on))
    finally:
        flags.close()


class Service:
    """A stack of one service, `api`, which ends with it; each of its calls, and each signal, is counted."""

    def __init__(self, calls: Calls) -> None:
        self.child = self._started()
        self.stop, self.start = calls.through(self._stop), calls.through(self._start)

    def handle(self, service: str) -> int | None:
        """The pid while it runs."""
        return self.child.pid if self.child.poll() is None else None

    def _started(self) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-S", "-c", "import time; time.sleep(60)"]
        return subprocess.Popen(words, start_new_session=True)

    def _start(self, service: str) -> None:
        if self.handle(service) is None:
            self.child = self._started()

    def _stop(self, service: str) -> None:
        self.child.kill()
        self.child.wait(10)


@pytest.fixture
def stacks() -> Iterator[list[Service]]:
    """The stacks of a test; what still runs of them is ended."""
    made: list[Service] = []
    yield made
    for one in made:
        one.child.kill()
        one.child.wait(10)


@effects
@pytest.mark.parametrize("kind", ["kill", "stop", "restart"])
def test_process_faults_that_end_a_service(
    effect: Effect, kind: str, stacks: list[Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run's own driver brings the service up again; one without a stack (its services ended) touches nothing."""
    calls = Calls(effect)
    stacks.append(service := Service(calls))
    send = os.killpg

    def ended(pgid: int, number: int) -> None:
        """The signal has its effect when the process has ended, not when the call returns."""
        send(pgid, number)
        service.child.wait(10)

    monkeypatch.setattr(os, "killpg", calls.through(ended))
    driver, fault = ProcessFaults(service), written("process", kind)

    def live() -> None:
        before = driver.before(fault)
        seen.append(of_a_ledger(fault, before))
        driver.inject(fault, before)
        driver.heal(fault, before)

    def heal() -> None:
        undo, pid = seen[-1], service.handle("api")
        process_healer().heal(undo.fault, undo.before)
        assert service.handle("api") == pid
        for _ in range(2):
            driver.heal(undo.fault, undo.before)
            assert service.handle("api") is not None, f"{effect} call {calls.made}"

    seen: list[Undo] = []
    calls.to_the_end(live, heal, least=2)


class Project:
    """Compose and the Engine in memory: parts come and go one by one, and each is counted."""

    def __init__(self, calls: Calls, file: Path) -> None:
        self.file, self.env = file, {"GREETING": "hello"}
        self.parts: list[str] = []
        self._add, self._remove = calls.through(self.parts.append), calls.through(self.parts.remove)

    def up(self) -> None:
        """Network, volume, containers."""
        for part in ("net", "data", "db", "web"):
            self._add(part)

    def down(self) -> None:
        """What there is, in the other order."""
        for part in reversed(tuple(self.parts)):
            self._remove(part)

    def end_others(self) -> None:
        """Nobody else is at work."""

    def interrupt(self) -> None:
        """Nothing is under way."""

    def containers(self, labels: object) -> list[dict[str, Any]]:
        """As the Engine lists them."""
        named = [part for part in self.parts if part in {"db", "web"}]
        return [{"Id": name, "Labels": {"com.docker.compose.service": name}} for name in named]

    def inspect(self, container: str) -> dict[str, Any]:
        """Each runs."""
        return {"State": {"Running": True}}


@effects
def test_a_compose_stack(effect: Effect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At each part that comes up or is taken down."""
    calls = Calls(effect)
    project: Any = Project(calls, tmp_path / "compose.yaml")
    monkeypatch.setattr("harness.stacks.compose.Compose", lambda file, name, env: same(project, file, env))
    spec = ComposeStack(file="compose.yaml", env=project.env)
    places: dict[str, Any] = {"links": {}, "base_dir": tmp_path, "log_dir": tmp_path}

    def live() -> None:
        undo = ComposeDriver(spec, **places, run="r", docker=project, compose=project).undo()
        seen.append(json.loads(json.dumps(dict(undo.before))))
        project.up()
        project.down()

    def heal() -> None:
        fault = Fault(name="stack", driver="compose", kind="up", on="r", stage="", after_ns=0, hold_ns=0, params={})
        for _ in range(2):
            ComposeHealer(project).heal(fault, seen[-1])
            assert not project.parts, f"{effect} call {calls.made}"

    seen: list[dict[str, Any]] = []
    calls.to_the_end(live, heal, least=7)


def same(project: Any, file: Path, env: object) -> Any:
    """The project, if it is asked for as the record has it."""
    assert (file, env) == (project.file, project.env)
    return project
