"""Stress in a container on fakes: a death at every instant, what is seen of helpers, whom the kernel killed."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from harness.clients.docker import Docker
from harness.clients.hogs import HelperEndedError
from harness.errors import BadInput, EnvironmentBroke
from harness.experiment import Fault, Scalar
from harness.faults import Before
from harness.faults.container.facts import Outlasts
from harness.faults.container.hands import Hands
from harness.faults.container.stress import StressCpu, StressIo, StressMemory
from tests.clients.clock import JumpClock
from tests.faults.crash import Died, Door, Fate
from tests.faults.disk import OnDisk
from tests.faults.engine import FakeDocker, document
from tests.faults.hogs import FakeHogs

KINDS: Mapping[str, tuple[Any, Mapping[str, Scalar]]] = {
    "stress-cpu": (StressCpu, {"workers": 3, "load": 0.5}),
    "stress-memory": (StressMemory, {"size": 1 << 20}),
    "stress-io": (StressIo, {"workers": 2, "path": "/"}),
}


def fault(kind: str, params: Mapping[str, Scalar] | None = None) -> Fault:
    """A fault `f` on api."""
    chosen = KINDS[kind][1] if params is None else params
    return Fault(name="f", driver="container", kind=kind, on="api", params=chosen, stage="s", after_ns=0, hold_ns=1)


class World:
    """One container whose first process is this one; its helpers and its files outlive any driver."""

    def __init__(self, root: Path) -> None:
        self.engine = FakeDocker({**document(Pid=os.getpid()), "GraphDriver": {"Data": {"UpperDir": str(root)}}})
        self.running: list[tuple[str, Mapping[str, Any]]] = []
        self.root = root

    def hands(self, fate: Fate) -> Hands:
        """On the engine."""
        return Hands(cast(Docker, Door(self.engine, fate)), JumpClock())

    def kind(self, name: str, fate: Fate | None = None) -> Any:
        """A fresh driver of a kind, which dies when its fate says so."""
        fate = fate or Fate()
        return KINDS[name][0](self.hands(fate), FakeHogs(self.running, fate), OnDisk(self.root, fate))

    def live(self, name: str, fate: Fate, written: list[Before]) -> None:
        """Before, inject, heal, until death; `written` is what the ledger had by then."""
        kind, wanted, hands = self.kind(name, fate), fault(name), self.hands(fate)
        now = hands.look("api")
        own = kind.before(now, wanted)
        written.append(json.loads(json.dumps({"id": now.id, "started_at": now.started_at, **own})))
        kind.inject(hands.look("api"), wanted, written[0])
        kind.heal(hands.look("api"), wanted, written[0])


@pytest.mark.parametrize("name", KINDS)
def test_a_death_after_any_step_leaves_nothing_once_healed(tmp_path: Path, name: str) -> None:
    """For all n: the record alone heals, on a container that runs, has ended, or has been removed."""
    whole = Fate()
    World(tmp_path).live(name, whole, [])
    assert whole.steps >= 4
    for at in range(1, whole.steps + 1):
        for became in ("runs", "ended", "removed"):
            world, written = World(tmp_path), list[Before]()
            with pytest.raises(Died):
                world.live(name, Fate(at), written)
            if not written:
                assert not world.running  # nothing is touched before the record is there
                continue
            kind, wanted = world.kind(name), fault(name)
            if became == "ended":
                world.engine.of("api")["State"].update(Running=False, Pid=0)
            if became == "removed":
                assert isinstance(kind, Outlasts)
                kind.heal_gone(wanted, written[0])
            else:
                kind.heal(Hands(cast(Docker, world.engine)).look("api"), wanted, written[0])
            assert not world.running, (at, became)
            assert not list(tmp_path.rglob("harness-*"))


@pytest.mark.parametrize("became", ["runs", "ended", "removed"])
def test_a_file_that_kept_its_name_is_removed(tmp_path: Path, became: str) -> None:
    """A helper killed between making its file and taking the name away."""
    world, written = World(tmp_path), list[Before]()
    with pytest.raises(Died):
        world.live("stress-io", Fate(5), written)
    for _, spec in world.running:
        Path(spec["path"]).write_bytes(b"1")
    assert list(tmp_path.rglob("harness-*.io"))
    kind, wanted = world.kind("stress-io"), fault("stress-io")
    if became == "removed":
        kind.heal_gone(wanted, written[0])
    else:
        world.engine.of("api")["State"]["Running"] = became == "runs"
        kind.heal(Hands(cast(Docker, world.engine)).look("api"), wanted, written[0])
    assert not list(tmp_path.rglob("harness-*"))


def test_helpers_of_another_start_of_the_container_have_another_mark(tmp_path: Path) -> None:
    """Healing one never ends the other's."""
    world = World(tmp_path)
    kind, hands = world.kind("stress-cpu"), Hands(cast(Docker, world.engine))
    first = kind.before(hands.look("api"), fault("stress-cpu"))
    world.engine.restart("api")
    assert kind.before(hands.look("api"), fault("stress-cpu"))["mark"] != first["mark"]


