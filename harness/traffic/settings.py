"""What a traffic process is told when it starts: the first line of its channel."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from harness.journal import Json

Role = Literal["master", "worker", "checker"]
_LISTS = ("tags", "exclude_tags", "source_addresses")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSettings:
    """Everything a child needs to know. `origin_ns` is the run clock's zero on CLOCK_MONOTONIC, shared by the host.

    `max_users` is of all workers together; above zero it says that the load is in arrivals (open model). `relayed`:
    the process that started it stands between it and the harness, which is on another machine. `declared` (its
    `to_json`) stands in the place of a scenario; its files are relative to `base_dir`.
    """

    role: Role
    scenario: str = ""
    address: str = ""
    worker: int = 0
    workers: int = 1
    origin_ns: int = 0
    seed: int = 0
    timeout_ns: int = 0
    arrivals: Literal["poisson", "uniform"] = "poisson"
    max_users: int = 0
    tags: tuple[str, ...] = ()
    exclude_tags: tuple[str, ...] = ()
    source_addresses: tuple[str, ...] = ()
    relayed: bool = False
    declared: dict[str, Any] | None = None
    base_dir: str = ""

    def to_json(self) -> dict[str, Json]:
        """The record that `read_settings` turns back."""
        return {"config": {**asdict(self), **{name: list(getattr(self, name)) for name in _LISTS}}}


def read_settings(record: dict[str, Any] | None) -> ChildSettings:
    """The settings in a channel's first record. Raises ValueError when the harness left before it said anything."""
    if record is None:
        raise ValueError("the harness closed the channel before the settings came")
    config = record["config"]
    return ChildSettings(**{**config, **{name: tuple(config[name]) for name in _LISTS}})
