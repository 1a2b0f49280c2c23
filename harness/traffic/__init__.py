"""The traffic seam: something that sends load along straight lines of users or of arrivals and tells what happened.

A driver reports by putting journal events into the inbox it is given (`Traffic`, `Generator`, `Exemplar`,
`WorkerLost`, `Trouble`, and at the end `TrafficEnded`), stamped on the run clock. Every request that it sends is
counted as finished or as lost: started = finished + lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from harness.clock import Outbox
from harness.experiment import LoadUnit
from harness.journal import Event, TrafficEnded

if TYPE_CHECKING:
    from harness.traffic.fast.user import FastUser as FastUser


def __getattr__(name: str) -> Any:
    """FastUser, for scenarios. Imported when asked for only: it brings Locust and gevent along."""
    if name == "FastUser":
        from harness.traffic.fast.user import FastUser

        return FastUser
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A straight line: `level_from` at `at_ns` on the run clock, `level_to` at `at_ns + ramp_ns` and from then on.

    The level is a whole number of users (closed model), or arrivals a second (`unit` rate, open model).
    """

    at_ns: int
    level_from: float
    level_to: float
    ramp_ns: int
    unit: LoadUnit = "users"


class TrafficDriver(Protocol):
    """Who sends the load. Calls come from one thread at a time, each under a time limit."""

    def start(self, inbox: Outbox[Event], address: str) -> None:
        """Be ready to send to `address` (a base URL). Raises BadInput for the scenario, else EnvironmentBroke."""

    def set_load(self, load: Load) -> None:
        """Follow this line from now on; replaces the one before."""

    def stop(self, drain_ns: int) -> None:
        """No new requests; wait up to `drain_ns` for answers, count the rest lost, put TrafficEnded. Twice is fine."""


class NoTraffic:
    """The smallest driver that keeps the contract: it sends nothing and says so."""

    def __init__(self) -> None:
        self._inbox: Outbox[Event] | None = None

    def start(self, inbox: Outbox[Event], address: str) -> None:  # noqa: ARG002 - the contract's shape
        """Remember where to report."""
        self._inbox = inbox

    def set_load(self, load: Load) -> None:
        """Nothing to follow."""

    def stop(self, drain_ns: int) -> None:  # noqa: ARG002 - the contract's shape
        """Report the end, once."""
        if self._inbox is not None:
            self._inbox.put(TrafficEnded(at_ns=0, unanswered=0))
            self._inbox = None
