"""Users who ask once every PACING_S seconds; where RAMP_FILE is set, the instants at which they came go there."""

import json
import os
import time
from pathlib import Path

from locust import FastHttpUser, constant_pacing, events, task

CAME = []


class Visitor(FastHttpUser):
    """Asks the same page again and again."""

    wait_time = constant_pacing(float(os.environ.get("PACING_S", "5")))

    def on_start(self) -> None:
        """Remember when this user came (CLOCK_MONOTONIC, ns)."""
        CAME.append(time.monotonic_ns())

    @task
    def ask(self) -> None:
        """One request."""
        self.client.get("/")


@events.test_stop.add_listener
def keep(**_: object) -> None:
    """Write the instants out; a master has none."""
    if CAME and "RAMP_FILE" in os.environ:
        Path(os.environ["RAMP_FILE"]).write_text(json.dumps(CAME))
