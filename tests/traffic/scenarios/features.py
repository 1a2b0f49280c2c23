# ruff: noqa: D101, D102, D103, RUF012 - a scenario as people write it
"""A locustfile as people write them: three kinds of users, listeners, an argument, a module beside it."""

import time

import wording
from locust import (
    FastHttpUser,
    HttpUser,
    SequentialTaskSet,
    User,
    between,
    constant,
    constant_pacing,
    events,
    tag,
    task,
)


@events.init_command_line_parser.add_listener
def add_argument(parser):
    parser.add_argument("--greeting", default="hello")


@events.init.add_listener
def on_init(environment, **_):
    print("INIT", type(environment.runner).__bases__[0].__name__, environment.parsed_options.greeting)


@events.test_start.add_listener
def on_test_start(environment, **_):
    print("TEST_START", environment.host)


@events.test_stop.add_listener
def on_test_stop(**_):
    print("TEST_STOP")


@events.spawning_complete.add_listener
def on_spawning_complete(user_count, **_):
    print("SPAWNED", user_count)


class Sequence(SequentialTaskSet):
    @task
    def first(self):
        self.client.get("/first")

    @task
    def second(self):
        self.client.get("/second", params={"q": "a b"})
        self.interrupt()


class Clicker(HttpUser):
    weight = 3
    wait_time = constant(0.1)
    tasks = [Sequence]

    def on_start(self):
        self.client.post("/login", json={"say": wording.WORD})

    def on_stop(self):
        self.client.get("/logout")


class Pacer(FastHttpUser):
    host = "http://192.0.2.1"  # overridden by the experiment's target
    weight = 1
    wait_time = constant_pacing(0.2)

    @task(3)
    def named(self):
        self.client.get(f"/items/{time.time_ns() % 7}", name="/items/[id]")

    @task
    def judged(self):
        with self.client.get("/judged", catch_response=True) as answer:
            answer.failure("not what we wanted")

    @task
    def raising(self):
        with self.client.get("/raising", catch_response=True):
            raise ValueError("the scenario's own mistake")

    @task
    def unjudged(self):
        self.client.get("/unjudged", catch_response=True)

    @tag("never")
    @task
    def excluded(self):
        self.client.get("/excluded")


class OwnProtocol(User):
    fixed_count = 2
    wait_time = between(0.1, 0.2)

    @task
    def measured(self):
        with self.environment.events.request.measure("OWN", "thing"):
            time.sleep(0.005)
