"""Faults in a container's network namespace, on a namespace in memory."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, cast

import pytest

from harness.clients.docker import Docker
from harness.clients.netns import Netns
from harness.errors import BadInput, EnvironmentBroke
from harness.experiment import Fault, Scalar
from harness.faults import Before
from harness.faults.container.facts import Container, facts
from harness.faults.container.firewall import Dns, Loss, Partition
from harness.faults.container.hands import Hands
from harness.faults.container.namespace import MARK, Inside, mark_of
from harness.faults.container.shaping import Delay, Rate
from harness.loader.catalogue import find
from tests.faults.engine import FakeDocker, document
from tests.faults.netns import DeadError, FakeNetns

PID = 7
CASES: Mapping[str, tuple[type[Inside], Mapping[str, Scalar]]] = {
    "partition": (Partition, {"from": "db"}),
    "loss": (Loss, {"share": 0.1, "port": 0.0}),
    "dns": (Dns, {"answer": "refuse"}),
    "rate": (Rate, {"rate": 1000}),
    "delay": (Delay, {"delay": 100, "jitter": 10}),
}


def api(**changes: Any) -> dict[str, Any]:
    """The container that is hit."""
    return document(**{"Pid": PID, **changes})


def db(**endpoint: str) -> dict[str, Any]:
    """The one that it is parted from, with addresses on a network that both are on and on one of its own."""
    other = document("db", Pid=8)
    other["NetworkSettings"]["Networks"] = {
        "back": {
            "NetworkID": "net-back",
            "IPAddress": "172.18.0.3",
            "GlobalIPv6Address": "fd00::3",
            **endpoint,
        },
        "own": {"NetworkID": "net-own", "IPAddress": "172.99.0.3"},
    }
    return other


def made(kind: str, netns: FakeNetns, *documents: dict[str, Any]) -> Inside:
    """The kind, in a process of its own: it knows nothing but its arguments."""
    engine = FakeDocker(*(documents or (api(), db())))
    return CASES[kind][0](Hands(cast(Docker, engine)), cast(Netns, netns))


def fault(kind: str, params: Mapping[str, Scalar] | None = None, name: str = "f") -> Fault:
    """A fault `f` on api."""
    return Fault(
        name=name, driver="container", kind=kind, on="api", params=CASES[kind][1] if params is None else params,
        stage="s", after_ns=0, hold_ns=1,
    )  # fmt: skip


def before_of(kind: Inside, now: Container, wanted: Fault) -> Before:
    """What the driver would write down, as it comes out of the ledger."""
    seen = {"id": now.id, "name": now.name, "started_at": now.started_at, **kind.before(now, wanted)}
    return cast(Before, json.loads(json.dumps(seen)))


def rules_of(plan: Mapping[str, Any], what: str = "rules") -> dict[str, list[str]]:
    """The rules, or the jumps, of each tool."""
    return {tool: table[what] for tool, table in plan["tables"].items()}


NOW = facts(api())


@pytest.mark.parametrize("kind", CASES)
@pytest.mark.parametrize("after_effect", [False, True])
def test_a_death_at_any_command_of_injecting_or_healing_is_healed_by_the_next(kind: str, after_effect: bool) -> None:
    """At every command, given or only just not given; then a second death at every command of healing."""
    deaths = 0
    for first in range(1, 99):
        netns = FakeNetns()
        found = netns.state()
        before = before_of(made(kind, netns), NOW, fault(kind))
        start = len(netns.calls)
        netns.dies_at, netns.dies_after_effect = start + first, after_effect
        try:
            made(kind, netns).inject(NOW, fault(kind), before)
            finished = True
        except DeadError:
            finished = False
        half = netns.state()
        for second in range(1, 99):
            again = FakeNetns()
            again.tables, again.roots = json.loads(json.dumps(half))
            again.dies_at, again.dies_after_effect = second, after_effect
            try:
                made(kind, again).heal(NOW, fault(kind, CASES[kind][1]), before)
                healed = True
            except DeadError:
                healed = False
                deaths += 1
            again.dies_at = None
            made(kind, again).heal(NOW, fault(kind), before)
            assert again.state() == found, f"death at command {first}, then at {second}"
            if healed:
                break
        if finished:
            assert half != found
            break
    else:
        pytest.fail("it never ended")
    assert deaths >= 4


@pytest.mark.parametrize("kind", CASES)
def test_healing_needs_neither_the_other_container_nor_the_engine(kind: str) -> None:
    """The other side may be gone by then: all that matters was written down."""
    netns = FakeNetns()
    found = netns.state()
    before = before_of(made(kind, netns), NOW, fault(kind))
    made(kind, netns).inject(NOW, fault(kind), before)
    alone = made(kind, netns, api())
    alone.heal(NOW, fault(kind, {}), before)
    assert netns.state() == found


@pytest.mark.parametrize("kind", CASES)
@pytest.mark.parametrize("changes", [{"StartedAt": "start-2"}, {"Running": False, "Pid": 0}])
def test_a_container_that_was_started_anew_or_has_ended_is_not_touched(kind: str, changes: dict[str, Any]) -> None:
    """Its namespace is another one, or none: nothing of ours can be in it."""
    netns = FakeNetns()
    before = before_of(made(kind, netns), NOW, fault(kind))
    given = len(netns.calls)
    now = facts(api(**changes))
    made(kind, netns).heal(now, fault(kind), before)
    assert not made(kind, netns).felt(now, fault(kind), before).felt
    assert len(netns.calls) == given


@pytest.mark.parametrize("kind", CASES)
def test_rules_of_others_stay(kind: str) -> None:
    """A rule that somebody adds while ours are there is there afterwards."""
    netns = FakeNetns()
    netns.tables["iptables"]["INPUT"].append("-p icmp -j ACCEPT")
    before = before_of(made(kind, netns), NOW, fault(kind))
    made(kind, netns).inject(NOW, fault(kind), before)
    netns.tables["iptables"]["INPUT"].insert(0, "-p sctp -j DROP")
    made(kind, netns).heal(NOW, fault(kind), before)
    assert netns.tables["iptables"]["INPUT"] == ["-p sctp -j DROP", "-p icmp -j ACCEPT"]


@pytest.mark.parametrize("kind", CASES)
def test_it_is_felt_by_the_kernels_counters_only(kind: str) -> None:
    """In force but met by nobody is not felt; met is; taken away by somebody is not."""
    netns = FakeNetns()
    one = made(kind, netns)
    before = before_of(one, NOW, fault(kind))
    assert not one.felt(NOW, fault(kind), before).felt
    one.inject(NOW, fault(kind), before)
    assert not one.felt(NOW, fault(kind), before).felt
    netns.packets = 5
    assert one.felt(NOW, fault(kind), before).felt
    one.heal(NOW, fault(kind), before)
    assert "somebody removed it" in one.felt(NOW, fault(kind), before).proof


@pytest.mark.parametrize("kind", CASES)
@pytest.mark.parametrize("mode", ["host", "none", "container:0123"])
def test_a_network_that_is_not_its_own_is_refused(kind: str, mode: str) -> None:
    """In host mode the rules would hit this very machine; nothing is even looked at."""
    netns = FakeNetns()
    with pytest.raises(BadInput, match="no network of its own") as caught:
        made(kind, netns).check(facts(api(NetworkMode=mode)), fault(kind))
    assert caught.value.hint.startswith("use `")
    assert netns.calls == []


@pytest.mark.parametrize("kind", CASES)
def test_a_missing_right_or_program_is_said_with_what_to_use_instead(kind: str) -> None:
    """Not root, say."""
    netns = FakeNetns()
    netns.why_not = "it needs root"
    with pytest.raises(EnvironmentBroke, match="it needs root") as caught:
        made(kind, netns).check(NOW, fault(kind))
    assert "use `" in caught.value.hint
    assert netns.calls == []


@pytest.mark.parametrize("kind", CASES)
def test_an_engine_elsewhere_is_refused(kind: str) -> None:
    """Its pids are not ours."""
    with pytest.raises(EnvironmentBroke, match="not on this host"):
        made(kind, FakeNetns(pid=1234)).check(NOW, fault(kind))


@pytest.mark.parametrize(
    ("kind", "lacks", "instead"),
    [
        ("loss", "statistic", "toxic: timeout"),
        ("dns", "REJECT", "container: partition"),
        ("rate", "tbf", "toxic: bandwidth"),
        ("delay", "netem", "toxic: latency"),
    ],
)
def test_what_the_kernel_lacks_is_found_out_beside_the_target(kind: str, lacks: str, instead: str) -> None:
    """Tried in a namespace to throw away; the toxic that does the same is named."""
    netns = FakeNetns(unknown=lacks)
    found = netns.state()
    with pytest.raises(EnvironmentBroke, match=f"this kernel cannot do `container: {kind}`") as caught:
        made(kind, netns).check(NOW, fault(kind))
    assert instead in caught.value.hint
    assert netns.state() == found
    assert netns.rehearsed


@pytest.mark.parametrize("kind", CASES)
def test_check_touches_nothing_and_passes(kind: str) -> None:
    """Only questions are asked inside."""
    netns = FakeNetns()
    found = netns.state()
    made(kind, netns).check(NOW, fault(kind))
    assert netns.state() == found
    assert not [call for call in netns.calls if "restore" in call or " add " in call]


@pytest.mark.parametrize("kind", CASES)
def test_a_network_that_outlasts_its_container_is_refused(kind: str) -> None:
    """A sidecar keeps the namespace, with our rules in it, when the container that it was made for has died."""
    sidecar = document("sidecar", NetworkMode=f"container:{NOW.id}")
    with pytest.raises(BadInput, match="container sidecar lives in the network of api") as caught:
        made(kind, FakeNetns(), api(), db(), sidecar).check(NOW, fault(kind))
    assert caught.value.hint
    made(kind, FakeNetns(), api(), db(), document("other", NetworkMode="container:x")).check(NOW, fault(kind))


@pytest.mark.parametrize("kind", CASES)
def test_what_another_harness_has_there_is_refused_and_found_by_its_mark(kind: str) -> None:
    """Without any book: the same kind finds it, and refuses to add to it."""
    netns = FakeNetns()
    other = fault(kind, name="other")
    looks = cast(Any, made("partition" if kind in {"partition", "loss", "dns"} else "rate", netns))
    assert looks.marks(NOW) == ()
    before = before_of(made(kind, netns), NOW, other)
    made(kind, netns).inject(NOW, other, before)
    with pytest.raises(BadInput, match="already") as caught:
        made(kind, netns).check(NOW, fault(kind))
    assert "harness heal" in caught.value.hint
    (first, *_) = looks.marks(NOW)
    assert first.startswith("container api: ")
    assert made(kind, netns).unlike(NOW, other, before)
    if kind not in {"rate", "delay"}:  # those have one place for all faults, which `check` gives to one
        assert made(kind, netns).unlike(NOW, fault(kind), before_of(made(kind, netns), NOW, fault(kind))) == ()
    made(kind, netns).heal(NOW, other, before)
    assert looks.marks(NOW) == ()


@pytest.mark.parametrize("changes", [{"NetworkMode": "host"}, {"Running": False, "Pid": 0}, {"Pid": 99}])
def test_looking_for_residue_passes_by_what_has_no_namespace_of_its_own(changes: dict[str, Any]) -> None:
    """This machine's own network is never asked, and a container that ends meanwhile is no error."""
    netns = FakeNetns()
    for kind in ("partition", "rate"):
        assert cast(Any, made(kind, netns)).marks(facts(api(**changes))) == ()
    assert netns.calls == []


