"""Real servers of other protocols to shoot at, each a process of its own on a free port, which counts its calls."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from harness.clients.poll import poll

ROOT = Path(__file__).parents[2]
S = 1_000_000_000
DEBIAN = [str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
OWNER = "postgres" if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root


def program(name: str) -> str:
    """The path of a server's program; Debian keeps PostgreSQL's off PATH."""
    path = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *DEBIAN]))
    assert path is not None, name
    return path


def free_port() -> int:
    """A port that nobody has, below those that the kernel gives to clients: it is still free after a stop."""
    for port in random.sample(range(20_000, 32_000), 50):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("no free port among 50")


def listens(port: int) -> bool:
    """Whether somebody accepts there."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


class Server:
    """A process that listens on 127.0.0.1:port, and can be stopped and started again there."""

    scenario: ClassVar[str]
    env: ClassVar[Mapping[str, str]] = {}
    owner: ClassVar[str | None] = None
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[str] | None = None

    def command(self) -> list[str]:
        """What to run."""
        raise NotImplementedError

    def counts(self) -> Counter[str]:
        """How often it was asked, by the endpoint of the scenario. May stop a server which tells only at its end."""
        raise NotImplementedError

    def start(self) -> None:
        """Return when it accepts."""
        with (self.folder / "log").open("a") as log:
            self._process = process = subprocess.Popen(
                self.command(), stdout=log, stderr=log, text=True, cwd=ROOT,
                user=self.owner, group=self.owner, extra_groups=[] if self.owner else None,
            )  # fmt: skip
        assert poll(lambda: process.poll() is not None or listens(self.port), 20 * S)
        assert process.poll() is None, self.said()

    def stop(self) -> None:
        """End it with every connection. Twice is fine."""
        if self._process is not None:
            self._process.send_signal(self.stop_signal)
            self._process.wait(20)
            self._process = None

    def close(self) -> None:
        """Stop, and leave nothing."""
        self.stop()

    def said(self) -> str:
        """All that it ever printed."""
        return (self.folder / "log").read_text()


class Postgres(Server):
    """A cluster with the table of pgbench, without fsync, whose pg_stat_statements counts from zero."""

    scenario = "postgres_read_and_update.py"
    env: ClassVar[Mapping[str, str]] = {"PGUSER": "postgres"}
    owner = OWNER
    stop_signal = signal.SIGINT  # a fast shutdown: sessions are ended

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._data = tempfile.mkdtemp(prefix="harness-postgres-")  # pytest's folders are closed to other users
        if OWNER:
            shutil.chown(self._data, OWNER)
        words = [program("initdb"), "-D", self._data, "-U", "postgres", "--auth=trust", "--no-sync"]
        owned = {"user": OWNER, "group": OWNER, "extra_groups": []} if OWNER else {}
        subprocess.run(words, check=True, capture_output=True, timeout=60, cwd="/", **owned)  # type: ignore[call-overload]

    def command(self) -> list[str]:
        """All settings that differ from initdb's."""
        settings = {"port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off"}
        settings |= {"log_connections": "on", "shared_preload_libraries": "pg_stat_statements"}
        words = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        return [program("postgres"), "-D", self._data, *words]

    def start(self) -> None:
        """Return when it answers; the first time, with the table made."""
        super().start()
        assert poll(lambda: self._psql("SELECT 1").returncode == 0, 20 * S)
        self.sql(
            "CREATE EXTENSION IF NOT EXISTS pg_stat_statements;"
            "CREATE TABLE IF NOT EXISTS pgbench_accounts (aid int PRIMARY KEY, abalance int);"
            "INSERT INTO pgbench_accounts SELECT i, 0 FROM generate_series(1, 100000) i ON CONFLICT DO NOTHING"
        )

    def close(self) -> None:
        """Stop, and leave nothing."""
        super().close()
        shutil.rmtree(self._data)

    def sql(self, text: str) -> str:
        """The answer, tab-separated."""
        done = self._psql(text)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def counts(self) -> Counter[str]:
        """Statements from pg_stat_statements, connections from the log."""
        of_ours = "FROM pg_stat_statements WHERE query LIKE '%aid = $%' GROUP BY 1"
        rows = [line.split("\t") for line in self.sql(f"SELECT left(query, 6), sum(calls) {of_ours}").splitlines()]
        counts = Counter({f"POSTGRES {verb} account": int(calls) for verb, calls in rows})
        authorized = [line for line in self.said().splitlines() if "connection authorized" in line]
        return counts + Counter({"POSTGRES CONNECT": sum("=psql" not in line for line in authorized)})

    def _psql(self, text: str) -> subprocess.CompletedProcess[str]:
        place = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres"]
        words = [program("psql"), *place, "-XAtF", "\t", "-c", text]
        return subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)


class Redis(Server):
    """Redis without persistence; INFO commandstats counts."""

    scenario = "redis_get_and_set.py"

    def command(self) -> list[str]:
        """Nothing is written but into the folder."""
        return [program("redis-server"), "--port", str(self.port), "--save", "", "--dir", str(self.folder)]

    def counts(self) -> Counter[str]:
        """Calls of the two commands."""
        words = [program("redis-cli"), "-p", str(self.port), "INFO", "commandstats"]
        said = subprocess.run(words, capture_output=True, text=True, timeout=20, check=True).stdout
        calls = dict(line.removeprefix("cmdstat_").split(":calls=") for line in said.splitlines() if ":calls=" in line)
        return Counter({f"REDIS {verb.upper()} item": int(calls[verb].split(",")[0]) for verb in ("get", "set")})


class Fixture(Server):
    """A server of fixtures/, which tells its counts as JSON when it ends."""

    module: ClassVar[str]
    names: ClassVar[Mapping[str, str]]
    delay_s = 0.0

    def command(self) -> list[str]:
        """Every answer comes after `delay_s`."""
        return [sys.executable, "-m", self.module, "--port", str(self.port), "--delay", str(self.delay_s)]

    def counts(self) -> Counter[str]:
        """What all its lives saw."""
        self.stop()
        counted = [json.loads(line) for line in self.said().splitlines() if line.startswith("{")]
        return Counter({name: sum(life[key] for life in counted) for key, name in self.names.items()})


class Echo(Fixture):
    """The `websockets` package's server."""

    scenario = "websocket_echo.py"
    module = "fixtures.echo"
    names: ClassVar[Mapping[str, str]] = {"connections": "WS CONNECT", "messages": "WS echo"}


class Health(Fixture):
    """grpcio's server."""

    scenario = "grpc_unary.py"
    module = "fixtures.health"
    names: ClassVar[Mapping[str, str]] = {"calls": "GRPC Health/Check"}
