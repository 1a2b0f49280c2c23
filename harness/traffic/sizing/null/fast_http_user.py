"""FastHttpUser against the null target."""

from locust import FastHttpUser, task


class Null(FastHttpUser):
    """The least that a user can do."""

    @task
    def get(self) -> None:
        """One request."""
        self.client.get("/")
