# ruff: noqa: D101, D102 - a scenario as people write it
"""One class needs a user for half a second for each of its arrivals, the other hardly any."""

import gevent
from locust import task

from harness.traffic import FastUser


class Quick(FastUser):
    weight = 3

    @task
    def visit(self):
        self.client.get("/quick")


class Long(FastUser):
    weight = 1

    @task
    def visit(self):
        self.client.get("/long")
        gevent.sleep(0.5)
