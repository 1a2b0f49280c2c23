"""What the limits of the blast radius refuse, with the line; and what `check` prints of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.blast_radius import allows_container, host_of, limits, refuse, require_within
from harness.cli import cli
from harness.clients.resolver import addresses_of
from harness.errors import BadInput
from harness.experiment import Targets
from harness.loader import load
from harness.loader.problems import Problems
from harness.plan import plan
from harness.timeline import timeline
from tests.documents import built, replaced, write

KNOWN = {
    "inside": ("10.1.2.3", "fd00::1"),
    "outside": ("10.1.2.3", "8.8.8.8"),
    "far.example": ("2001:4860:4860::8888",),
}

BOTH = "targets of the experiment and those of harness.toml must all allow it"


def names(host: str) -> Collection[str]:
    """A resolver that knows three names."""
    if host not in KNOWN:
        raise OSError("Name or service not known")
    return KNOWN[host]


def refused(own: Collection[str] = (), **changes: object) -> list[str]:
    """What is refused of the example document with sections replaced."""
    experiment = built(**changes)
    problems = Problems(where="")
    refuse(experiment, plan(experiment), problems, own=own, addresses_of=names)
    return [str(problem) for problem in problems.found]


def external(address: str) -> dict[str, object]:
    """The example with one service that runs already."""
    return {
        "stack": {"external": {"db": address, "api": "127.0.0.1:1"}},
        "faults": [],
        "probes": [],
        "budget": [],
    }


# The allow-list


def test_a_fault_on_what_is_not_listed_is_refused_at_its_place() -> None:
    """payment is not db*; a toxic's proxy is known by its own name and by the service behind it."""
    told = f"faults[1].on: payment is outside of targets: names: db* ({BOTH})"
    assert refused(targets={"names": ["db*"]}) == [told]
    assert refused(targets={"names": ["db", "payment"]}) == []
    assert refused(targets={"names": ["db-link", "pay*"]}) == []
    assert len(refused(targets={"names": ["api"]})) == 2


def test_a_fault_is_told_at_its_own_place_whatever_its_name() -> None:
    """Without a name, with a selector, beside one of another kind on the same thing, and drawn from a pool."""
    shared = {"during": "level-500", "for": "1s"}
    drawn = {"rate": "1/1s", "during": "level-500", "from": [{"toxic": "down", "on": "db-link", "for": "100ms"}]}
    faults = [
        {"toxic": "latency", "latency": "1s", "on": "db", "name": "down-db", **shared},
        {"toxic": "down", "on": "front", "after": "5s", **shared},
        {"container": "pause", "on": {"name": "web-*"}, **shared},
        {"random": drawn},
    ]
    stack = {"external": {"db": "127.0.0.1:1", "api": "127.0.0.1:2"}}
    said = refused(stack=stack, probes=[], budget=[], faults=faults, targets={"names": ["nothing"]})
    found = list(dict.fromkeys(line.partition(":")[0] for line in said))
    assert found == ["faults[0].on", "faults[1].on", "faults[2].on", "faults[3].random.from[0].on"]


def test_who_a_container_is_parted_from_must_be_allowed_too() -> None:
    """It misses the other as much."""
    fault = {"container": "partition", "on": "api", "from": "db", "during": "level-500"}
    stack = {"external": {"db": "127.0.0.1:1", "api": "127.0.0.1:2"}}
    changes = {"stack": stack, "probes": [], "budget": [], "faults": [fault]}
    told = f"faults[0].from: db is outside of targets: names: api ({BOTH})"
    assert refused(**changes, targets={"names": ["api"]}) == [told]
    assert refused(**changes, targets={"names": ["api", "d*"]}) == []


def test_every_allow_list_must_allow() -> None:
    """That of the experiment and that of harness.toml."""
    both = (Targets(names=("a", "b")), Targets(names=("b", "c")))
    assert [allows_container(both, name, {}) for name in "abc"] == [False, True, False]


