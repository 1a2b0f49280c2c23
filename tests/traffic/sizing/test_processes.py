"""`processes: auto`: how many, and why."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.experiment import Experiment, ExternalStack, Proxy, TrafficSpec, WorkersSpec
from harness.traffic.sizing.processes import decide, processes_for, read_quota, target_is_here, told
from tests.documents import built


@pytest.mark.parametrize(
    ("cores", "here", "number", "reason"),
    [
        (1, True, 1, "1 core, shared with the target"),
        (1, False, 1, "1 core, shared with the harness"),
        (2, True, 1, "2 cores, 1 kept for the target, which is on this machine"),
        (2, False, 1, "2 cores, 1 kept for the harness"),
        (5, True, 2, "5 cores, 3 kept for the target, which is on this machine"),
        (8, True, 4, "8 cores, 4 kept for the target, which is on this machine"),
        (8, False, 7, "8 cores, 1 kept for the harness"),
        (1.5, False, 1, "1.5 cores, shared with the harness"),
    ],
)
def test_cores_are_kept_free(cores: float, here: bool, number: int, reason: str) -> None:
    """Half for a target on this machine, else one for the harness; the reason says so."""
    decided = processes_for(cores, target_here=here)
    assert (decided.number, decided.reason) == (number, reason)


@given(st.floats(0.1, 512), st.booleans())
def test_there_is_always_one_and_a_target_keeps_at_least_half(cores: float, here: bool) -> None:
    """Never none, never more than there are cores."""
    number = processes_for(cores, target_here=here).number
    assert 1 <= number <= max(1, cores)
    assert number == 1 or not here or number <= cores / 2


def ladder() -> Experiment:
    """An experiment on processes that the harness starts."""
    return built()


def external(address: str, target: str = "api") -> Experiment:
    """An experiment at a service that runs already."""
    made = ladder()
    proxies = (Proxy(name="front", upstream="back"), Proxy(name="back", upstream="api"))
    stack = ExternalStack(addresses={"api": address})
    return replace(made, stack=stack, proxies=proxies, traffic=replace(made.traffic, target=target, processes=0))


@pytest.mark.parametrize(
    ("address", "here"),
    [
        ("http://127.0.0.1:80", True),
        ("localhost:80", True),
        ("http://[::1]:80/", True),
        ("10.0.0.7:80", True),
        ("10.0.0.8:80", False),
        ("https://shop.example", False),
    ],
)
@pytest.mark.parametrize("target", ["api", "front"])
def test_where_the_target_is_by_its_address_behind_all_proxies(address: str, here: bool, target: str) -> None:
    """Loopback and own addresses are here; a name that is not resolved is not."""
    assert target_is_here(external(address, target), {"10.0.0.7"}) is here


def test_what_the_harness_starts_is_here() -> None:
    """Process and compose stacks."""
    assert target_is_here(ladder(), ())


def test_a_number_that_was_written_is_kept_and_workers_are_told() -> None:
    """`processes: 3` is three on any machine."""
    made = ladder()
    written = replace(made, traffic=replace(made.traffic, processes=3))
    assert decide(written).number == 3
    assert decide(replace(made, traffic=replace(made.traffic, processes=0))).number >= 1
    workers = WorkersSpec(expect=4, bind="10.0.0.5:5557", join_within_ns=10**9)
    text = told(replace(made, traffic=TrafficSpec(scenario="x.py", target="t", timeout_ns=1, workers=workers)))
    assert text.startswith("4 workers expected to join at 10.0.0.5:5557")


@pytest.mark.parametrize(
    ("words", "cores"),
    [(["200000", "100000"], 2.0), (["max", "100000"], None), (["-1", "100000"], None), ([], None), (["", ""], None)],
)
def test_a_quota_is_read(words: list[str], cores: float | None) -> None:
    """As cgroup v2 and v1 write it."""
    assert read_quota(words) == cores
