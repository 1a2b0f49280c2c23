# ruff: noqa: D101, D103, RUF012 - a scenario as people write it
"""Each way to fail, by both clients. The port of nobody is given by the test."""

import os

from locust import FastHttpUser, HttpUser, constant_pacing

NOBODY = os.environ.get("TEST_NOBODY_URL", "http://127.0.0.1:9")


def everything(user):
    for path in ("/status/503", "/status/404", "/reset"):
        user.client.post(path, name=f"{user.kind} {path}")
    user.client.get(f"{NOBODY}/", name=f"{user.kind} refused")
    user.client.get("/never", name=f"{user.kind} never")
    user.client.get("/drip", name=f"{user.kind} drip")


class Fast(FastHttpUser):
    kind = "fast"
    tasks = [everything]
    wait_time = constant_pacing(0.5)


class Plain(HttpUser):
    kind = "plain"
    tasks = [everything]
    wait_time = constant_pacing(0.5)
