"""What a scenario would do, asked before anything runs: `harness check` uses it for the expected requests."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from harness.declared import DeclaredTraffic
from harness.errors import EnvironmentBroke
from harness.experiment import TrafficSpec
from harness.traffic.channel import control_of
from harness.traffic.children import Child, end, launch
from harness.traffic.listener import bad_scenario, require_scenario
from harness.traffic.settings import ChildSettings

CHECK_LIMIT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class UserClass:
    """A user class. `period_ns`: from one iteration to the next when paced; `think_ns`: mean wait where it is known.

    `requests` of an iteration; those of a locustfile's task are not known before it runs, and count as one.
    `client` is the HTTP client that its users have: FastUser, FastHttpUser, HttpUser, or other.
    """

    name: str
    weight: float
    fixed_count: int
    period_ns: int | None
    think_ns: int | None
    requests: float = 1.0
    client: str = "other"


def check_scenario(spec: TrafficSpec, base_dir: Path) -> tuple[UserClass, ...]:
    """Import the scenario in a process of its own (about a second). Raises BadInput naming file and line.

    Of declared traffic all is known already.
    """
    if spec.declared is not None:
        return (_declared(spec.declared),)
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


def _declared(traffic: DeclaredTraffic) -> UserClass:
    think_ns = (traffic.think.mean_ns if traffic.think else 0) + traffic.waits_ns
    return UserClass(
        name="Declared",
        weight=1.0,
        fixed_count=0,
        period_ns=traffic.pace_ns or None,
        think_ns=think_ns or None,
        requests=traffic.requests_per_iteration,
        client="FastUser",
    )


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