def test_a_queueing_discipline_of_somebody_else_is_refused() -> None:
    """Replacing it would lose it."""
    netns = FakeNetns()
    netns.roots["eth1"] = ["htb", "1:"]
    for kind in ("rate", "delay"):
        with pytest.raises(BadInput, match="queueing discipline htb 1: on eth1 already"):
            made(kind, netns).check(NOW, fault(kind))


def test_partition_drops_both_ways_by_the_addresses_on_shared_networks_only() -> None:
    """Both families; the address on a network that only the other is on is left alone."""
    plan = made("partition", FakeNetns()).before(NOW, fault("partition"))
    assert rules_of(plan) == {
        "iptables": ["-s 172.18.0.3 -j DROP", "-d 172.18.0.3 -j DROP"],
        "ip6tables": ["-s fd00::3 -j DROP", "-d fd00::3 -j DROP"],
    }
    only_4 = made("partition", FakeNetns(), api(), db(GlobalIPv6Address="")).before(NOW, fault("partition"))
    assert list(rules_of(only_4)) == ["iptables"]


@pytest.mark.parametrize(
    ("other", "peer", "words"),
    [
        ("nobody", db(), "there is no container 'nobody'"),
        ("api", db(), "cannot be parted from itself"),
        ("db", db(NetworkID="net-else"), "has no address on a network that api is on"),
        ("db", db(IPAddress="", GlobalIPv6Address=""), "has no address on a network that api is on"),
    ],
)
def test_partition_refuses_a_peer_that_is_none(other: str, peer: dict[str, Any], words: str) -> None:
    """Missing, itself, or without an address that both can see."""
    with pytest.raises(BadInput) as caught:
        made("partition", FakeNetns(), api(), peer).check(NOW, fault("partition", {"from": other}))
    assert words in str(caught.value)
    assert caught.value.hint


