"""Stress and full disks on real containers: felt, healed by a fresh driver, also after a SIGKILL of who did it."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import psutil
import pytest

from harness.clients.hogs import Hogs
from harness.clients.poll import poll
from harness.errors import BadInput, EnvironmentBroke, HarnessError
from harness.experiment import Fault, Scalar
from harness.faults import Before, Felt
from harness.faults.container import ContainerFaults
from tests.contracts.containers import LABEL, docker

IN_TIME_NS = 10_000_000_000
MB = 1 << 20
IDLE = "trap exit TERM; while :; do sleep 0.1; done"
FAULTS: Mapping[str, Mapping[str, Scalar]] = {
    "stress-cpu": {"workers": 2, "load": 0.5},
    "stress-memory": {"size": 32 * MB},
    "stress-io": {"workers": 1, "path": "/var"},
    "fill-disk": {"path": "/tmp", "size": 20 * MB},
}
KILLED = """
import json, os, signal, sys
from harness.experiment import Fault
from harness.faults.container import ContainerFaults
fault = Fault(**json.loads(sys.argv[1]))
driver = ContainerFaults(lambda name: name)
before = driver.before(fault)
print(json.dumps(before), flush=True)
if sys.argv[2] == "after":
    driver.inject(fault, before)
else:
    import threading
    threading.Thread(target=driver.inject, args=(fault, before)).start()
    threading.Event().wait(float(sys.argv[2]))
