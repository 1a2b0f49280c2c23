"""Whether this machine has room for the users of an experiment."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.errors import BadInput
from harness.experiment import Experiment, ExternalStack, WorkersSpec
from harness.traffic.sizing.files import FILES_KEPT, files_at_most
from harness.traffic.sizing.room import LOOPBACK_ADDRESSES, addresses_used, require_room, shortages, users_of
from tests.documents import built


def experiment(users: int, **traffic: Any) -> Experiment:
    """With so many users in its highest stage, in one process unless told."""
    made = built()
    stages = tuple(replace(stage, users=min(stage.users, users)) for stage in made.stages[:-1])
    stages += (replace(made.stages[-1], users=users),)
    return replace(made, stages=stages, traffic=replace(made.traffic, **{"processes": 1, **traffic}))


def test_users_beyond_the_open_files_are_told_with_what_to_type() -> None:
    """Each user holds a connection; more processes share them."""
    assert shortages(experiment(1_000), files=1_000 + FILES_KEPT) == ()
    ((what, remedy),) = shortages(experiment(1_001), files=1_000 + FILES_KEPT)
    assert what == "1,001 users in 1 traffic process need 1,065 open files each, of 1,064 allowed here"
    assert "ulimit -n 1065" in remedy
    assert "LimitNOFILE=1065" in remedy
    assert "--ulimit nofile=1065" in remedy
    assert "use 2 processes (traffic: processes)" in remedy
    assert shortages(experiment(1_001, processes=2), files=1_000 + FILES_KEPT) == ()


def test_too_few_files_are_refused_before_anything_runs() -> None:
    """By this process's own limits."""
    require_room(experiment(100))
    with pytest.raises(BadInput, match="open files"):
        require_room(experiment(files_at_most()))


def test_of_other_hosts_nothing_is_known() -> None:
    """Their files are theirs."""
    workers = WorkersSpec(expect=2, bind="127.0.0.1:5557", join_within_ns=1)
    assert shortages(experiment(5_000, workers=workers), files=100) == ()


def test_an_address_of_another_machine_is_refused() -> None:
    """192.0.2.0/24 and 2001:db8::/32 are nobody's (RFC 5737, RFC 3849)."""
    found = experiment(10, source_addresses=("127.0.0.1", "192.0.2.1", "2001:db8::1"))
    assert [what for what, _ in shortages(found)] == [
        "traffic.source_addresses: 192.0.2.1 is no address of this machine",
        "traffic.source_addresses: 2001:db8::1 is no address of this machine",
    ]


def test_a_rate_has_as_many_users_as_its_pool_may() -> None:
    """In the open model `max_users` bounds them."""
    made = experiment(10, max_users=777)
    rates = tuple(replace(stage, users=0, rate=5.0, unit="rate") for stage in made.stages)
    assert users_of(made) == 10
    assert users_of(replace(made, stages=rates)) == 777


def test_users_come_from_more_addresses_on_loopback_or_where_told() -> None:
    """So many times the local ports of one address."""
    made = experiment(10)
    away = replace(made, stack=ExternalStack(addresses={made.traffic.target: "http://10.1.2.3"}), proxies=())
    told = replace(away, traffic=replace(made.traffic, source_addresses=("10.0.0.1", "10.0.0.2")))
    assert addresses_used(made) == LOOPBACK_ADDRESSES
    assert addresses_used(away) == 1
    assert addresses_used(told) == 2
