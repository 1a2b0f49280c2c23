# ruff: noqa: D101, D102, D103
"""FastUser in all the ways in which a request may end; TEST_LISTEN adds a listener, as scenarios have."""

import os

from locust import constant, events, task

from harness.traffic import FastUser

NOBODY = os.environ["TEST_NOBODY_URL"]
HEARD = []

if os.environ.get("TEST_LISTEN"):

    @events.request.add_listener
    def hear(request_type, name, response_time, response_length, exception, context, response, start_time, url, **_):
        HEARD.append(f"{request_type} {name}")

    @events.quitting.add_listener
    def tell(**_):
        print("HEARD", len(HEARD))


class Clicker(FastUser):
    timeout = 30.0
    wait_time = constant(0.02)

    def on_start(self):
        self.client.post("/login", json={"a": 1})

    def on_stop(self):
        self.client.get("/logout")

    @task
    def named(self):
        self.client.get("/items/1", name="/items/[id]")

    @task
    def judged(self):
        with self.client.get("/judged", catch_response=True) as answer:
            answer.failure("not what we wanted")

    @task
    def forgiven(self):
        with self.client.get("/status/404", name="forgiven", catch_response=True) as answer:
            answer.success()

    @task
    def renamed(self):
        with self.client.get("/renamed/7", catch_response=True) as answer:
            answer.request_meta["name"] = "/renamed/[id]"

    @task
    def raising(self):
        with self.client.get("/raising", catch_response=True):
            raise ValueError("the scenario's own mistake")

    @task
    def unjudged(self):
        self.client.get("/unjudged", catch_response=True)


class Unlucky(FastUser):
    fixed_count = 1
    wait_time = constant(0.01)

    @task
    def meet_everything(self):
        for path in ("/status/503", "/status/404", "/reset"):
            self.client.get(path, name=f"unlucky {path}", timeout=30)
        self.client.get(NOBODY, name="unlucky refused", timeout=30)
        for path in ("/never", "/drip"):  # the experiment's limit
            self.client.get(path, name=f"unlucky {path}")


class Stuck(FastUser):
    fixed_count = 1
    timeout = 60.0

    @task
    def wait_for_ever(self):
        self.client.get("/never", name="stuck")
