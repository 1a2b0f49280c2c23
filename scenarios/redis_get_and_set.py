"""Users of a cache: four reads to each write, by redis-py, one connection each.

Run alone: locust -f scenarios/redis_get_and_set.py --headless -H redis://127.0.0.1:6379 -u 100 -r 10 -t 30s
PACING_S (10) is the time from one request of a user to the next; REDISCLI_AUTH the password, as for redis-cli.
Needs redis-py: pip install 'chaos-load-harness[protocols]'
"""

import os
import random
from urllib.parse import urlsplit

import redis
from locust import User, constant_pacing, task
from redis.backoff import NoBackoff
from redis.retry import Retry

PACING_S = float(os.environ.get("PACING_S", "10"))
TIMEOUT_S = 10.0
KEYS = 1000


class CacheUser(User):
    """Its connection is made by its first command, and anew by the command after one that failed."""

    host = "redis://127.0.0.1:6379"
    wait_time = constant_pacing(PACING_S)

    def on_start(self) -> None:
        """One client each. Its retries are off: a request that went wrong is a failure, not two slow ones."""
        server = urlsplit(self.host)
        self.client = redis.Redis(
            host=server.hostname,
            port=server.port or 6379,
            password=os.environ.get("REDISCLI_AUTH"),
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
        )
        self.measure = self.environment.events.request.measure

    def on_stop(self) -> None:
        """Leave the server."""
        self.client.close()

    @task(4)
    def get(self) -> None:
        """Read a key, there or not."""
        with self.measure("REDIS", "GET item"):
            self.client.get(f"item:{random.randrange(KEYS)}")

    @task(1)
    def set(self) -> None:
        """Write a key that lives for a minute."""
        with self.measure("REDIS", "SET item"):
            self.client.set(f"item:{random.randrange(KEYS)}", "x" * 100, ex=60)