def test_a_container_is_allowed_by_name_or_service_and_by_label() -> None:
    """Each key that is written must allow it; one that is not limits nothing."""
    service = {"com.docker.compose.service": "api", "env": "test"}
    assert allows_container((), "anything", {})
    assert allows_container((Targets(names=("api",)),), "shop-api-1", service)
    assert not allows_container((Targets(names=("db",)),), "shop-api-1", service)
    assert allows_container((Targets(labels=("env=test",)),), "x", service)
    assert allows_container((Targets(labels=("env",)),), "x", service)
    assert not allows_container((Targets(labels=("env=prod", "tier")),), "x", service)
    assert not allows_container((Targets(names=("api",), labels=("env=prod",)),), "x", service)


@pytest.mark.parametrize(
    ("address", "patterns", "allowed"),
    [
        ("http://127.0.0.1:80", ["127.0.0.0/8"], True),
        ("localhost:80", ["127.0.0.0/8"], True),
        ("10.9.9.9:80", ["127.0.0.0/8"], False),
        ("http://[::1]:80/x", ["::1"], True),
        ("inside:80", ["10.0.0.0/8"], False),
        ("inside:80", ["ins*"], True),
        ("INSIDE:80", ["inside"], True),
    ],
)
def test_an_address_must_fit(address: str, patterns: list[str], allowed: bool) -> None:
    """By range what is an address, by pattern what is a name."""
    said = refused(**external(address), targets={"addresses": ["127.0.0.1", *patterns]})
    assert bool(said) is not allowed
    assert all(line.startswith("stack.external.db: ") and "outside of targets" in line for line in said)


# Limits


def test_more_faults_at_once_than_allowed_are_named_with_their_instant() -> None:
    """slow-db ends in the very second in which freeze begins: they do not meet. Here they do."""
    both = [
        {"toxic": "latency", "on": "db", "latency": "1ms", "during": "level-500", "for": "15s", "name": "a"},
        {"process": "pause", "on": "payment", "during": "level-500", "after": "10s", "name": "b"},
    ]
    told = "blast_radius.faults_at_once: 2 faults are in force at 1m10s (a, b), allowed are 1"
    assert refused(faults=both, blast_radius={"faults_at_once": 1}) == [told]
    assert refused(faults=both, blast_radius={"faults_at_once": 2}) == []
    assert refused(blast_radius={"faults_at_once": 1}) == []


def test_fault_time_is_counted_for_each_fault() -> None:
    """15 s and 10 s."""
    told = "blast_radius.total: the faults are in force for 25s in all, each counted by itself; allowed are 24s"
    assert refused(blast_radius={"total": "24s"}) == [told]
    assert refused(blast_radius={"total": "25s"}) == []


# Whose it is


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1:80", "http://localhost:80", "a.localhost:1", "10.0.0.1:1", "http://192.168.1.1", "http://[::1]:8",
     "http://[fe80::1%25eth0]:8", "inside:80", "http://user:8.8.8.8@127.0.0.1/8.8.8.8", "http://[::ffff:10.0.0.1]/"],
)  # fmt: skip
def test_this_machine_and_private_networks_need_no_word(address: str) -> None:
    """Loopback, private and link-local, also by name."""
    assert refused(**external(address)) == []


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("8.8.8.8:53", "8.8.8.8"),
        ("http://[2001:4860:4860::8888]/", "2001:4860:4860::8888"),
        ("http://[::ffff:8.8.8.8]/", "::ffff:8.8.8.8"),
        ("http://127.0.0.1@8.8.8.8/", "8.8.8.8"),
        ("outside:80", "outside"),
        ("http://far.example./x", "far.example"),
        ("nobody-knows:80", "nobody-knows"),
    ],
)
def test_what_is_somebody_elses_needs_to_be_owned(address: str, host: str) -> None:
    """Public addresses, names with one public address, names that nobody knows; the message tells what to type."""
    (said,) = refused(**external(address))
    assert said.startswith("stack.external.db: ")
    assert f"type --i-own {host}" in said
    assert refused(own=[host], **external(address)) == []
    assert refused(own=[host.upper()], **external(address)) == []
    assert refused(own=["another"], **external(address)) == [said]