@pytest.mark.parametrize(
    ("gone", "words"), [(1, "of 3 helpers 2 run"), (3, "of 3 helpers 0 run")], ids=["one-gone", "all-gone"]
)
def test_helpers_that_have_gone_are_not_felt(tmp_path: Path, gone: int, words: str) -> None:
    """Somebody ended them: then there was no such stress."""
    world = World(tmp_path)
    kind, hands, wanted = world.kind("stress-cpu"), Hands(cast(Docker, world.engine)), fault("stress-cpu")
    before = kind.before(hands.look("api"), wanted)
    kind.inject(hands.look("api"), wanted, before)
    assert kind.felt(hands.look("api"), wanted, before).felt
    del world.running[:gone]
    felt = kind.felt(hands.look("api"), wanted, before)
    assert not felt.felt
    assert words in felt.proof


def test_a_helper_that_was_killed_is_an_error_unless_the_kernel_did_it_for_memory(tmp_path: Path) -> None:
    """A kill within the limit is what was asked for; any other end is not."""
    world, wanted = World(tmp_path), fault("stress-memory")
    hands, helpers = world.hands(Fate()), FakeHogs(world.running)
    helpers.dies = HelperEndedError("killed")
    kind = StressMemory(hands, helpers)
    now = hands.look("api")
    before = {"id": now.id, "started_at": now.started_at, **kind.before(now, wanted)}
    with pytest.raises(HelperEndedError):
        kind.inject(now, wanted, before)
    world.engine.of("api")["State"].update(Running=False, OOMKilled=True)
    kind.inject(now, wanted, before)
    kind.heal(hands.look("api"), wanted, before)
    assert world.engine.calls[-1] == ("start", "api")
    assert hands.look("api").running


def test_a_container_that_ended_for_another_reason_is_not_started(tmp_path: Path) -> None:
    """Its end is not our doing."""
    world, wanted = World(tmp_path), fault("stress-memory")
    kind, hands = world.kind("stress-memory"), Hands(cast(Docker, world.engine))
    now = hands.look("api")
    before = {"id": now.id, "started_at": now.started_at, **kind.before(now, wanted)}
    kind.inject(now, wanted, before)
    world.engine.stop("api")
    kind.heal(hands.look("api"), wanted, before)
    assert world.engine.calls == [("stop", "api")]


def test_a_container_that_is_not_on_this_host_is_refused_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An Engine elsewhere has pids of its own: the one of that number here is somebody else's."""
    world, hands = World(tmp_path), Hands(cast(Docker, World(tmp_path).engine))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(BadInput, match="not on this host"):
        world.kind("stress-cpu").check(hands.look("api"), fault("stress-cpu"))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(BadInput, match="needs root"):
        world.kind("stress-cpu").check(hands.look("api"), fault("stress-cpu"))


def test_writing_to_the_disk_of_the_host_leaves_it_some(tmp_path: Path) -> None:
    """Two workers write 64 MiB each."""
    world, files = World(tmp_path), OnDisk(tmp_path)
    files.free_bytes = (5 << 30) + 100
    kind = StressIo(world.hands(Fate()), FakeHogs(world.running), files)
    with pytest.raises(EnvironmentBroke, match="the host's own disk"):
        kind.before(world.hands(Fate()).look("api"), fault("stress-io"))
