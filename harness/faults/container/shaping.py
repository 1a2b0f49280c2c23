"""Faults by queueing discipline, in a container's own network namespace: rate, delay.

They act on what the container sends, on each of its interfaces but loopback: answers of a server, requests of a
client. The discipline has a handle of ours. Only the kernel's default is ever replaced, which comes back by itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from harness.clients.netns import Namespace
from harness.errors import EnvironmentBroke
from harness.experiment import Fault
from harness.faults import Before, Felt
from harness.faults.container.facts import Container
from harness.faults.container.namespace import Inside
from harness.journal import Json

HANDLE = "4841:"
"""Our mark on a queueing discipline. The kernel's own choices begin at 8001:, its default is 0:."""
DEFAULT_HANDLE = "0:"
BURST_NS = 10_000_000
"""What may leave at once: as much as the rate gives in this time, and at least one packet."""
LONGEST_WAIT_MS = 200
"""What would wait longer behind a rate is dropped, as by a router with a small buffer."""
MOST_DELAYED = 10_000
"""Packets; netem drops what is more. Its own default of 1000 is met by 10,000 packets a second at 100 ms."""
_LOOPBACK = "lo"


class _Shaper(Inside):
    """One discipline of ours on each interface."""

    def words(self, fault: Fault, mtu: int) -> Sequence[str]:
        """The discipline and its options, in the words of tc."""
        raise NotImplementedError

    def plan(self, now: Container, fault: Fault, inside: Namespace) -> Mapping[str, Json]:
        links = [link for link in json.loads(inside.links()) if link["ifname"] != _LOOPBACK]
        if not links:
            raise EnvironmentBroke(
                f"fault {fault.name}: container {now.name} has no network interface",
                hint="docker network connect --help",
            )
        return {"qdiscs": {link["ifname"]: list(self.words(fault, link["mtu"])) for link in links}}

    def taken(self, inside: Namespace) -> str:
        return " and ".join(_told(one) for one in roots(inside) if one["handle"] != DEFAULT_HANDLE)

    def marked(self, inside: Namespace) -> Sequence[str]:
        return [_told(one) for one in ours(inside)]

    def act(self, inside: Namespace, before: Before, *, rehearsal: bool = False) -> None:
        for device, words in _qdiscs(before).items():
            inside.tc("qdisc", "add", "dev", _LOOPBACK if rehearsal else device, "root", "handle", HANDLE, *words)

    def absent(self, inside: Namespace, before: Before) -> str:
        there = {one["dev"]: one["kind"] for one in ours(inside)}
        lacking = [name for name, words in _qdiscs(before).items() if there.get(name) != words[0]]
        return f"the queueing discipline on {', '.join(lacking)}" if lacking else ""

    def undo(self, inside: Namespace, before: Before) -> None:
        for one in ours(inside):
            if one["dev"] in _qdiscs(before):
                inside.tc("qdisc", "del", "dev", one["dev"], "root", "handle", HANDLE)

    def left(self, inside: Namespace, before: Before) -> str:
        there = [one["dev"] for one in ours(inside) if one["dev"] in _qdiscs(before)]
        return f"the queueing discipline on {', '.join(there)}" if there else ""

    def commands(self, before: Before) -> Sequence[str]:
        return [f"tc qdisc del dev {name} root handle {HANDLE}" for name in _qdiscs(before)]


class Rate(_Shaper):
    """At most so many bytes a second leave each interface (a token bucket)."""

    instead = "use `toxic: bandwidth` on its link"

    def words(self, fault: Fault, mtu: int) -> Sequence[str]:
        """The token bucket holds a few packets at least: one that is larger than the bucket never leaves."""
        bytes_per_s = int(fault.params["rate"]) * 1000
        burst = max(2 * mtu, bytes_per_s * BURST_NS // 1_000_000_000)
        return ("tbf", "rate", f"{bytes_per_s}bps", "burst", f"{burst}b", "latency", f"{LONGEST_WAIT_MS}ms")

    def met(self, inside: Namespace, now: Container, before: Before) -> Felt:  # noqa: ARG002 - the contract's shape
        """Held back: a ceiling that was never met did nothing."""
        waited, dropped = _sum(inside, "overlimits"), _sum(inside, "drops")
        words = f"{now.name} was held back {waited} times, {dropped} packets were dropped"
        proof = words if waited or dropped else f"{now.name} never sent more than its rate"
        return Felt(felt=bool(waited or dropped), proof=f"{proof} (counted by the kernel)")

    def marks(self, now: Container) -> tuple[str, ...]:
        """Of delay too: one kind looks for all."""
        return self.marked_in(now)


class Delay(_Shaper):
    """Every packet leaves so much later (netem)."""

    instead = "use `toxic: latency` on its link"

    def words(self, fault: Fault, mtu: int) -> Sequence[str]:  # noqa: ARG002 - the contract's shape
        """Jitter is drawn for each packet, which may so overtake another."""
        delay = ("netem", "limit", str(MOST_DELAYED), "delay", f"{int(fault.params['delay'])}ms")
        jitter = int(fault.params.get("jitter", 0))
        return (*delay, f"{jitter}ms") if jitter else delay

    def met(self, inside: Namespace, now: Container, before: Before) -> Felt:  # noqa: ARG002 - the contract's shape
        """Packets passed it."""
        packets = _sum(inside, "packets")
        proof = f"{packets} packets of {now.name} were delayed" if packets else f"{now.name} sent no packet"
        return Felt(felt=packets > 0, proof=f"{proof} (counted by the kernel)")


def roots(inside: Namespace) -> list[dict[str, Any]]:
    """The disciplines at the root of each interface but loopback."""
    found = json.loads(inside.qdiscs())
    return [one for one in found if one.get("root") and one["dev"] != _LOOPBACK]


def ours(inside: Namespace) -> list[dict[str, Any]]:
    """Those that carry our mark."""
    return [one for one in roots(inside) if one["handle"] == HANDLE]


def _told(one: Mapping[str, Any]) -> str:
    return f"queueing discipline {one['kind']} {one['handle']} on {one['dev']}"


def _sum(inside: Namespace, counter: str) -> int:
    return sum(int(one.get(counter, 0)) for one in ours(inside))


def _qdiscs(before: Before) -> Mapping[str, Sequence[str]]:
    return cast(Mapping[str, Sequence[str]], before["qdiscs"])
