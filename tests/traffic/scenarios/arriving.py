# ruff: noqa: D101, D102 - a scenario as people write it
"""One request to an arrival; its wait time is of no account in the open model."""

from locust import between, task

from harness.traffic import FastUser


class Visitor(FastUser):
    wait_time = between(5, 10)

    @task
    def visit(self):
        self.client.get("/visit")
