"""Helper processes: seats in a cgroup, an end at once with their target, and marks that anybody can work out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.clients import cgroup, hog, hogs
from harness.clients.hogs import Hogs
from harness.clients.process import started_at
from harness.errors import EnvironmentBroke
from harness.journal import Json

AT_ONCE_MS = 10_000


def test_the_end_of_the_target_is_told_by_the_kernel() -> None:
    """The Engine waits for no more than a third of a second before it gives up removing a cgroup."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        target = hog._target({"target": child.pid})
        assert not target.poll(0)
        child.kill()
        assert target.poll(AT_ONCE_MS)


def test_a_mark_is_the_same_for_whoever_works_it_out_and_another_for_each_identity() -> None:
    """It is found again after everything else is forgotten; parts that run together are not mixed up."""
    assert hogs.mark("process", "f", "a", "b") == hogs.mark("process", "f", "a", "b")
    assert len({hogs.mark("process", *parts) for parts in (("f", "ab", ""), ("f", "a", "b"), ("fa", "b", ""))}) == 3
    assert hogs.mark("container", "../f g", "x").removeprefix("harness-container-").isalnum()


def test_what_a_helper_cannot_do_is_said_in_its_words(tmp_path: Path) -> None:
    """And it is gone."""
    me = os.getpid()
    spec: dict[str, Json] = {
        "target": me,
        "target_started": started_at(me),
        "oom_score_adj": 0,
        "work": "io",
        "bytes": 1,
    }
    with pytest.raises(EnvironmentBroke, match=r"cannot begin: .*No such file"):
        Hogs().start("harness-process-nowhere", [{**spec, "path": str(tmp_path / "nowhere" / "file")}])
    assert not Hogs().find("harness-process-nowhere")


def test_a_target_that_is_another_process_by_now_is_not_joined(tmp_path: Path) -> None:
    """The pid is the same, the start is not: nothing is begun."""
    spec: dict[str, Json] = {"target": os.getpid(), "target_started": 1.5, "oom_score_adj": 0, "work": "io", "bytes": 1}
    with pytest.raises(hogs.HelperEndedError):
        Hogs().start("harness-process-recycled", [{**spec, "path": str(tmp_path / "file")}])
    assert not list(tmp_path.iterdir())


def seat(folder: Path) -> Path:
    """A cgroup's file to write pids to."""
    folder.mkdir(parents=True)
    (folder / "cgroup.procs").touch()
    return folder / "cgroup.procs"


def test_version_1_seats_are_all_but_the_freezer(tmp_path: Path) -> None:
    """A helper frozen with its container could not be killed."""
    root, proc = tmp_path / "cgroup", tmp_path / "proc" / "7"
    proc.mkdir(parents=True)
    (proc / "cgroup").write_text("3:memory:/docker/abc\n2:cpu,cpuacct:/docker/abc\n1:freezer:/docker/abc\n0::/x\n")
    wanted = {seat(root / "memory/docker/abc"), seat(root / "cpu/docker/abc")}
    seat(root / "freezer/docker/abc")
    assert set(cgroup.seats(7, "abc", root=root, proc=proc.parent)) == wanted
    assert not cgroup.seats(7, "other", root=root, proc=proc.parent)
    assert not cgroup.seats(8, "abc", root=root, proc=proc.parent)


def test_version_2_has_one_seat(tmp_path: Path) -> None:
    """The scope of the container."""
    root, proc = tmp_path / "cgroup", tmp_path / "proc" / "7"
    proc.mkdir(parents=True)
    (proc / "cgroup").write_text("0::/system.slice/docker-abc.scope\n")
    assert cgroup.seats(7, "abc", root=root, proc=proc.parent) == ()
    only = seat(root / "system.slice/docker-abc.scope")
    assert cgroup.seats(7, "abc", root=root, proc=proc.parent) == (only,)
