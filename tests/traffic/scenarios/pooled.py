# ruff: noqa: D101, D102, D106, ANN - a scenario as people write it
"""What an arrival may meet: a login, nested task sets, interrupts, a wait in the middle, errors, users that end."""

from locust import FastHttpUser, TaskSet, constant, constant_pacing, task
from locust.exception import RescheduleTask, StopUser


class Often(FastHttpUser):
    weight = 3
    wait_time = constant_pacing(10)

    def on_start(self):
        self.client.get("/login")

    def on_stop(self):
        self.client.get("/logout")

    @task
    def plain(self):
        self.client.get("/often")

    @task
    def rescheduled(self):
        self.client.get("/often")
        raise RescheduleTask

    @task
    class Nested(TaskSet):
        def on_start(self):
            self.user.entered = 0

        @task
        def inner(self):
            self.client.get("/often")
            self.user.entered += 1
            if self.user.entered == 2:
                self.interrupt()


class Seldom(FastHttpUser):
    weight = 1
    wait_time = constant(0.05)

    @task
    def last(self):
        self.client.get("/seldom")
        self.wait()
        self.client.get("/after")
        raise StopUser


class Keeper(FastHttpUser):
    fixed_count = 1

    @task
    def never(self):
        self.client.get("/keeper")
