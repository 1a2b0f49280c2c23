"""One request to an arrival."""

from locust import task

from harness.traffic import FastUser


class Visitor(FastUser):
    @task
    def visit(self) -> None:
        self.client.get("/")