def test_the_name_in_from_is_resolved_like_that_in_on() -> None:
    """A service of a compose stack has a container of another name."""
    engine = FakeDocker(api(), db())
    hands = Hands(cast(Docker, engine), None, {"database": "db"}.__getitem__)
    kind = Partition(hands, cast(Netns, FakeNetns()))
    assert "172.18.0.3" in str(kind.before(NOW, fault("partition", {"from": "database"})))


def test_loss_can_be_of_one_port_and_spares_loopback() -> None:
    """Docker's resolver, and what a container says to itself, is no network."""
    plan = made("loss", FakeNetns()).before(NOW, fault("loss", {"share": 0.25, "port": 80.0}))
    assert rules_of(plan, "jumps")["iptables"] == ["INPUT ! -i lo", "OUTPUT ! -o lo"]
    rules = rules_of(plan)["iptables"]
    assert [rule.split(" -m statistic")[0] for rule in rules] == [
        "-p tcp -m multiport --ports 80",
        "-p udp -m multiport --ports 80",
    ]
    assert all("--probability 0.250000" in rule for rule in rules)
    with pytest.raises(BadInput, match=r"80\.5 is no port"):
        made("loss", FakeNetns()).check(NOW, fault("loss", {"share": 0.25, "port": 80.5}))


