"""A user that asks again and again; FastUser, or FastHttpUser where STOCK is set. THINK_S is slept in between."""

import os

from locust import FastHttpUser, constant, task

if os.environ.get("STOCK"):
    Base = FastHttpUser
else:
    from harness.traffic import FastUser as Base


class Visitor(Base):
    """Asks for the same page."""

    wait_time = constant(float(os.environ.get("THINK_S", "0")))

    @task
    def ask(self) -> None:
        """One request."""
        self.client.get("/")
