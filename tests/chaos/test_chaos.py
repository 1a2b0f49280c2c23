"""`make chaos` in small, on every run of the suite: a few random kills, and the target must be as it was."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.chaos.__main__ import drawn, perform
from tests.chaos.kinds import every_kind
from tests.chaos.trial import Outcome

TRIALS, PARALLEL, SECONDS = 14, 3, 80
HEALED_S: Mapping[str, float] = {
    "SIGKILL": 10.0,
    "SIGINT": 5.0,
    "SIGTERM": 5.0,
    "SIGHUP": 5.0,
    "reaper killed": 10.0,
    "both killed": 10.0,
}
GRACE_S = 12.0
"""A stop, or the first half of a restart, that the Engine has begun ends when the container's grace period does (10 s
here), whoever asked for it: nobody can start the container before that."""


def allowed_s(outcome: Outcome) -> float:
    """How long until everything is as before."""
    graceful = any(kind in {("container", "stop"), ("container", "restart")} for kind in outcome.trial.faults)
    return HEALED_S[outcome.trial.way] + (GRACE_S if graceful else 0)


@pytest.mark.e2e
@pytest.mark.needs("docker", "toxiproxy", "root", "netns")
@pytest.mark.timeout(300)
def test_a_harness_that_is_ended_at_any_instant_leaves_its_target_as_it_was(tmp_path: Path) -> None:
    """Asked of Docker, Toxiproxy, the firewall, the process table and the disk; in time, and nothing refused to run."""
    seed = secrets.randbelow(1_000_000)
    print(f"again: python -m tests.chaos --trials {TRIALS} --parallel {PARALLEL} --seed {seed}")
    outcomes = perform(drawn(seed, TRIALS, every_kind()), tmp_path, PARALLEL, SECONDS, first=os.getpid())
    for one in outcomes:
        print(one)
    assert len(outcomes) >= TRIALS // 2, "a machine so slow proves nothing"
    assert not [one for one in outcomes if one.refused]
    assert not [one for one in outcomes if one.residue or one.healed_s is None]
    assert not [one for one in outcomes if one.healed_s is not None and one.healed_s > allowed_s(one)]
