"""The stack seam: the services under test, started or only pointed at, and always taken down as found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

Announce = Callable[[Mapping[str, str]], None]


class StackDriver(Protocol):
    """Brings services up and says where they are. Calls come from one thread at a time, under a time limit."""

    def up(self, announce: Announce) -> None:
        """Start everything, then wait until every service is ready.

        `announce` is called once, as soon as the addresses (service -> host:port or URL) are known and before
        readiness is awaited, so that proxies stand before those who need them. Up twice is fine. On failure the last
        lines of each service's log are in the error, and all that was started is taken down. Raises EnvironmentBroke.
        """

    def down(self) -> None:
        """Take down what `up` started; what ran before stays. Down twice, or after a failed up, is fine."""

    def address(self, service: str) -> str:
        """host:port or URL of a service. Raises KeyError for an unknown one."""

    def handle(self, service: str) -> int | str | None:
        """What faults and probes act on: a pid (process stack), a container id (compose), or None (external)."""


@runtime_checkable
class CollectsLogs(Protocol):
    """A stack that can hand over its services' logs."""

    def collect_logs(self, to: Path) -> None:
        """Write `<service>.log` files into the folder `to`."""


class NoStack:
    """The smallest stack that keeps the contract: given addresses, nothing started."""

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self._addresses = dict(addresses)

    def up(self, announce: Announce) -> None:
        """Announce what was given."""
        announce(self._addresses)

    def down(self) -> None:
        """Nothing was started."""

    def address(self, service: str) -> str:
        """The given address."""
        return self._addresses[service]

    def handle(self, service: str) -> int | str | None:  # noqa: ARG002 - the contract's shape
        """Nothing of ours runs."""
        return None
