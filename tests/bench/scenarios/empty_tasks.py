"""A worker's pool, or its crowd, without processes and sockets: CPU time (us) of an iteration with an empty task.

Run by bench_arrivals: `python -m tests.bench.scenarios.empty_tasks poisson|uniform|closed COUNT`.
"""

from __future__ import annotations

import sys
import time
from types import SimpleNamespace
from typing import Any

import gevent
from gevent.pool import Group
from locust import User, task
from locust.env import Environment

from harness.traffic import Load
from harness.traffic.child.arrivals import Pool
from harness.traffic.child.crowd import Crowd
from harness.traffic.child.hooks import install_pacing
from harness.traffic.child.users import Users
from harness.traffic.pacing import Ledger
from harness.traffic.settings import ChildSettings

S = 1_000_000_000
RATE = 10_000.0
ORIGIN_NS = time.monotonic_ns()
done = [0]


class Empty(User):
    @task
    def nothing(self) -> None:
        done[0] += 1


def now() -> int:
    return time.monotonic_ns() - ORIGIN_NS


def main(model: Any, count: int) -> float:
    ledger = Ledger()
    install_pacing(ledger, now, lambda _: None)
    environment = Environment(user_classes=[Empty])
    runner: Any = SimpleNamespace(environment=environment, user_greenlets=Group(), counts={"Empty": 0})
    books: Any = SimpleNamespace(leave_iteration=lambda _: None)
    users = Users(runner, ledger, books, now)
    if model == "closed":
        crowd = Crowd(ChildSettings(role="worker", scenario=""), users, now)
        gevent.spawn(crowd.follow)
        crowd.set_load(Load(at_ns=now(), level_from=0, level_to=10, ramp_ns=0))
    else:
        settings = ChildSettings(role="worker", scenario="", origin_ns=ORIGIN_NS, max_users=100, arrivals=model)
        pool = Pool(settings, users, ledger, now)
        gevent.spawn(pool.follow)
        pool.set_load(Load(at_ns=now(), level_from=RATE / 100, level_to=RATE / 100, ramp_ns=0, unit="rate"))
    gevent.sleep(0.3)
    before, spent = done[0], time.process_time()
    if model != "closed":  # a line in the past: all are due at once
        pool.set_load(Load(at_ns=now() - int(count / RATE * S), level_from=RATE, level_to=RATE, ramp_ns=0, unit="rate"))
        pool.set_load(Load(at_ns=now(), level_from=0, level_to=0, ramp_ns=0, unit="rate"))
    while done[0] - before < count * 0.95:
        gevent.sleep(0.005)
    return (time.process_time() - spent) / (done[0] - before) * 1e6


if __name__ == "__main__":
    print(main(sys.argv[1], int(sys.argv[2])))
