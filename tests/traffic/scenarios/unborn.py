# ruff: noqa: D101, D102, ANN - a scenario as people write it
"""Users that fail before their first task."""

from locust import FastHttpUser, task


class Unborn(FastHttpUser):
    def on_start(self):
        raise ValueError("no such account")

    @task
    def never(self):
        self.client.get("/never-asked")
