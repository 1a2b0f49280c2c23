"""One container's CPU, memory, network, disk, throttling, restarts and kills for memory.

From the kernel's cgroup files when they are on this host (0.1 ms), else from the Engine's statistics (1 to 2 s).

    cpu                      share of the CPU time that it may use: of its quota, else of the cores it may run on
    cpu_cores                cores used
    memory_bytes             working set: what it uses, less the file cache that goes first
    memory                   the same as a share of its limit, else of the host
    throttled                share of the scheduler's periods in which it was held back by its quota
    rx_bytes_per_s, tx_bytes_per_s, disk_read_bytes_per_s, disk_write_bytes_per_s
    restarts                 how often the Engine has restarted it by its restart policy
    oom_kills                processes killed for the memory limit since it was started

Rates are between two readings, so the first reading, and the first after a restart, is without them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import psutil

from harness.clients import cgroup
from harness.clients.cgroup import Counters
from harness.clients.docker import Docker, Document
from harness.clock import Clock, SystemClock
from harness.errors import EnvironmentBroke
from harness.units import NS_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """All counters of a container at one instant. Those of one `started_at` can be compared."""

    at_ns: int
    started_at: str
    counters: Counters
    received_bytes: int | None
    sent_bytes: int | None
    restarts: int | None


class ContainerProbe:
    """Reads one container; `resolve` gives its id or name each time, for services that are recreated."""

    def __init__(self, resolve: Callable[[], str], *, docker: Docker | None = None, clock: Clock | None = None) -> None:
        self._docker = docker or Docker()
        self._resolve = resolve
        self._clock = clock or SystemClock()
        self._last: Sample | None = None

    def read(self) -> Mapping[str, float]:
        """The metrics above. Raises HarnessError when the container is gone or does not run."""
        document = self._docker.inspect(self._resolve())
        state = document["State"]
        if not state["Running"]:
            self._last = None
            raise EnvironmentBroke(
                f"container {document['Name'].lstrip('/')} is not running: it ended with exit code {state['ExitCode']}"
            )
        sample = self._sample(document)
        last, self._last = self._last, sample
        if last is not None and last.started_at != sample.started_at:
            last = None
        return values(sample, last, host_cores=os.cpu_count() or 1, host_bytes=psutil.virtual_memory().total)

    def _sample(self, document: Document) -> Sample:
        pid, container = document["State"]["Pid"], document["Id"]
        counters = cgroup.read(pid, container)
        at_ns = self._clock.now()
        if counters is not None:
            received, sent = cgroup.received_and_sent(pid) or (None, None)
        else:
            stats = self._docker.stats(container)
            at_ns = self._clock.now()
            counters, (received, sent) = counters_of(stats, document["HostConfig"]), network_of(stats)
        return Sample(
            at_ns=at_ns,
            started_at=document["State"]["StartedAt"],
            counters=counters,
            received_bytes=received,
            sent_bytes=sent,
            restarts=document.get("RestartCount"),
        )


def values(now: Sample, last: Sample | None, *, host_cores: int, host_bytes: int) -> Mapping[str, float]:
    """Metrics from a sample, and rates from the one before. What is not known is left out."""
    seen = now.counters
    found: dict[str, float | None] = {
        "memory_bytes": seen.working_set_bytes,
        "memory": _share(seen.working_set_bytes, min(seen.limit_bytes or host_bytes, host_bytes)),
        "restarts": now.restarts,
        "oom_kills": seen.oom_kills,
    }
    if last is not None and now.at_ns > last.at_ns:
        old, seconds = last.counters, (now.at_ns - last.at_ns) / NS_PER_S
        cores = _rate(seen.cpu_ns, old.cpu_ns, seconds * NS_PER_S)
        found |= {
            "cpu_cores": cores,
            "cpu": _share(cores, min(seen.quota_cores or host_cores, seen.cpus or host_cores)),
            "throttled": _throttled(seen, old),
            "rx_bytes_per_s": _rate(now.received_bytes, last.received_bytes, seconds),
            "tx_bytes_per_s": _rate(now.sent_bytes, last.sent_bytes, seconds),
            "disk_read_bytes_per_s": _rate(seen.read_bytes, old.read_bytes, seconds),
            "disk_write_bytes_per_s": _rate(seen.write_bytes, old.write_bytes, seconds),
        }
    return {name: float(value) for name, value in found.items() if value is not None}


def counters_of(stats: Document, host_config: Document) -> Counters:
    """The counters in the Engine's statistics: every block may be missing, and version 2 has other names."""
    cpu, memory = stats.get("cpu_stats") or {}, stats.get("memory_stats") or {}
    throttling = cpu.get("throttling_data") or {}
    detail = memory.get("stats") or {}
    io = (stats.get("blkio_stats") or {}).get("io_service_bytes_recursive")
    used, inactive = memory.get("usage"), detail.get("total_inactive_file", detail.get("inactive_file", 0))
    quota, period = host_config.get("CpuQuota") or 0, host_config.get("CpuPeriod") or 100_000
    nano = host_config.get("NanoCpus") or 0
    return Counters(
        cpu_ns=(cpu.get("cpu_usage") or {}).get("total_usage"),
        periods=throttling.get("periods"),
        throttled_periods=throttling.get("throttled_periods"),
        quota_cores=nano / 1e9 if nano > 0 else quota / period if quota > 0 else None,
        cpus=cpu.get("online_cpus"),
        working_set_bytes=None if used is None else max(0, used - inactive),
        limit_bytes=memory.get("limit"),
        oom_kills=None,
        read_bytes=_io(io, "read"),
        write_bytes=_io(io, "write"),
    )


def network_of(stats: Document) -> tuple[int | None, int | None]:
    """Bytes in and out over all networks; None when the Engine reports none."""
    networks = (stats.get("networks") or {}).values()
    if not networks:
        return None, None
    return sum(n.get("rx_bytes", 0) for n in networks), sum(n.get("tx_bytes", 0) for n in networks)


def _io(rows: list[Document] | None, operation: str) -> int | None:
    return None if rows is None else sum(row["value"] for row in rows if row.get("op", "").lower() == operation)


def _share(part: float | None, whole: float) -> float | None:
    return None if part is None or whole <= 0 else part / whole


def _rate(now: int | None, last: int | None, per: float) -> float | None:
    """Growth, or nothing when a counter began anew (a network interface that left takes its counter along)."""
    return None if now is None or last is None or now < last else (now - last) / per


def _throttled(now: Counters, last: Counters) -> float | None:
    """0 without a quota: then the kernel counts no periods."""
    if None in {now.periods, last.periods, now.throttled_periods, last.throttled_periods}:
        return None
    periods = (now.periods or 0) - (last.periods or 0)
    return ((now.throttled_periods or 0) - (last.throttled_periods or 0)) / periods if periods > 0 else 0.0
