"""A process that imports the scenario and tells its user classes, for `harness check`: no load, no listeners fired."""

from __future__ import annotations

from typing import Any

from locust import FastHttpUser, HttpUser
from locust.user import wait_time as wait_times

from harness.traffic.channel import Channel
from harness.traffic.child.hooks import PERIOD, install_pacing
from harness.traffic.child.setup import load_scenario, make_environment, report_failure
from harness.traffic.fast.user import FastUser
from harness.traffic.pacing import Ledger
from harness.traffic.scenario import ScenarioError
from harness.traffic.settings import ChildSettings

_SAMPLES = 200
_CLIENTS = (FastUser, FastHttpUser, HttpUser)


def run(settings: ChildSettings, channel: Channel, events: Any) -> None:
    """Send one record, the classes or the failure."""
    install_pacing(Ledger(), lambda: 0, lambda _: None)
    try:
        environment = make_environment(settings, load_scenario(settings), events)
    except ScenarioError as error:
        report_failure(channel, error)
        return
    channel.send({"classes": [_describe(found) for found in environment.user_classes]})


def _describe(user_class: Any) -> dict[str, Any]:
    wait = vars(user_class).get("wait_time") or user_class.wait_time
    return {
        "name": user_class.__name__,
        "weight": user_class.weight,
        "fixed_count": user_class.fixed_count,
        "period_ns": getattr(wait, PERIOD, None) or None,
        "think_ns": _mean_think_ns(wait),
        "client": next((client.__name__ for client in _CLIENTS if issubclass(user_class, client)), "other"),
    }


def _mean_think_ns(wait: Any) -> int | None:
    """The mean of Locust's own wait times that need no user (between, constant, poisson), by sampling; else unknown."""
    if hasattr(wait, PERIOD) or getattr(wait, "__module__", "") != wait_times.__name__:
        return None
    return int(sum(wait(None) for _ in range(_SAMPLES)) / _SAMPLES * 1e9)
