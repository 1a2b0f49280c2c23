"""Many users, each with a connection: PACING_S from one request to the next, or STAY_S after one (open model)."""

import json
import os
import time
from pathlib import Path

from locust import constant_pacing, events, task

from harness.traffic import FastUser

CAME = []
STAY_S = float(os.environ.get("STAY_S", "0"))


class Visitor(FastUser):
    """Asks for the same page; remembers when it came (CLOCK_MONOTONIC, ns)."""

    wait_time = constant_pacing(float(os.environ.get("PACING_S", "20")))

    def on_start(self) -> None:
        """Here I am."""
        CAME.append(time.monotonic_ns())

    @task
    def ask(self) -> None:
        """One request; in the open model the user then stays busy, and keeps its connection."""
        self.client.get("/")
        if STAY_S:
            time.sleep(STAY_S)


@events.test_stop.add_listener
def keep(environment: object, **_: object) -> None:
    """Write the instants out, each worker to a file of its own; a master has none."""
    if CAME and "CAME_IN" in os.environ:
        Path(os.environ["CAME_IN"], f"{os.getpid()}.json").write_text(json.dumps(CAME))
