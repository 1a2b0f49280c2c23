"""What a scenario would do, asked before anything runs: `harness check` uses it for the expected requests."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from harness.errors import EnvironmentBroke
from harness.experiment import TrafficSpec
from harness.traffic.channel import control_of
from harness.traffic.children import Child, end, launch
from harness.traffic.listener import bad_scenario, require_scenario
from harness.traffic.settings import ChildSettings

CHECK_LIMIT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class UserClass:
    """A user class. `period_ns`: from one iteration to the next when paced; `think_ns`: mean wait where it is known."""

    name: str
    weight: float
    fixed_count: int
    period_ns: int | None
    think_ns: int | None


def check_scenario(spec: TrafficSpec, base_dir: Path) -> tuple[UserClass, ...]:
    """Import the scenario in a process of its own (about a second). Raises BadInput naming file and line."""
    path = (base_dir / spec.scenario).resolve()
    require_scenario(path)
    settings = ChildSettings(
        role="checker", scenario=str(path), address="http://127.0.0.1", tags=spec.tags, exclude_tags=spec.exclude_tags
    )
    with TemporaryDirectory() as folder:
        child = launch(settings, "check", Path(folder))
        try:
            return _answer(child)
        finally:
            end([child])


def _answer(child: Child) -> tuple[UserClass, ...]:
    deadline = time.monotonic() + CHECK_LIMIT_S
    while time.monotonic() < deadline:
        child.channel.sock.settimeout(max(0.01, deadline - time.monotonic()))
        alive = child.channel.feed()
        for line in child.channel.drain():
            record = control_of(line) or {}
            if "failed" in record:
                raise bad_scenario(record["failed"])
            if "classes" in record:
                return tuple(UserClass(**found) for found in record["classes"])
        if not alive:
            break
    how = child.how_ended()
    raise EnvironmentBroke(f"the scenario could not be looked at: its process {how}", hint=child.log_tail())
