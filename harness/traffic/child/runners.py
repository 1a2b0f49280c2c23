"""Locust's master and worker runners without the parts that would act on their own: ramps in batches, rebalancing of a
dead worker's users, and the walk over all users for each report."""

from __future__ import annotations

import logging
import os
from typing import Any

from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from harness.traffic.children import SCENARIO_QUIT

_log = logging.getLogger(__name__)
LOOPBACK = "127.0.0.1"


class QuietMaster(MasterRunner):
    """A master that carries messages. Load and supervision are the harness's: it never starts or moves users."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment, LOOPBACK, 0)

    def start(self, *_: Any, **__: Any) -> None:
        """Ramps are set by the experiment; a scenario or Locust itself cannot start one."""
        _log.warning("runner.start() is ignored: the experiment's stages set the load")

    def start_shape(self) -> None:
        """Load shapes are ignored, as the harness says when it loads the scenario."""

    def heartbeat_worker(self) -> None:  # type: ignore[override] # Locust's never returns
        """The harness watches the workers: Locust would, after a minute, move a dead one's users to the others."""

    def quit(self) -> None:
        """A scenario that ends the run ends this process, and the harness says so."""
        _quit_by_scenario()


class SteadyWorker(WorkerRunner):
    """A worker whose users are started and stopped one by one, by the line. `counts` holds users by class name."""

    def __init__(self, environment: Environment, port: int) -> None:
        self.counts: dict[str, int] = {found.__name__: 0 for found in environment.user_classes}
        super().__init__(environment, LOOPBACK, port)

    @property
    def user_classes_count(self) -> dict[str, int]:
        """How many users of each class run here, kept as they come and go."""
        return self.counts

    def quit(self) -> None:
        """A scenario that ends the run ends this process, and the harness says so."""
        _quit_by_scenario()


def leave_quitting_to_us(events: Any) -> None:
    """Locust's own listeners would have the master quit with its last worker, and wait for reports we do not use."""
    for handler in list(events.quitting._handlers):
        if handler.__module__ == "locust.runners":
            events.quitting.remove_listener(handler)


def _quit_by_scenario() -> None:
    _log.error("the scenario called runner.quit()")
    os._exit(SCENARIO_QUIT)