os.kill(os.getpid(), signal.SIGKILL)
"""

pytestmark = [pytest.mark.needs("docker"), pytest.mark.needs("root")]


def fault(kind: str, on: str, params: Mapping[str, Scalar] | None = None) -> Fault:
    """A fault `f`."""
    chosen = FAULTS[kind] if params is None else params
    return Fault(name="f", driver="container", kind=kind, on=on, params=chosen, stage="s", after_ns=0, hold_ns=1)


@contextmanager
def container(image: str, *options: str, command: str = IDLE) -> Iterator[str]:
    """The name of a small container of our own."""
    name = f"harness-stress-{uuid.uuid4().hex[:10]}"
    try:
        limits = () if "--memory" in options else ("--memory", "96m")
        docker("run", "-d", "--name", name, "--label", LABEL, *limits, *options, image, "sh", "-c", command)
        yield name
    finally:
        subprocess.run(["docker", "rm", "-f", "-v", name], capture_output=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def idle(image: str) -> Iterator[str]:
    """One container for what leaves it as it was."""
    with container(image, "--tmpfs", "/mem:size=64m", "-v", "/data") as name:
        docker(
            "exec", name, "sh", "-c", "ln -s /etc /tmp/away; ln -s /tmp /var/round; mkdir -p /host; ln -s / /host/up"
        )
        yield name


def driver() -> ContainerFaults:
    """A fresh one."""
    return ContainerFaults(lambda name: name)


def feel(wanted: Fault, before: Before) -> Felt:
    """Asked until it is felt."""
    last = driver().felt(wanted, before)

    def felt() -> bool:
        nonlocal last
        last = driver().felt(wanted, before)
        return last.felt

    poll(felt, IN_TIME_NS)
    return last


def victims(before: Before) -> list[dict[str, Any]]:
    """What `before` holds of each container."""
    return cast("list[dict[str, Any]]", before["victims"])


def left(before: Before) -> list[str]:
    """Marked helpers, and marked files wherever they could be, of one fault."""
    found: list[str] = []
    for victim in victims(before):
        found += [str(one) for one in Hogs().find(victim.get("mark", "harness-none"))]
        room = victim.get("room")
        for place in (room["host"], room["inside"]) if room else ():
            found += [str(path) for path in Path(place or "/nowhere").glob("harness-*")]
    return found


@pytest.mark.parametrize("kind", FAULTS)
def test_it_is_felt_and_a_fresh_driver_heals_it(idle: str, kind: str) -> None:
    """The whole life; healing twice is fine, and nothing is left."""
    wanted = fault(kind, idle)
    driver().check(wanted)
    before = json.loads(json.dumps(driver().before(wanted)))
    assert not driver().felt(wanted, before).felt
    driver().inject(wanted, before)
    try:
        felt = feel(wanted, before)
        assert felt.felt, felt.proof
        assert driver().residue([(wanted, before)])
    finally:
        driver().heal(wanted, before)
    driver().heal(wanted, before)
    assert not driver().felt(wanted, before).felt
    assert not driver().residue([(wanted, before)])
    assert not left(before)


@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("instant", ["after", "0.03"])
def test_after_a_sigkill_the_undo_record_alone_heals(idle: str, kind: str, instant: str) -> None:
    """Killed in force, and killed while it is being injected."""
    wanted = fault(kind, idle)
    written = {name: getattr(wanted, name) for name in ("name", "driver", "kind", "on", "stage", "after_ns", "hold_ns")}
    words = json.dumps({**written, "params": dict(wanted.params)})
    done = subprocess.run([sys.executable, "-c", KILLED, words, instant], capture_output=True, timeout=60, check=False)
    assert done.returncode == -9, done.stderr
    before = json.loads(done.stdout)
    driver().heal(wanted, before)
    assert poll(lambda: not left(before), IN_TIME_NS), left(before)
    assert not driver().residue([(wanted, before)])


def test_helpers_sit_in_the_container_and_end_with_it(image: str) -> None:
    """A helper that stayed would keep the Engine from removing the cgroup: the container restarts at once."""
    with container(image, "--cpus", "0.2") as name:
        wanted = fault("stress-cpu", name, {"workers": 2, "load": 1.0})
        before = driver().before(wanted)
        driver().inject(wanted, before)
        inside = docker("inspect", "--format", "{{.Id}}", name)
        helpers = Hogs().find("harness-container-")
        places = [Path(f"/proc/{one.pid}/cgroup").read_text() for one in helpers]
        assert len([text for text in places if inside in text]) == 2
        assert feel(wanted, before).felt  # held back by the quota, which is felt too
        docker("restart", "-t", "2", name)
        assert poll(lambda: not left(before), IN_TIME_NS)
        assert docker("exec", name, "echo", "well") == "well"
        driver().heal(wanted, before)


def test_memory_beyond_the_limit_kills_in_the_container_and_heal_starts_it(image: str) -> None:
    """The kernel kills within the container, never on the host; whoever was hit, the container runs afterwards."""
    with container(image, "--memory", "48m", "--memory-swap", "48m") as name:
        wanted = fault("stress-memory", name, {"size": 400 * MB})
        driver().check(wanted)
        before = driver().before(wanted)
        driver().inject(wanted, before)
        felt = feel(wanted, before)
        assert felt.felt, felt.proof
        driver().heal(wanted, before)
        assert docker("inspect", "--format", "{{.State.Running}}", name) == "true"
        assert not left(before)


@pytest.mark.parametrize("how", ["stop", "restart", "rm"])
@pytest.mark.parametrize("path", ["/tmp", "/data", "/mem"])
def test_a_fill_file_is_removed_whatever_became_of_its_container(
    image: str, how: str, path: str, tmp_path: Path
) -> None:
    """In its layer, on a volume of the host, in memory; the container stopped, restarted or removed by then."""
    with container(image, "--tmpfs", "/mem:size=64m", "-v", f"{tmp_path}:/data") as name:
        wanted = fault("fill-disk", name, {"path": path, "size": 5 * MB})
        before = driver().before(wanted)
        driver().inject(wanted, before)
        assert feel(wanted, before).felt
        docker(*{"stop": ("stop", "-t", "1"), "restart": ("restart", "-t", "1"), "rm": ("rm", "-f")}[how], name)
        driver().heal(wanted, before)
        assert not left(before)
        assert not list(tmp_path.iterdir())
        assert not driver().residue([(wanted, before)])


def test_a_link_in_the_path_leads_where_it_leads_in_the_container(idle: str) -> None:
    """Through /proc/PID/root an absolute link would lead into the host."""
    for path, folder in {"/tmp/away": "/etc", "/var/round": "/tmp", "/host/up/tmp/../var": "/var"}.items():
        wanted = fault("fill-disk", idle, {"path": path, "size": MB})
        before = driver().before(wanted)
        assert victims(before)[0]["room"]["folder"] == folder
        driver().inject(wanted, before)
        try:
            assert "harness-container-" in docker("exec", idle, "ls", folder)
            assert not list(Path(folder).glob("harness-container-*.fill"))
        finally:
            driver().heal(wanted, before)


def test_what_was_half_filled_when_the_disk_was_full_is_removed(idle: str) -> None:
    """The disk fills up between the check and the injection: the error is told, and healing leaves nothing."""
    wanted = fault("fill-disk", idle, {"path": "/mem", "size": 40 * MB})
    before = driver().before(wanted)
    docker("exec", idle, "dd", "if=/dev/zero", "of=/mem/theirs", "bs=1M", "count=40")
    try:
        with pytest.raises(EnvironmentBroke, match="No space left"):
            driver().inject(wanted, before)
        driver().heal(wanted, before)
        assert not left(before)
        assert docker("exec", idle, "ls", "/mem") == "theirs"
    finally:
        docker("exec", idle, "rm", "/mem/theirs")


@pytest.mark.parametrize(
    ("kind", "params", "words"),
    [
        ("fill-disk", {"path": "/nowhere", "size": MB}, "No such file"),
        ("fill-disk", {"path": "tmp", "size": MB}, "not absolute"),
        ("fill-disk", {"path": "/proc", "size": MB}, "proc"),
        ("fill-disk", {"path": "/mem", "size": 65 * MB}, "free"),
        ("fill-disk", {"path": "/tmp", "size": 1 << 50}, "the host's own disk"),
        ("stress-io", {"path": "/mem", "workers": 1}, "in memory"),
        ("stress-cpu", {"workers": 1.5, "load": 1.0}, "whole number"),
    ],
)
def test_check_refuses_in_words(idle: str, kind: str, params: Mapping[str, Scalar], words: str) -> None:
    """What is no folder, does not fit, or would fill the host; each with what to do."""
    with pytest.raises(HarnessError, match=words) as caught:
        driver().check(fault(kind, idle, params))
    assert caught.value.hint


def test_memory_without_a_limit_must_leave_the_host_some(image: str) -> None:
    """There is no limit to stop it, so the check does."""
    with container(image, "--memory", "0") as name:
        wanted = fault("stress-memory", name, {"size": psutil.virtual_memory().available - 100 * MB})
        with pytest.raises(EnvironmentBroke, match="would leave this host with"):
            driver().check(wanted)
        driver().check(fault("stress-memory", name, {"size": 10 * MB}))


def test_a_container_that_could_not_be_started_again_may_not_be_killed_for_memory(image: str) -> None:
    """With --rm the kernel's kill would be the end of it."""
    with container(image, "--rm") as name:
        driver().check(fault("stress-memory", name))
        with pytest.raises(BadInput, match="--rm"):
            driver().check(fault("stress-memory", name, {"size": 500 * MB}))
