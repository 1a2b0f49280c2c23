"""Faults by packet filter, in a container's own network namespace: partition, loss, dns.

Each has a chain of its own, to which INPUT and OUTPUT jump: undone by removing the jumps and the chain. All rules of an
address family are changed in one call, which is done wholly or not at all.

A packet that is dropped on its way out is told to its sender when that is UDP (EPERM); TCP goes on trying.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import cast

from harness.clients.docker import Document, NoSuchContainerError
from harness.clients.netns import Namespace
from harness.errors import BadInput
from harness.experiment import Fault
from harness.faults import Before, Felt
from harness.faults.container.facts import Container, facts
from harness.faults.container.namespace import MARK, Inside, mark_of
from harness.journal import Json

RESOLVER = "127.0.0.11"
"""Docker's own, in every container on a network of a user; a nat rule sends port 53 there to a port drawn at random."""
_OURS = re.compile(rf"^-N ({MARK}\S+)", re.MULTILINE)
_IN_AND_OUT = ("INPUT", "OUTPUT")
_NOT_LOOPBACK = ("INPUT ! -i lo", "OUTPUT ! -o lo")

_TOOLS = ("iptables", "ip6tables")

Table = Mapping[str, Sequence[str]]
"""For one address family: `jumps`, the places that jump to the chain, and `rules`, what is in it."""
Tables = Mapping[str, Table]


class _Firewall(Inside):
    """The chain of a fault: made, read back, counted and removed."""

    def tables(self, now: Container, fault: Fault) -> Tables:
        """What is wanted, for each tool of an address family."""
        raise NotImplementedError

    def plan(self, now: Container, fault: Fault, inside: Namespace) -> Mapping[str, Json]:
        tables = self.tables(now, fault)
        wanted: dict[str, Json] = {
            tool: {name: list(lines) for name, lines in tables[tool].items()} for tool in inside.tools if tool in tables
        }
        return {"chain": mark_of(now.id, fault.name), "tables": wanted}

    def taken(self, inside: Namespace) -> str:
        return " and ".join(self.marked(inside))

    def marked(self, inside: Namespace) -> Sequence[str]:
        names = (name for tool in inside.tools for name in _OURS.findall(inside.rules(tool)))
        return [f"packet filter chain {name}" for name in dict.fromkeys(names)]

    def act(self, inside: Namespace, before: Before, *, rehearsal: bool = False) -> None:  # noqa: ARG002
        chain = _chain(before)
        for tool, table in _tables(before).items():
            lines = [f":{chain} - [0:0]", *(f"-A {chain} {rule}" for rule in table["rules"])]
            lines += [f"-I {jump} -j {chain}" for jump in table["jumps"]]
            inside.restore(tool, _changes(lines))

    def absent(self, inside: Namespace, before: Before) -> str:
        chain = _chain(before)
        lacking = []
        for tool, table in _tables(before).items():
            lines = inside.rules(tool).splitlines()
            jumps, own = _to(chain, lines), [line for line in lines if line.startswith(f"-A {chain} ")]
            if len(jumps) < len(table["jumps"]) or len(own) < len(table["rules"]):
                lacking.append(f"the chain {chain} of {tool}")
        return ", ".join(lacking)

    def undo(self, inside: Namespace, before: Before) -> None:
        chain = _chain(before)
        for tool in _tables(before):
            lines = inside.rules(tool).splitlines()
            steps = [f"-D {line.removeprefix('-A ')}" for line in _to(chain, lines)]
            steps += [f"-F {chain}", f"-X {chain}"] if f"-N {chain}" in lines else []
            if steps:
                inside.restore(tool, _changes(steps))

    def left(self, inside: Namespace, before: Before) -> str:
        chain = _chain(before)
        return ", ".join(f"the chain {chain} of {tool}" for tool in _tables(before) if chain in inside.rules(tool))

    def met(self, inside: Namespace, now: Container, before: Before) -> Felt:
        chain = _chain(before)
        packets = sum(_packets(inside.counters(tool, chain)) for tool in _tables(before))
        proof = f"{packets} packets of {now.name} were stopped" if packets else f"no packet of {now.name} met the rules"
        return Felt(felt=packets > 0, proof=f"{proof} (counted by the kernel)")

    def commands(self, before: Before) -> Sequence[str]:
        chain = _chain(before)
        found = []
        for tool, table in _tables(before).items():
            jumps = [f"{tool} -D {jump} -j {chain}" for jump in table["jumps"]]
            found += [*jumps, f"{tool} -F {chain}", f"{tool} -X {chain}"]
        return found