def test_the_toxiproxy_and_http_faults_are_looked_at_too() -> None:
    """Wherever a call of ours goes that breaks something."""
    assert "toxiproxy: 8.8.8.8 is neither" in refused(toxiproxy="http://8.8.8.8:8474")[0]
    fault = {"http": "call", "on": "flag", "during": "level-500", "inject": "POST http://8.8.8.8/on",
             "heal": "POST http://127.0.0.1/off", "name": "flag"}  # fmt: skip
    (said,) = refused(faults=[fault])
    assert said.startswith("faults[0].inject: 8.8.8.8 is neither")


@pytest.mark.parametrize(
    ("address", "host"),
    [("db:5432", "db"), ("http://u:p@H.example:1/x?y", "h.example"), ("http://h#@evil", "h"), ("http://h\\@evil", "h")],
)
def test_the_host_of_an_address(address: str, host: str) -> None:
    """As a client would read it."""
    assert host_of(address) == host


def test_a_resolver_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's own would wait for much longer."""
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: threading.Event().wait(5) or [])
    before = time.monotonic()
    with pytest.raises(TimeoutError, match=r"no answer within 0\.1 s"):
        addresses_of("slow.example", limit_s=0.1)
    assert time.monotonic() - before < 2


def test_the_resolver_knows_this_machine() -> None:
    """And tells an OSError of what does not exist, also of what cannot."""
    assert "127.0.0.1" in addresses_of("localhost")
    for host in ("does-not-exist.invalid", "a" * 70 + ".invalid"):
        with pytest.raises(OSError):
            addresses_of(host)


# From the file, and to a person


def test_what_is_refused_is_told_with_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line of the fault, of the limit and of the key."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios/checkout.py").write_text("")
    text = replaced("traffic:", "toxiproxy: http://8.8.8.8:8474\ntraffic:")
    text += "targets: {names: [db]}\nblast_radius:\n  total: 10s\n"
    file = write(tmp_path, text)
    experiment = load(file)
    with pytest.raises(BadInput) as caught:
        require_within(file, experiment, plan(experiment), own=(), addresses_of=names)
    places = [str(problem).partition(": ")[0] for problem in caught.value.problems]
    lines = text.splitlines()
    assert places == [
        f"x.yaml:{lines.index('toxiproxy: http://8.8.8.8:8474') + 1} toxiproxy",
        f"x.yaml:{next(n for n, line in enumerate(lines, 1) if 'freeze' in line)} faults[1].on",
        f"x.yaml:{len(lines)} blast_radius.total",
    ]
    said = CliRunner().invoke(cli, ["check", "x.yaml", "--i-own", "8.8.8.8"], standalone_mode=False)
    assert isinstance(said.exception, BadInput)
    assert len(said.exception.problems) == 2


def test_check_prints_the_limits() -> None:
    """What is allowed beside what is planned, and what must hold when."""
    experiment = built(
        targets={"names": ["db", "payment"], "labels": ["env=test"]},
        blast_radius={"faults_at_once": 2, "share_of_service": "50%", "total": "60s"},
        steady_state=["errors < 1% for 10s", "p95 < 300ms for 10s"],
    )
    assert limits(experiment, plan(experiment)) == [
        ("allowed", "faults at once: 2 (planned 1)"),
        ("", "fault time in all: 1m (planned 25s, each fault by itself)"),
        ("", "share of a service's replicas: 50%, looked at when victims are"),
        ("targets", "only names db, payment; labels env=test"),
        ("steady state", "errors < 1% for 10s"),
        ("", "p95 < 300ms for 10s"),
        ("", "(nothing is injected unless they hold at 1m05s, before slow-db)"),
    ]
    assert limits(built(), plan(built())) == []
    without = built(steady_state=["errors < 1% for 10s"], faults=[])
    assert limits(without, plan(without))[-1] == ("", "(never looked at: there is no fault)")
    assert "\nsteady state errors < 1% for 10s\n" in timeline(experiment, plan(experiment))
