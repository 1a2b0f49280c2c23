"""Which process serves a Toxiproxy of ours: pid *and* start time, so that nobody else's is ever taken for it."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass

from harness.clients.poll import poll
from harness.clients.process import started_at

KILL_NS = 2_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """A server process that we started. `started` is as `clients.process.started_at` tells it."""

    pid: int
    started: float

    def gone(self) -> bool:
        """Whether it has ended, and with it every proxy and toxic that it had."""
        return started_at(self.pid) != self.started

    def kill(self) -> bool:
        """End it at once, hung or not; whether it is gone."""
        if not self.gone():
            with suppress(ProcessLookupError, PermissionError):
                os.kill(self.pid, signal.SIGKILL)
        return poll(self.gone, KILL_NS)
