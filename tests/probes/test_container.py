"""From counters to metrics, on literal numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest

from harness.clients.cgroup import Counters
from harness.clients.docker import Docker
from harness.errors import HarnessError
from harness.probes.container import ContainerProbe, Sample, counters_of, network_of, values
from tests.faults.engine import FakeDocker, document

COUNTERS = Counters(
    cpu_ns=10_000_000_000,
    periods=100,
    throttled_periods=10,
    quota_cores=None,
    cpus=2,
    working_set_bytes=50_000_000,
    limit_bytes=100_000_000,
    oom_kills=0,
    read_bytes=1_000,
    write_bytes=2_000,
)
FIRST = Sample(at_ns=1_000_000_000, started_at="s", counters=COUNTERS, received_bytes=500, sent_bytes=700, restarts=1)
LATER = Sample(
    at_ns=3_000_000_000,
    started_at="s",
    counters=replace(
        COUNTERS, cpu_ns=11_000_000_000, periods=120, throttled_periods=15, read_bytes=5_000, write_bytes=2_000
    ),
    received_bytes=2_500,
    sent_bytes=700,
    restarts=1,
)
HOST = {"host_cores": 4, "host_bytes": 1_000_000_000}


def test_the_first_reading_has_no_rates() -> None:
    """Only what can be known from one look."""
    assert values(FIRST, None, **HOST) == {
        "memory_bytes": 50_000_000,
        "memory": 0.5,
        "restarts": 1,
        "oom_kills": 0,
    }


def test_rates_are_growth_per_second() -> None:
    """One second of CPU in two, on two of four cores, is a quarter of what it may use."""
    seen = values(LATER, FIRST, **HOST)
    assert seen["cpu_cores"] == 0.5
    assert seen["cpu"] == 0.25
    assert seen["throttled"] == 0.25
    assert (seen["rx_bytes_per_s"], seen["tx_bytes_per_s"]) == (1000, 0)
    assert (seen["disk_read_bytes_per_s"], seen["disk_write_bytes_per_s"]) == (2000, 0)


def test_cpu_is_a_share_of_the_quota_when_there_is_one() -> None:
    """Half a core used of half a core allowed."""
    limited = replace(LATER, counters=replace(LATER.counters, quota_cores=0.5))
    assert values(limited, FIRST, **HOST)["cpu"] == 1.0


def test_without_a_limit_memory_is_a_share_of_the_host() -> None:
    """And a limit above the host's memory is none."""
    for limit in (None, 10**12):
        free = replace(FIRST, counters=replace(COUNTERS, limit_bytes=limit))
        assert values(free, None, **HOST)["memory"] == 0.05


def test_what_is_not_known_is_left_out() -> None:
    """None is not zero, and a counter that began anew has no rate."""
    unknown = replace(
        LATER,
        counters=replace(LATER.counters, cpu_ns=None, working_set_bytes=None, periods=None, read_bytes=0),
        received_bytes=None,
        restarts=None,
    )
    assert values(unknown, FIRST, **HOST).keys() == {"oom_kills", "tx_bytes_per_s", "disk_write_bytes_per_s"}


def test_without_a_quota_nothing_is_throttled() -> None:
    """The kernel counts no periods then."""
    idle = replace(LATER, counters=replace(LATER.counters, periods=100, throttled_periods=10))
    assert values(idle, FIRST, **HOST)["throttled"] == 0.0


def test_the_engines_statistics_of_both_cgroup_versions() -> None:
    """Version 1 has total_inactive_file, version 2 inactive_file; op is Read or read."""
    host = {"NanoCpus": 1_500_000_000}
    for inactive, read in (("total_inactive_file", "Read"), ("inactive_file", "read")):
        stats = {
            "cpu_stats": {
                "cpu_usage": {"total_usage": 5},
                "online_cpus": 2,
                "throttling_data": {"periods": 7, "throttled_periods": 3},
            },
            "memory_stats": {"usage": 100, "limit": 1000, "stats": {inactive: 30}},
            "blkio_stats": {"io_service_bytes_recursive": [{"op": read, "value": 4}, {"op": "Sync", "value": 9}]},
        }
        seen = counters_of(stats, host)
        assert (seen.cpu_ns, seen.periods, seen.throttled_periods, seen.quota_cores) == (5, 7, 3, 1.5)
        assert (seen.working_set_bytes, seen.limit_bytes, seen.read_bytes, seen.write_bytes) == (70, 1000, 4, 0)


def test_every_block_of_the_statistics_may_be_missing() -> None:
    """The Engine leaves out, or writes null for, what it could not read."""
    for stats in ({}, {"cpu_stats": None, "memory_stats": None, "blkio_stats": None, "networks": None}):
        seen = counters_of(stats, {})
        assert {seen.cpu_ns, seen.working_set_bytes, seen.read_bytes, seen.periods, seen.quota_cores} == {None}
        assert network_of(stats) == (None, None)


def test_networks_add_up() -> None:
    """A container may be on several."""
    both = {"networks": {"a": {"rx_bytes": 1, "tx_bytes": 2}, "b": {"rx_bytes": 10, "tx_bytes": 20}}}
    assert network_of(both) == (11, 22)


def test_a_container_that_ended_raises_and_its_old_counters_are_forgotten() -> None:
    """Started again its counters begin at zero: the first reading after it has no rates."""
    engine = FakeDocker(document())
    probe = ContainerProbe(lambda: "api", docker=cast(Docker, engine))
    assert probe.read()["memory_bytes"] == 1
    engine.kill("api", "KILL")
    with pytest.raises(HarnessError, match="api is not running: it ended with exit code 137"):
        probe.read()
    engine.start("api")
    assert "cpu" not in probe.read()
