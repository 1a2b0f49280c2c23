"""Start a Toxiproxy server that ends with us: the embedded one, or the `toxiproxy-server` of this machine.

Both run in a session of their own, so that a Ctrl-C in the terminal reaches the harness and not the server that it
needs for healing; and both end when our end of their standard input closes, so none is left behind by a crash.
"""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from typing import IO, Literal

import psutil

from harness.clients.poll import poll
from harness.clients.process import started_at
from harness.clients.toxiproxy import Toxiproxy
from harness.clients.toxiproxy_model import ToxiproxyError
from harness.clients.toxiproxy_process import Serving
from harness.errors import EnvironmentBroke
from harness.units import NS_PER_S

START_S = 10.0
STOP_S = 5.0
PORTS = 3
"""Free ports that are tried in turn: between our look and the server's start somebody else may take one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerProcess:
    """A running server. `pid` is the server's own, `started` its start; `address` is its control API as `host:port`."""

    address: str
    pid: int
    started: float
    kind: Literal["embedded", "server"]
    version: str
    process: subprocess.Popen[str] = field(repr=False)

    @property
    def serving(self) -> Serving:
        """Its identity, for whoever must heal what was done through it."""
        return Serving(pid=self.pid, started=self.started)

    def running(self) -> bool:
        """Whether it is still there."""
        return self.process.poll() is None

    def stop(self, timeout_s: float = STOP_S) -> None:
        """End it: close its standard input, wait, kill. Stopping twice is fine."""
        _end(self.process, timeout_s)


def start_embedded(seed: int | None = None, timeout_s: float = START_S) -> ServerProcess:
    """Start the embedded server on a free port of 127.0.0.1. Raises EnvironmentBroke with what it said."""
    command = [sys.executable, "-m", "harness.proxy", "--port", "0", "--exit-on-eof"]
    if seed is not None:
        command += ["--seed", str(seed)]
    with tempfile.TemporaryFile("w+") as log:
        process = _start(command, log)
        try:
            ready = json.loads(_first_line(process, timeout_s))
            address = f"{ready['host']}:{ready['port']}"
            version = Toxiproxy(address, timeout_s=timeout_s).version()
            pid = int(ready["pid"])
        except (ValueError, KeyError, ToxiproxyError) as error:
            _end(process, STOP_S)
            raise _not_started("the embedded proxy", log, timeout_s) from error
    return ServerProcess(
        address=address, pid=pid, started=started_at(pid) or 0.0, kind="embedded", version=version, process=process
    )


def start_server(binary: str = "toxiproxy-server", timeout_s: float = START_S) -> ServerProcess:
    """Start the Go server on a free port of 127.0.0.1, with metrics. Raises EnvironmentBroke with what it said."""
    with tempfile.TemporaryFile("w+") as log:
        for _ in range(PORTS):
            port = _free_port()
            options = ["-host", "127.0.0.1", "-port", str(port), "-proxy-metrics"]
            process = _start([sys.executable, "-m", "harness.clients.guard", binary, *options], log)
            try:
                pid = int(_first_line(process, timeout_s / PORTS))
                if _gets_port(process, pid, port, timeout_s / PORTS):
                    address = f"127.0.0.1:{port}"
                    version = Toxiproxy(address).version()
                    return ServerProcess(
                        address=address,
                        pid=pid,
                        started=started_at(pid) or 0.0,
                        kind="server",
                        version=version,
                        process=process,
                    )
            except (ValueError, ToxiproxyError) as error:
                _end(process, STOP_S)
                raise _not_started(binary, log, timeout_s) from error
            _end(process, STOP_S)  # somebody else took the port between our look and its start
        raise _not_started(binary, log, timeout_s)


def _start(command: list[str], log: IO[str]) -> subprocess.Popen[str]:
    """A child with a pipe to watch, a pipe to tell, and its words in `log`."""
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        env={**os.environ, "LOG_LEVEL": "error"},  # the Go server logs each connection otherwise
        start_new_session=True,
    )


def _first_line(process: subprocess.Popen[str], timeout_s: float) -> str:
    """The first line that it prints; empty when it ended or the time is up."""
    assert process.stdout is not None  # noqa: S101 - a pipe, see `_start`
    ready, _, _ = select.select([process.stdout], [], [], max(timeout_s, 0))
    return process.stdout.readline() if ready else ""


def _gets_port(process: subprocess.Popen[str], pid: int, port: int, within_s: float) -> bool:
    """Wait until the server has the port. It does not end when somebody else was faster, so look whose it is."""

    def settled() -> bool:
        return process.poll() is not None or _has_port(pid, port)

    return poll(settled, round(within_s * NS_PER_S)) and process.poll() is None


def _has_port(pid: int, port: int) -> bool:
    """Whether a process listens on a port."""
    try:
        sockets = psutil.Process(pid).net_connections("tcp")
    except psutil.Error:
        return False
    return any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in sockets)


def _free_port() -> int:
    """A port that is free at this moment; who takes it next is looked at afterwards."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _end(process: subprocess.Popen[str], timeout_s: float) -> None:
    """Close its standard input, wait, kill what is left."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _not_started(what: str, log: IO[str], timeout_s: float) -> EnvironmentBroke:
    """The error for a server that did not come up, with its last words."""
    log.seek(0)
    words = log.read().strip()[-500:]
    return EnvironmentBroke(
        f"{what} did not start: {words or f'it said nothing for {timeout_s:g} s'}",
        hint="`harness doctor` shows which Toxiproxy servers can be used here",
    )
