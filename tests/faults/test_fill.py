"""A full disk on fakes: a death at every instant, where the file is looked for, what is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, cast

import pytest

from harness.clients.docker import Docker
from harness.errors import BadInput, EnvironmentBroke
from harness.experiment import Fault, Scalar
from harness.faults import Before
from harness.faults.container.fill import FillDisk
from harness.faults.container.hands import Hands
from tests.clients.clock import JumpClock
from tests.faults.crash import Died, Door, Fate
from tests.faults.disk import OnDisk
from tests.faults.engine import FakeDocker, document

SIZE = 1 << 20


def fault(path: str = "/tmp", size: int = SIZE) -> Fault:
    """A fault `f` on api."""
    params: dict[str, Scalar] = {"path": path, "size": size}
    return Fault(
        name="f", driver="container", kind="fill-disk", on="api", params=params, stage="s", after_ns=0, hold_ns=1
    )


class World:
    """A container with /tmp in its own layer and, if it has one, a volume at /data."""

    def __init__(self, root: Path, *, volume: Path | None = None) -> None:
        (root / "tmp").mkdir(parents=True, exist_ok=True)
        mounts = [{"Destination": "/data", "Source": str(volume)}] if volume else []
        data = {"GraphDriver": {"Data": {"UpperDir": str(root)}}, "Mounts": mounts}
        self.engine = FakeDocker({**document(Pid=os.getpid()), **data})
        self.root = root

    def look(self) -> Any:
        """The container now."""
        return Hands(cast(Docker, self.engine)).look("api")

    def kind(self, fate: Fate | None = None, files: OnDisk | None = None) -> FillDisk:
        """A fresh driver."""
        fate = fate or Fate()
        hands = Hands(cast(Docker, Door(self.engine, fate)), JumpClock())
        return FillDisk(hands, files or OnDisk(self.root, fate))

    def before(self, wanted: Fault, files: OnDisk | None = None) -> Before:
        """As it comes back from the ledger."""
        now = self.look()
        own = self.kind(files=files).before(now, wanted)
        return cast("Before", json.loads(json.dumps({"id": now.id, "started_at": now.started_at, **own})))

    def left(self) -> list[Path]:
        """Files of ours."""
        return list(self.root.rglob("harness-*"))


@pytest.mark.parametrize("became", ["runs", "ended", "started anew", "removed"])
def test_a_death_after_any_step_leaves_nothing_once_healed(tmp_path: Path, became: str) -> None:
    """For all n, in `inject` and in `heal`: the record alone heals, whatever has become of the container."""
    whole, world = Fate(), World(tmp_path)
    before, wanted = world.before(fault()), fault()
    world.kind(whole).inject(world.look(), wanted, before)
    world.kind(whole).heal(world.look(), wanted, before)
    assert whole.steps >= 4
    for at in range(1, whole.steps + 1):
        world, fate = World(tmp_path), Fate(at)
        with pytest.raises(Died):
            world.kind(fate).inject(world.look(), wanted, before)
            world.kind(fate).heal(world.look(), wanted, before)
        if became == "ended":
            world.engine.stop("api")
        if became == "started anew":
            world.engine.restart("api")
        if became == "removed":
            world.kind().heal_gone(wanted, before)
        else:
            world.kind().heal(world.look(), wanted, before)
        assert not world.left(), (at, became)


def test_a_container_that_ends_while_we_heal_is_healed_on_the_host(tmp_path: Path) -> None:
    """Its /proc/PID/root has gone, and "no such file" there says nothing of the layer."""
    world, wanted = World(tmp_path), fault()
    before = world.before(wanted)
    world.kind().inject(world.look(), wanted, before)
    seen = world.look()
    world.engine.stop("api")
    gone = OnDisk(tmp_path / "nowhere")
    world.kind(files=gone).heal(seen, wanted, before)
    assert not world.left()


def test_files_of_others_in_the_folder_stay(tmp_path: Path) -> None:
    """The name with our mark is all that is removed."""
    world, wanted = World(tmp_path), fault()
    (tmp_path / "tmp" / "theirs").write_text("kept")
    before = world.before(wanted)
    world.kind().inject(world.look(), wanted, before)
    assert world.kind().felt(world.look(), wanted, before).felt
    world.kind().heal(world.look(), wanted, before)
    assert [path.name for path in (tmp_path / "tmp").iterdir()] == ["theirs"]


def test_a_volume_that_is_not_mounted_any_more_is_an_error_with_the_command(tmp_path: Path) -> None:
    """What is in its place is another folder: to find nothing there proves nothing."""
    volume = tmp_path / "root" / "data"
    volume.mkdir(parents=True)
    world = World(tmp_path / "root", volume=volume)
    files = OnDisk(tmp_path / "root")
    files.point = "/data"
    wanted = fault("/data")
    before = world.before(wanted, files)
    world.kind(files=files).inject(world.look(), wanted, before)
    volume.rename(tmp_path / "away")
    volume.mkdir()
    world.engine.stop("api")
    with pytest.raises(EnvironmentBroke, match="not mounted") as caught:
        world.kind(files=files).heal(world.look(), wanted, before)
    assert f"docker start {before['id']}; rm -f" in str(caught.value.hint)


def test_by_hand_names_both_places(tmp_path: Path) -> None:
    """Through the running container, and in its layer."""
    world, wanted = World(tmp_path), fault()
    before = world.before(wanted)
    words = world.kind().by_hand(wanted, before)
    assert words.startswith(f"rm -f /proc/$(docker inspect -f '{{{{.State.Pid}}}}' {before['id']})/root/tmp/harness-")
    assert words.endswith(f"{tmp_path}/tmp/{before['file']}")


@pytest.mark.parametrize(
    ("free_bytes", "size", "words"),
    [
        (100 << 30, 96 << 30, "the host's own disk"),
        ((5 << 30) + SIZE - 1, SIZE, "the host's own disk"),
        (1 << 20, 2 << 20, "free"),
    ],
)
def test_the_host_keeps_some_of_its_disk(tmp_path: Path, free_bytes: int, size: int, words: str) -> None:
    """At least 1 GiB and 5 %: of 100 GiB that is 5."""
    world, files = World(tmp_path), OnDisk(tmp_path)
    files.free_bytes = free_bytes
    with pytest.raises(EnvironmentBroke, match=words):
        world.before(fault(size=size), files)
    assert not world.left()


def test_what_docker_does_not_place_on_this_host_is_refused(tmp_path: Path) -> None:
    """A storage driver that names no folder: the file could not be removed from a dead container."""
    world = World(tmp_path)
    world.engine.of("api")["GraphDriver"] = None
    with pytest.raises(BadInput, match="does not say where"):
        world.before(fault())


def test_a_volume_of_another_host_is_refused(tmp_path: Path) -> None:
    """Docker names a source, but here it is another folder, or none."""
    (tmp_path / "root" / "data").mkdir(parents=True)
    world = World(tmp_path / "root", volume=tmp_path / "elsewhere")
    files = OnDisk(tmp_path / "root")
    files.point = "/data"
    with pytest.raises(BadInput, match="does not have"):
        world.before(fault("/data"), files)
