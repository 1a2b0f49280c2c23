"""HttpUser against the null target."""

from locust import HttpUser, task


class Null(HttpUser):
    """The least that a user can do."""

    @task
    def get(self) -> None:
        """One request."""
        self.client.get("/")
