# ruff: noqa: D101, D102 - a scenario as people write it
"""Users who ask once a second."""

from locust import FastHttpUser, constant_throughput, task


class Steady(FastHttpUser):
    wait_time = constant_throughput(1)

    @task
    def ask(self):
        self.client.get("/ok")
