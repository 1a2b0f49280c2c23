"""How many traffic processes this machine gets by `processes: auto`, and why.

A traffic process uses one core at most. One that has to wait for a core sends late, and a target that has to wait for
one answers late: what is measured then is this machine. So cores are kept free, for the target when it is here.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from harness.experiment import Experiment, ExternalStack

_CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """A number and the reason for it."""

    number: int
    reason: str


def processes_for(cores: float, *, target_here: bool) -> Processes:
    """Half of the cores when the target needs them too, else all but one for the harness; at least one process.

    `cores` may be a fraction: a CPU quota of 1.5 cores is one whole core.
    """
    whole = max(1, int(cores))
    have = f"{cores:g} core" + ("" if cores == 1 else "s")
    if target_here:
        kept = f"{whole - whole // 2} kept for the target, which is on this machine"
        return Processes(number=max(1, whole // 2), reason=f"{have}, {kept if whole > 1 else 'shared with the target'}")
    kept = "1 kept for the harness" if whole > 1 else "shared with the harness"
    return Processes(number=max(1, whole - 1), reason=f"{have}, {kept}")


def target_is_here(experiment: Experiment, own_addresses: Collection[str]) -> bool:
    """Whether the service that users reach in the end runs on this machine: started by us, or at an address of ours."""
    name = experiment.traffic.target
    behind = {proxy.name: proxy.upstream for proxy in experiment.proxies}
    for _ in behind:  # a chain has no more links than there are proxies
        name = behind.get(name, name)
    if not isinstance(experiment.stack, ExternalStack):
        return "://" not in name
    address = experiment.stack.addresses.get(name, name)
    host = urlsplit(address if "://" in address else f"//{address}").hostname or ""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback or host in own_addresses
    return host == "localhost"


def decide(experiment: Experiment) -> Processes:
    """How many processes this experiment gets on this machine."""
    if experiment.traffic.processes:
        return Processes(number=experiment.traffic.processes, reason="as the experiment says")
    own = {address.address for addresses in psutil.net_if_addrs().values() for address in addresses}
    return processes_for(cores_here(), target_here=target_is_here(experiment, own))


def cores_here() -> float:
    """The cores that this process may use, by its affinity and by the CPU quota of its control group."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min([float(allowed), *_quotas(_CGROUPS)])


def _quotas(root: Path) -> list[float]:
    """CPU quotas in cores, of cgroup v2 (cpu.max) and v1 (cpu.cfs_quota_us), at our own group and at the root we see.

    See cgroups(7) and the kernel's cgroup-v2 and sched-bwc documents.
    """
    own = [""]
    with contextlib.suppress(OSError):
        own += [line.rpartition(":")[2].lstrip("/") for line in Path("/proc/self/cgroup").read_text().splitlines()]
    found = []
    for group in dict.fromkeys(own):
        found += [read_quota(_text(root / group / "cpu.max").split())]
        v1 = root / "cpu" / group
        found += [read_quota([_text(v1 / "cpu.cfs_quota_us"), _text(v1 / "cpu.cfs_period_us")])]
    return [quota for quota in found if quota is not None]


def read_quota(words: list[str]) -> float | None:
    """Cores of a quota and a period in microseconds, None when there is no limit."""
    try:
        quota_us, period_us = (int(word) for word in words)
    except ValueError:  # max, or nothing there
        return None
    return quota_us / period_us if quota_us > 0 and period_us > 0 else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


def told(experiment: Experiment) -> str:
    """Where the load will come from, in a line."""
    workers = experiment.traffic.workers
    if workers is not None:
        plural = "worker" if workers.expect == 1 else "workers"
        return f"{workers.expect} {plural} expected to join at {workers.bind} (harness worker --master ...)"
    decided = decide(experiment)
    plural = "process" if decided.number == 1 else "processes"
    return f"{decided.number} traffic {plural}: {decided.reason}"
