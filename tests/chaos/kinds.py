"""One fault of every kind of the catalogue, as it is written in an experiment, on a slot's things."""

from __future__ import annotations

from collections.abc import Mapping

from harness.loader.catalogue import KINDS
from tests.chaos.targets import Target

TOXICS: Mapping[str, Mapping[str, object]] = {
    "latency": {"latency": "50ms", "jitter": "10ms", "stream": "both"},
    "bandwidth": {"rate": "100KB/s"},
    "slow_close": {"delay": "100ms"},
    "timeout": {"timeout": "0s"},
    "reset_peer": {"timeout": "0s"},
    "slicer": {"average_size": "64B", "delay": "100us"},
    "limit_data": {"bytes": "10KB"},
    "down": {},
}
CONTAINERS: Mapping[str, Mapping[str, object]] = {
    "kill": {},
    "stop": {},
    "restart": {},
    "pause": {},
    "disconnect": {},
    "cpu": {"cpus": 0.2},
    "memory": {"limit": "128MB"},
    "partition": {"from": "PEER"},
    "loss": {"share": "30%"},
    "rate": {"rate": "100KB/s"},
    "dns": {"answer": "refuse"},
    "stress-cpu": {"workers": 1},
    "stress-memory": {"size": "64MB"},
    "stress-io": {"workers": 1},
    "fill-disk": {"path": "/tmp", "size": "20MB"},
}
PROCESSES: Mapping[str, Mapping[str, object]] = {
    "kill": {},
    "stop": {},
    "restart": {},
    "pause": {},
    "stress-cpu": {"workers": 1},
    "stress-memory": {"size": "64MB"},
    "open-files": {"limit": 40},
}
# What this kernel cannot do is refused by `check`, so it cannot be killed in the middle either.
LEFT_OUT = {("container", "delay")}


def fault(driver: str, kind: str, target: Target) -> dict[str, object]:
    """The fault's own keys; when it happens is the trial's business."""
    flag = target.folder / "flags" / "flag"
    if driver == "toxiproxy":
        return {"toxic": kind, "on": target.link, **TOXICS[kind]}
    if driver == "container":
        params = {key: target.peer if value == "PEER" else value for key, value in CONTAINERS[kind].items()}
        return {"container": kind, "on": target.box, **params}
    if driver == "process":
        return {"process": kind, "on": "own", **PROCESSES[kind]}
    return {
        "command": "run",
        "on": "flag",
        "inject": ["touch", str(flag)],
        "heal": ["rm", "-f", str(flag)],
        "confirm": ["test", "-e", str(flag)],
    }


def every_kind() -> tuple[tuple[str, str], ...]:
    """All kinds that can be in force here, as (driver, kind). `http` shares its life with `command`."""
    return tuple(
        (kind.driver, kind.name) for kind in KINDS if (kind.driver, kind.name) not in LEFT_OUT and kind.driver != "http"
    )