class Partition(_Firewall):
    """No packet between the container and `from`, in either direction; everything else goes on."""

    instead = "use `toxic: timeout` on the link between them"

    def tables(self, now: Container, fault: Fault) -> Tables:
        """By the addresses that `from` has now on networks that both are on."""
        found: dict[str, list[str]] = {}
        for address in self._shared(now, fault):
            rules = found.setdefault("ip6tables" if ":" in address else "iptables", [])
            rules += [f"-s {address} -j DROP", f"-d {address} -j DROP"]
        return {tool: {"jumps": _IN_AND_OUT, "rules": rules} for tool, rules in found.items()}

    def other_end(self, fault: Fault) -> Container:
        """Nothing is put there, but it misses the victim as much as the victim misses it."""
        return facts(self._peer(fault))

    def marks(self, now: Container) -> tuple[str, ...]:
        """Of loss and dns too: one kind looks for all."""
        return self.marked_in(now)

    def _shared(self, now: Container, fault: Fault) -> tuple[str, ...]:
        peer = self._peer(fault)
        if peer["Id"] == now.id:
            raise BadInput(
                f"fault {fault.name}: {now.name} cannot be parted from itself", hint="name another in `from`"
            )
        own = {endpoint["NetworkID"] for endpoint in now.networks.values()}
        theirs = (peer.get("NetworkSettings") or {}).get("Networks") or {}
        shared = [endpoint for endpoint in theirs.values() if endpoint.get("NetworkID") in own]
        found = [endpoint.get(key) for endpoint in shared for key in ("IPAddress", "GlobalIPv6Address")]
        addresses = tuple(dict.fromkeys(str(address) for address in found if address))
        if not addresses:
            raise BadInput(
                f"fault {fault.name}: {fault.params['from']} has no address on a network that {now.name} is on",
                hint=f"{now.name} is on: {', '.join(now.networks) or 'none'}; is {fault.params['from']} running?",
            )
        return addresses

    def _peer(self, fault: Fault) -> Document:
        wanted = str(fault.params["from"])
        try:
            return self._hands.document(wanted)
        except NoSuchContainerError as error:
            raise BadInput(
                f"fault {fault.name}: there is no container {wanted!r} to be parted from",
                hint="name a service of the stack or a container of `docker ps` in `from`",
            ) from error


class Loss(_Firewall):
    """A share of packets is lost, in each direction by itself; loopback is spared."""

    instead = "use `toxic: timeout` or `toxic: latency` with a `toxicity` on its link"

    def check(self, now: Container, fault: Fault) -> None:
        """Also refuse a port that is none."""
        port = float(fault.params.get("port", 0))
        if port != int(port):
            raise BadInput(f"fault {fault.name}: {port:g} is no port", hint="a whole number from 1 to 65535")
        super().check(now, fault)

    def tables(self, now: Container, fault: Fault) -> Tables:  # noqa: ARG002 - the contract's shape
        """Of packets from or to `port` where there is one, else of all."""
        port = int(fault.params.get("port", 0))
        draw = f"-m statistic --mode random --probability {float(fault.params['share']):.6f} -j DROP"
        some = [f"-p {protocol} -m multiport --ports {port} {draw}" for protocol in ("tcp", "udp")]
        rules = some if port else [draw]
        return {tool: {"jumps": _NOT_LOOPBACK, "rules": rules} for tool in _TOOLS}


class Dns(_Firewall):
    """Names are not resolved: asking is refused at once, or nobody answers."""

    instead = "use `container: partition` from the service whose name is asked for"

    def tables(self, now: Container, fault: Fault) -> Tables:  # noqa: ARG002 - the contract's shape
        """Docker's resolver by its address (its port is translated before we see it), any other by port 53.

        Docker's resolver is met on the way in to it, where the sender sees what a network does; that of others is
        refused on the way out (a UDP sender is told EPERM), or its answers are dropped.
        """
        if fault.params.get("answer", "refuse") == "drop":
            answers = [f"-p {protocol} --sport 53 -j DROP" for protocol in ("udp", "tcp")]
            return {
                "iptables": {"jumps": ("INPUT",), "rules": [f"-d {RESOLVER} -j DROP", *answers]},
                "ip6tables": {"jumps": ("INPUT",), "rules": answers},
            }
        rules = [*_refused(f"-d {RESOLVER} -p", "", "icmp"), *_refused("-p", "--dport 53 ", "icmp")]
        return {
            "iptables": {"jumps": (f"INPUT -d {RESOLVER}", f"OUTPUT ! -d {RESOLVER}"), "rules": rules},
            "ip6tables": {"jumps": ("OUTPUT",), "rules": _refused("-p", "--dport 53 ", "icmp6")},
        }


def _refused(head: str, tail: str, icmp: str) -> list[str]:
    return [
        f"{head} udp {tail}-j REJECT --reject-with {icmp}-port-unreachable",
        f"{head} tcp {tail}-j REJECT --reject-with tcp-reset",
    ]


def _to(chain: str, lines: Sequence[str]) -> list[str]:
    """The rules that jump to a chain."""
    return [line for line in lines if line.startswith("-A ") and line.endswith(f" -j {chain}")]


def _packets(table: str) -> int:
    """The sum of the first column: what the rules of a chain have met."""
    rows = (line.split() for line in table.splitlines())
    return sum(int(row[0]) for row in rows if row and row[0].isdecimal())


def _changes(lines: Sequence[str]) -> str:
    return "\n".join(("*filter", *lines, "COMMIT", ""))


def _chain(before: Before) -> str:
    return str(before["chain"])


def _tables(before: Before) -> Tables:
    return cast(Tables, before["tables"])
