"""A run that asks much of its generator: tried out before anything is touched, refused or said."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.runs import Run

WEB = {"command": "sh -c 'touch started; exec {python} -m http.server {port} --bind 127.0.0.1'", "ready": "http /"}
STACK = {"process": {"web": WEB}}
STAGES = [
    {"name": "warm", "role": "warmup", "users": 5, "hold": "1s"},
    {"name": "low", "role": "stress", "users": 5, "hold": "1s"},
    {"name": "high", "role": "stress", "users": 10, "hold": "1s"},
]
QUESTIONS = [{"breaking_point": {"at_least": 5}}]
BUDGET = ["p95 < 1s in high"]


def ladder(folder: Path, *words: str) -> Run:
    """A short run that asks where the page breaks."""
    return Run(folder, *words, stack=STACK, stages=STAGES, questions=QUESTIONS, budget=BUDGET)


@pytest.mark.e2e
def test_a_plan_beyond_the_generator_is_refused_before_the_stack_is_up(tmp_path: Path) -> None:
    """More users than one address has ports: exit code 3, what there is room for, nothing was started or is left."""
    low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split())
    users = high - low + 1000
    traffic = {"scenario": "visitor.py", "target": "front", "timeout": "2s", "processes": 2}
    stages = [{"name": "crowd", "role": "stress", "users": users, "hold": "3s"}]
    with Run(tmp_path, stack=STACK, traffic=traffic, stages=stages, budget=["p95 < 1s in crowd"]) as run:
        code, _, err = run.end()
        assert code == 3, err
        assert not run.left()
    assert f"(ephemeral ports); crowd plans {users:,} users" in err
    assert "this machine's generator: FastHttpUser in 2 processes" in err
    assert "--no-self-test" in err
    assert not (tmp_path / "started").exists()
    assert not run.path().exists()


@pytest.mark.e2e
def test_a_ladder_begins_with_a_self_test_that_its_journal_tells(tmp_path: Path) -> None:
    """After the header and before the first stage, and in a line on the screen."""
    with ladder(tmp_path) as run:
        code, out, err = run.end()
        assert code in (0, 1, 2), err
        assert not run.left()
    assert (tmp_path / "started").exists()
    (test,) = run.events("SelfTest")
    assert (test["client"], test["workers"]) == ("FastHttpUser", 1)
    assert 0 < test["at_ns"] < run.events("StageEntered")[0]["at_ns"]
    assert "\nself-test: FastHttpUser in 1 process" in "\n" + out


@pytest.mark.e2e
def test_a_run_without_the_self_test_that_was_due_says_so_in_its_report(tmp_path: Path) -> None:
    """`--no-self-test`: at once, and among the warnings."""
    with ladder(tmp_path, "--no-self-test") as run:
        code, _, err = run.end()
        assert code in (0, 1, 2), err
    assert run.events("SelfTest") == []
    assert "self-test: not run (--no-self-test)" in (run.path() / "report.md").read_text(encoding="utf-8")
