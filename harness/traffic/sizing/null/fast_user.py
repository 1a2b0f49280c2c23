"""FastUser against the null target."""

from locust import task

from harness.traffic import FastUser


class Null(FastUser):
    """The least that a user can do."""

    @task
    def get(self) -> None:
        """One request."""
        self.client.get("/")
