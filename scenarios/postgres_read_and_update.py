"""Clerks with accounts: four reads to each update, by psycopg 3, one connection each, on the tables of pgbench.

Before: pgbench --initialize --host 127.0.0.1
Run alone: locust -f scenarios/postgres_read_and_update.py --headless -H postgresql://127.0.0.1:5432 -u 50 -r 10 -t 30s
PACING_S (10) is the time from one request of a user to the next. User, password and database come from PGUSER,
PGPASSWORD, PGDATABASE and libpq's other variables. Needs psycopg: pip install 'chaos-load-harness[protocols]'
"""

import os
import random
from typing import Any
from urllib.parse import urlsplit

import psycopg
from locust import User, constant_pacing, task

PACING_S = float(os.environ.get("PACING_S", "10"))
TIMEOUT_S = 10
ACCOUNTS = 100_000


class Clerk(User):
    """Its connection is made before its first query, and anew before the query after one that failed."""

    host = "postgresql://127.0.0.1:5432"
    wait_time = constant_pacing(PACING_S)
    connection: psycopg.Connection[Any] | None = None

    @task(4)
    def read(self) -> None:
        """What pgbench --select-only does."""
        self.query(
            "SELECT account", "SELECT abalance FROM pgbench_accounts WHERE aid = %s", random.randint(1, ACCOUNTS)
        )

    @task(1)
    def update(self) -> None:
        """One row, committed."""
        change = "UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = %s"
        self.query("UPDATE account", change, random.randint(1, ACCOUNTS))

    def on_stop(self) -> None:
        """Leave the server."""
        if self.connection is not None:
            self.connection.close()

    def query(self, name: str, text: str, *values: object) -> None:
        """One request, and one called CONNECT before it where there is no connection."""
        if self.connection is None and not self.connect():
            return
        with self.environment.events.request.measure("POSTGRES", name) as request:
            if self.connection.execute(text, values).rowcount != 1:
                raise AssertionError("not one row")
        if request["exception"]:  # a query that was given up may still be running in it
            self.connection.close()
            self.connection = None

    def connect(self) -> bool:
        """Whether there is a connection now."""
        server = urlsplit(self.host)
        with self.environment.events.request.measure("POSTGRES", "CONNECT"):
            self.connection = psycopg.connect(
                host=server.hostname, port=server.port or 5432, autocommit=True, connect_timeout=TIMEOUT_S
            )
        return self.connection is not None
