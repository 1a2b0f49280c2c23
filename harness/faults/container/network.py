"""Disconnect: a container is taken off its network(s).

Where its port is published, a new connection is refused and a held one ends; from another container its name and
address are gone. Undone by joining again with the same aliases, links, and addresses that were asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from shlex import quote
from typing import cast

from harness.clients.docker import Document
from harness.errors import BadInput, EnvironmentBroke
from harness.experiment import Fault
from harness.faults import Before, Felt
from harness.faults.container.facts import Container
from harness.faults.container.hands import Hands
from harness.faults.container.state import refuse_lost_ports
from harness.journal import Json

Endpoints = Mapping[str, Document]


class Disconnect:
    """Off the network named in `network`, or off all."""

    def __init__(self, hands: Hands) -> None:
        self._hands = hands

    def check(self, now: Container, fault: Fault) -> None:
        """Refuse a container that has no network of its own, or not the one named."""
        refuse_lost_ports(now, fault)
        wanted = str(fault.params.get("network", ""))
        borrowed = now.network_mode in {"host", "none"} or now.network_mode.startswith("container:")
        if borrowed or not now.networks:
            raise BadInput(
                f"fault {fault.name}: container {now.name} has no network of its own (network mode {now.network_mode})",
                hint="use a toxic on its link instead",
            )
        if wanted and not _matching(now, wanted):
            raise BadInput(
                f"fault {fault.name}: container {now.name} is not on a network {wanted!r}",
                hint=f"it is on: {', '.join(now.networks)}",
            )

    def before(self, now: Container, fault: Fault) -> Mapping[str, Json]:
        """Each network that it will be taken off, with what joining again must give back."""
        wanted = str(fault.params.get("network", ""))
        return {"networks": {name: dict(now.networks[name]) for name in _matching(now, wanted)}}

    def inject(self, now: Container, fault: Fault, before: Before) -> None:  # noqa: ARG002 - the contract's shape
        """Leave each."""
        for name, endpoint in _endpoints(before).items():
            self._leave(now, name, str(endpoint["NetworkID"]))

    def heal(self, now: Container, fault: Fault, before: Before) -> None:  # noqa: ARG002 - the contract's shape
        """Join each that is missing. Tries all, then says which failed."""
        errors = []
        for name, endpoint in _endpoints(before).items():
            if name not in now.networks:
                try:
                    self._join(now, name, endpoint)
                except EnvironmentBroke as error:
                    errors.append(error)
        if errors:
            raise EnvironmentBroke("; ".join(map(str, errors)), hint="; ".join(error.hint for error in errors))

    def felt(self, now: Container, fault: Fault, before: Before) -> Felt:  # noqa: ARG002
        """On none of them."""
        there = [name for name in _endpoints(before) if name in now.networks]
        if there:
            return Felt(felt=False, proof=f"{now.name} is on network {', '.join(there)}")
        return Felt(felt=True, proof=f"{now.name} is off network {', '.join(_endpoints(before))} (read from Docker)")

    def unlike(self, now: Container, fault: Fault, before: Before) -> tuple[str, ...]:
        """A network that is missing, or one where it is not known by all its names."""
        lines = []
        for name, endpoint in _endpoints(before).items():
            command = _command(now.name, name, endpoint)
            if name not in now.networks:
                lines.append(f"container {now.name} is not on network {name} since {fault.name} ({command})")
                continue
            lost = [one for one in endpoint.get("Aliases", ()) if one not in _aliases(now, name)]
            if lost:
                lines.append(f"container {now.name} lacks {', '.join(lost)} on network {name} ({command})")
        return tuple(lines)

    def by_hand(self, fault: Fault, before: Before) -> str:  # noqa: ARG002
        """A command for each network."""
        return "; ".join(_command(str(before["id"]), name, one) for name, one in _endpoints(before).items())

    def _leave(self, now: Container, name: str, network: str) -> None:
        self._hands.do(
            lambda: self._hands.docker.disconnect(now.id, network),
            now.id,
            lambda c: name not in c.networks,
            failed=f"container {now.name} is still on network {name}",
            hint=f"docker network disconnect {name} {now.name}",
        )

    def _join(self, now: Container, name: str, endpoint: Document) -> None:
        settings = {key: value for key, value in endpoint.items() if key != "NetworkID"}
        self._hands.do(
            lambda: self._hands.docker.connect(now.id, endpoint["NetworkID"], settings),
            now.id,
            lambda c: name in c.networks,
            failed=f"container {now.name} is not on network {name} again",
            hint=_command(now.name, name, endpoint),
        )


def _command(container: str, network: str, endpoint: Document) -> str:
    """How a person joins the network again, in the words of the docker command."""
    asked = endpoint.get("IPAMConfig", {})
    options = [
        *(("--alias", alias) for alias in endpoint.get("Aliases", ())),
        *(("--link", link) for link in endpoint.get("Links", ())),
        *(("--ip", asked[key]) for key in ("IPv4Address",) if key in asked),
        *(("--ip6", asked[key]) for key in ("IPv6Address",) if key in asked),
        *(("--driver-opt", f"{key}={value}") for key, value in endpoint.get("DriverOpts", {}).items()),
    ]
    words = [word for option in options for word in option]
    return " ".join(["docker network connect", *map(quote, [*words, network, container])])


def _aliases(now: Container, network: str) -> list[Json]:
    return cast("list[Json]", now.networks[network].get("Aliases") or [])


def _matching(now: Container, wanted: str) -> tuple[str, ...]:
    """The networks meant: all, or the one of that name; Compose puts its project's name in front (shop_back)."""
    return tuple(name for name in now.networks if not wanted or name == wanted or name.endswith(f"_{wanted}"))


def _endpoints(before: Before) -> Endpoints:
    return cast(Endpoints, before["networks"])
