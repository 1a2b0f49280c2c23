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
from harness.faults.container.facts import Container
from harness.faults.container.namespace import MARK, Inside, mark_of
from harness.journal import Json

RESOLVER = "127.0.0.11"
"""Docker's own, in every container on a network of a user; a nat rule sends port 53 there to a port drawn at random."""
_OURS = re.compile(rf"^-N ({MARK}\S+)", re.MULTILINE)
_IN_AND_OUT = ("INPUT", "OUTPUT")
_NOT_LOOPBACK = ("INPUT ! -i lo", "OUTPUT ! -o lo")

Rules = Mapping[str, Sequence[str]]


class _Firewall(Inside):
    """The chain of a fault: made, read back, counted and removed."""

    def rules(self, now: Container, fault: Fault) -> tuple[Sequence[str], Rules]:
        """The places that jump to the chain, and the chain's rules for each tool of an address family."""
        raise NotImplementedError

    def plan(self, now: Container, fault: Fault, inside: Namespace) -> Mapping[str, Json]:
        jumps, rules = self.rules(now, fault)
        wanted: dict[str, Json] = {tool: list(rules[tool]) for tool in inside.tools if rules.get(tool)}
        return {"chain": mark_of(now.id, fault.name), "jumps": list(jumps), "rules": wanted}

    def taken(self, inside: Namespace) -> str:
        return " and ".join(self.marked(inside))

    def marked(self, inside: Namespace) -> Sequence[str]:
        names = (name for tool in inside.tools for name in _OURS.findall(inside.rules(tool)))
        return [f"packet filter chain {name}" for name in dict.fromkeys(names)]

    def act(self, inside: Namespace, before: Before, *, rehearsal: bool = False) -> None:  # noqa: ARG002
        chain = _chain(before)
        for tool, rules in _rules(before).items():
            lines = [f":{chain} - [0:0]", *(f"-A {chain} {rule}" for rule in rules)]
            lines += [f"-I {jump} -j {chain}" for jump in _jumps(before)]
            inside.restore(tool, _table(lines))

    def absent(self, inside: Namespace, before: Before) -> str:
        chain = _chain(before)
        lacking = []
        for tool, rules in _rules(before).items():
            lines = inside.rules(tool).splitlines()
            jumps, own = _to(chain, lines), [line for line in lines if line.startswith(f"-A {chain} ")]
            if len(jumps) < len(_jumps(before)) or len(own) < len(rules):
                lacking.append(f"the chain {chain} of {tool}")
        return ", ".join(lacking)

    def undo(self, inside: Namespace, before: Before) -> None:
        chain = _chain(before)
        for tool in _rules(before):
            lines = inside.rules(tool).splitlines()
            steps = [f"-D {line.removeprefix('-A ')}" for line in _to(chain, lines)]
            steps += [f"-F {chain}", f"-X {chain}"] if f"-N {chain}" in lines else []
            if steps:
                inside.restore(tool, _table(steps))

    def left(self, inside: Namespace, before: Before) -> str:
        chain = _chain(before)
        return ", ".join(f"the chain {chain} of {tool}" for tool in _rules(before) if chain in inside.rules(tool))

    def met(self, inside: Namespace, now: Container, before: Before) -> Felt:
        chain = _chain(before)
        packets = sum(_packets(inside.counters(tool, chain)) for tool in _rules(before))
        proof = f"{packets} packets of {now.name} were stopped" if packets else f"no packet of {now.name} met the rules"
        return Felt(felt=packets > 0, proof=f"{proof} (counted by the kernel)")

    def commands(self, before: Before) -> Sequence[str]:
        chain = _chain(before)
        jumps = [f"-D {jump} -j {chain}" for jump in _jumps(before)]
        return [f"{tool} {step}" for tool in _rules(before) for step in (*jumps, f"-F {chain}", f"-X {chain}")]


class Partition(_Firewall):
    """No packet between the container and `from`, in either direction; everything else goes on."""

    instead = "use `toxic: timeout` on the link between them"

    def rules(self, now: Container, fault: Fault) -> tuple[Sequence[str], Rules]:
        """By the addresses that `from` has now on networks that both are on."""
        addresses = self._shared(now, fault)
        rules = {
            tool: [
                f"{way} {address} -j DROP" for address in addresses if (":" in address) == six for way in ("-s", "-d")
            ]
            for tool, six in (("iptables", False), ("ip6tables", True))
        }
        return _IN_AND_OUT, rules

    def residue(self, now: Container) -> tuple[str, ...]:
        """Of loss and dns too: one kind looks for all."""
        return self.marks(now)

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

    def rules(self, now: Container, fault: Fault) -> tuple[Sequence[str], Rules]:  # noqa: ARG002 - the contract's shape
        """Of packets from or to `port` where there is one, else of all."""
        port = int(fault.params.get("port", 0))
        draw = f"-m statistic --mode random --probability {float(fault.params['share']):.6f} -j DROP"
        some = [f"-p {protocol} -m multiport --ports {port} {draw}" for protocol in ("tcp", "udp")]
        rules = some if port else [draw]
        return _NOT_LOOPBACK, {"iptables": rules, "ip6tables": rules}


class Dns(_Firewall):
    """Names are not resolved: asking is refused at once, or nobody answers."""

    instead = "use `container: partition` from the service whose name is asked for"

    def rules(self, now: Container, fault: Fault) -> tuple[Sequence[str], Rules]:  # noqa: ARG002 - the contract's shape
        """Docker's resolver by its address (its port is translated before we see it), any other by port 53.

        Silence is made on the way in, where nobody is told: of questions to Docker's resolver, of answers of others.
        """
        if fault.params.get("answer", "refuse") == "drop":
            answers = [f"-p {protocol} --sport 53 -j DROP" for protocol in ("udp", "tcp")]
            return ("INPUT",), {"iptables": [f"-d {RESOLVER} -j DROP", *answers], "ip6tables": answers}
        return ("OUTPUT",), {
            "iptables": [*_refused(f"-d {RESOLVER} -p", "", "icmp"), *_refused("-p", "--dport 53 ", "icmp")],
            "ip6tables": _refused("-p", "--dport 53 ", "icmp6"),
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


def _table(lines: Sequence[str]) -> str:
    return "\n".join(("*filter", *lines, "COMMIT", ""))


def _chain(before: Before) -> str:
    return str(before["chain"])


def _jumps(before: Before) -> Sequence[str]:
    return cast(Sequence[str], before["jumps"])


def _rules(before: Before) -> Rules:
    return cast(Rules, before["rules"])
