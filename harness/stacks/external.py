"""A stack that runs already: only looked at, never started or stopped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.clients import tcp
from harness.clients.poll import poll
from harness.clock import Clock, SystemClock
from harness.errors import EnvironmentBroke
from harness.experiment import ExternalStack
from harness.stacks import Announce
from harness.stacks.addresses import host_port

WITHIN_NS = 10_000_000_000
ASK_TIMEOUT_S = 2.0


class ExternalDriver:
    """Addresses as given; `up` only sees that somebody listens at each."""

    def __init__(
        self,
        spec: ExternalStack,
        *,
        links: Mapping[str, str],  # noqa: ARG002 - one shape for all stacks
        base_dir: Path,  # noqa: ARG002
        log_dir: Path,  # noqa: ARG002
        run: str,  # noqa: ARG002
        clock: Clock | None = None,
    ) -> None:
        self._addresses = dict(spec.addresses)
        self._clock = clock or SystemClock()

    def up(self, announce: Announce) -> None:
        """Announce, then connect to each address. Raises EnvironmentBroke: the target is dead from the start."""
        announce(self._addresses)
        for service, address in self._addresses.items():
            host, port = host_port(address)
            if why := self._refused(host, port):
                raise EnvironmentBroke(
                    f"target dead from the start: {service} at {host}:{port}: {why}",
                    hint="start it, or correct the address under `stack: external:`",
                )

    def down(self) -> None:
        """What ran before stays."""

    def address(self, service: str) -> str:
        """The given address."""
        return self._addresses[service]

    def handle(self, service: str) -> int | str | None:  # noqa: ARG002 - the contract's shape
        """Nothing here is ours to act on."""
        return None

    def _refused(self, host: str, port: int) -> str:
        why = ""

        def connects() -> bool:
            nonlocal why
            why = tcp.refusal(host, port, timeout_s=ASK_TIMEOUT_S)
            return not why

        return "" if poll(connects, WITHIN_NS, clock=self._clock) else why
