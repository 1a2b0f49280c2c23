"""What a container fault needs to know of a container, taken from the Engine's inspect document. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from harness.clients.docker import Document
from harness.experiment import Fault
from harness.faults import Before, Felt
from harness.journal import Json

PROTECT_LABEL = "harness.protect"
DEFAULT_GRACE_S = 10
"""What the Engine waits between the stop signal and SIGKILL when the container does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One look at a container. `id` with `started_at` is the identity of what runs in it.

    `loose_ports` are published on whatever host port is free, which changes with each start and each reconnect.
    `tmpfs` are mounts whose files are gone with the end of the container; `grace_s` (-1: for ever) is how long a stop
    waits before it kills.
    """

    id: str
    name: str
    started_at: str
    pid: int
    running: bool
    paused: bool
    exit_code: int
    oom_killed: bool
    protected: bool
    auto_remove: bool
    labels: Mapping[str, str]
    tmpfs: tuple[str, ...]
    grace_s: int
    network_mode: str
    loose_ports: tuple[str, ...]
    limits: Mapping[str, int]
    networks: Mapping[str, Mapping[str, Json]]

    def same_start(self, before: Before) -> bool:
        """Whether it is still the very start that `before` saw: not started again by anybody since."""
        return self.started_at == before["started_at"]


class Kind(Protocol):
    """One kind of container fault. `now` is a fresh look at the container that `before` names by id."""

    def check(self, now: Container, fault: Fault) -> None:
        """Refuse, with BadInput, what cannot be done to this container."""

    def before(self, now: Container, fault: Fault) -> Mapping[str, Json]:
        """What healing needs beyond the identity."""

    def inject(self, now: Container, fault: Fault, before: Before) -> None:
        """Put it in force; return when read back."""

    def heal(self, now: Container, fault: Fault, before: Before) -> None:
        """Take it back if it is there and ours; return when read back."""

    def felt(self, now: Container, fault: Fault, before: Before) -> Felt:
        """Proof from the container as it is at the end of the fault, just before healing."""

    def unlike(self, now: Container, fault: Fault, before: Before) -> tuple[str, ...]:
        """What of ours is still there or still missing, one line each; what somebody else did since is not said."""


@runtime_checkable
class Marks(Protocol):
    """A kind that leaves things with our mark in a container, or in its namespaces, and finds them without books."""

    def marks(self, now: Container) -> tuple[str, ...]:
        """What carries our mark there, of any fault, one line each. `now` is any running container."""


@runtime_checkable
class Parts(Protocol):
    """A kind that a second container feels as well: it must be as free to be hit as the victims are."""

    def other_end(self, fault: Fault) -> Container:
        """That container, as it is now. Raises BadInput when there is none."""


@runtime_checkable
class Outlasts(Protocol):
    """A kind that leaves something on the host, which may still be there when its container has been removed."""

    def heal_gone(self, fault: Fault, before: Before) -> None:
        """Take back what is on the host."""


@runtime_checkable
class ByHand(Protocol):
    """A kind that knows the command by which a person takes its fault back."""

    def by_hand(self, fault: Fault, before: Before) -> str:
        """A complete command for a shell, by container id. Asks nobody."""


@runtime_checkable
class Lingers(Protocol):
    """A kind whose injection goes on in the Engine for longer than a moment after its caller has died."""

    def settle_ns(self, fault: Fault, before: Before) -> int:
        """How long at most."""


LIMITS = ("NanoCpus", "CpuQuota", "CpuPeriod", "Memory", "MemorySwap")


def facts(document: Document) -> Container:
    """The facts in an inspect document; fields that an Engine leaves out count as unset."""
    state, host = document["State"], document["HostConfig"]
    networks = (document.get("NetworkSettings") or {}).get("Networks") or {}
    config = document["Config"]
    labels = config.get("Labels") or {}
    grace_s = config.get("StopTimeout")
    return Container(
        id=document["Id"],
        name=document["Name"].lstrip("/"),
        started_at=state["StartedAt"],
        pid=state.get("Pid") or 0,
        running=state["Running"] and not state.get("Restarting", False),
        paused=state.get("Paused", False),
        exit_code=state.get("ExitCode", 0),
        oom_killed=state.get("OOMKilled", False),
        protected=labels.get(PROTECT_LABEL, "").lower() == "true",
        auto_remove=host.get("AutoRemove", False),
        labels=labels,
        tmpfs=_tmpfs(document),
        grace_s=DEFAULT_GRACE_S if grace_s is None else grace_s,
        network_mode=host.get("NetworkMode", ""),
        loose_ports=_loose_ports(host),
        limits={name: host.get(name) or 0 for name in LIMITS},
        networks={name: _endpoint(name, settings, document["Id"]) for name, settings in networks.items()},
    )


def _tmpfs(document: Document) -> tuple[str, ...]:
    """From `--tmpfs`, which the Engine does not list among the mounts, and from `--mount type=tmpfs`."""
    mounts = (one["Destination"] for one in document.get("Mounts") or () if one.get("Type") == "tmpfs")
    return tuple(sorted({*(document["HostConfig"].get("Tmpfs") or ()), *mounts}))


def _loose_ports(host: Document) -> tuple[str, ...]:
    bindings = host.get("PortBindings") or {}
    loose = [port for port, places in bindings.items() if any(p.get("HostPort") in {"", "0"} for p in places or ())]
    return ("all exposed ports",) if host.get("PublishAllPorts") else tuple(sorted(loose))


def _endpoint(name: str, settings: Document, container_id: str) -> Mapping[str, Json]:
    """What must be given back when the container joins the network again, in the Engine's words.

    The Engine adds the short id to the aliases by itself, and refuses aliases on the default network `bridge`. An
    address that was given by the Engine stays the Engine's to give; one that was asked for is asked for again.
    """
    aliases = [alias for alias in settings.get("Aliases") or () if alias != container_id[:12]]
    wanted = {
        "Aliases": aliases if name != "bridge" else [],
        "Links": list(settings.get("Links") or ()),
        "IPAMConfig": {key: value for key, value in (settings.get("IPAMConfig") or {}).items() if value},
        "DriverOpts": dict(settings.get("DriverOpts") or {}),
        "GwPriority": settings.get("GwPriority") or 0,
    }
    return {"NetworkID": settings["NetworkID"], **{key: value for key, value in wanted.items() if value}}
