"""Callers of a gRPC service: each keeps one channel, with a connection of its own, and makes unary calls on it.

It calls the standard health service (grpc.health.v1), which most servers have: put your own stub in its place.
Run alone: locust -f scenarios/grpc_unary.py --headless -H grpc://127.0.0.1:50051 -u 100 -r 10 -t 30s
PACING_S (10) is the time from one request of a user to the next. A server to try it on: python -m fixtures.health
Needs grpcio: pip install 'chaos-load-harness[protocols]'
"""

import os
from urllib.parse import urlsplit

import grpc
from grpc.experimental.gevent import init_gevent
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from locust import User, constant_pacing, task

PACING_S = float(os.environ.get("PACING_S", "10"))
TIMEOUT_S = 10.0
# Channels share a connection unless told not to; reconnecting after a second keeps a server that is back in use.
OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
)

init_gevent()  # without it, one user's call stops all others


class Caller(User):
    """The channel connects by itself, at the first call and after each loss."""

    host = "grpc://127.0.0.1:50051"
    wait_time = constant_pacing(PACING_S)

    def on_start(self) -> None:
        """A channel and a stub each."""
        self.channel = grpc.insecure_channel(urlsplit(self.host).netloc, options=OPTIONS)
        self.health = HealthStub(self.channel)

    def on_stop(self) -> None:
        """Leave the server."""
        self.channel.close()

    @task
    def check(self) -> None:
        """One call, always with a deadline: a call that is given up ends by its own."""
        with self.environment.events.request.measure("GRPC", "Health/Check"):
            answer = self.health.Check(HealthCheckRequest(service=""), timeout=TIMEOUT_S)
            if answer.status != HealthCheckResponse.SERVING:
                raise AssertionError(f"status {answer.status}")