@pytest.mark.parametrize(
    ("answer", "jumps"), [("refuse", ["INPUT -d 127.0.0.11", "OUTPUT ! -d 127.0.0.11"]), ("drop", ["INPUT"])]
)
def test_dns_meets_dockers_resolver_by_address_because_its_port_is_translated(answer: str, jumps: list[str]) -> None:
    """A rule for port 53 alone would never meet it. It is met on the way in: out, the sender would be told EPERM."""
    plan = made("dns", FakeNetns()).before(NOW, fault("dns", {"answer": answer}))
    assert rules_of(plan, "jumps")["iptables"] == jumps
    rules = rules_of(plan)["iptables"]
    assert any("127.0.0.11" in rule and "53" not in rule.split("-j")[0] for rule in rules)
    assert {"udp", "tcp"} == {
        word for rule in rules if "port 53" in rule for word in rule.split() if word in ("udp", "tcp")
    }


def test_a_rate_lets_at_least_two_packets_leave_at_once() -> None:
    """A packet that is larger than the bucket would never leave."""
    slow = made("rate", FakeNetns()).before(NOW, fault("rate", {"rate": 1}))
    quick = made("rate", FakeNetns()).before(NOW, fault("rate", {"rate": 100_000}))
    assert "tbf rate 1000bps burst 3000b" in " ".join(cast(Any, slow["qdiscs"])["eth0"])
    assert "tbf rate 100000000bps burst 1000000b" in " ".join(cast(Any, quick["qdiscs"])["eth1"])


def test_a_container_without_an_interface_cannot_be_shaped() -> None:
    """Disconnected from all its networks, say."""
    with pytest.raises(EnvironmentBroke, match="no network interface"):
        made("rate", FakeNetns(devices=())).check(NOW, fault("rate"))


@pytest.mark.parametrize("kind", CASES)
def test_what_cannot_be_healed_ends_with_the_command_to_type(kind: str) -> None:
    """Complete, as root on the host, and by the container's id: its pid may be another by then."""
    netns = FakeNetns()
    one = made(kind, netns)
    before = before_of(one, NOW, fault(kind))
    one.inject(NOW, fault(kind), before)
    netns.pid = 0
    with pytest.raises(EnvironmentBroke) as caught:
        one.heal(NOW, fault(kind), before)
    assert caught.value.hint == one.by_hand(fault(kind), before)
    assert re.match(r"nsenter -t \$\(docker inspect -f '\{\{\.State\.Pid\}\}' api-0+\) -n sh -c '", caught.value.hint)


def test_an_injection_that_does_not_show_is_an_error() -> None:
    """Read back, not believed."""

    class Deaf(FakeNetns):
        def _restore(self, tool: str, lines: Any) -> None:
            """Takes no notice."""

    one = made("loss", Deaf())
    with pytest.raises(EnvironmentBroke, match="is not in force"):
        one.inject(NOW, fault("loss"), before_of(one, NOW, fault("loss")))


def test_a_mark_is_the_same_in_every_process_and_fits_a_chain() -> None:
    """iptables takes 28 characters."""
    assert mark_of("a" * 64, "slow") == mark_of("a" * 64, "slow") != mark_of("a" * 64, "slower")
    assert mark_of("a" * 64, "x" * 200).startswith(MARK)
    assert len(mark_of("a" * 64, "x" * 200)) <= 28


@pytest.mark.parametrize("kind", CASES)
def test_the_catalogue_knows_the_kind_and_its_parameters(kind: str) -> None:
    """What the driver reads is what may be written."""
    entry = find("container", kind)
    assert entry is not None
    assert {param.name for param in entry.params} >= set(CASES[kind][1])
