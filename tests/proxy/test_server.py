"""The embedded server as a process: how it starts and ends, what it refuses, and where it does better than Go."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest
import requests

from harness.clients.toxiproxy import Toxiproxy
from harness.clients.toxiproxy_server import ServerProcess, start_embedded
from tests.proxy.upstream import WAIT_S, Upstream, connect, exchange, rest_or_reset

NAME = "harness-proxy-test"


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    """One server for the module."""
    running = start_embedded(seed=7)
    yield running
    running.stop()


@pytest.fixture
def client(server: ServerProcess) -> Iterator[Toxiproxy]:
    """Its client; the proxy of the test is removed afterwards."""
    made = Toxiproxy(server.address)
    yield made
    made.delete_proxy(NAME)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """What stands behind the proxy."""
    with Upstream() as running:
        yield running


def _gone(pid: int) -> bool:
    deadline = time.monotonic() + WAIT_S
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > deadline:
            return False
    return True


# start and end


def test_stop_ends_it_and_may_come_twice() -> None:
    """Stopping is bounded and leaves no process."""
    running = start_embedded()
    running.stop()
    running.stop()
    assert not running.running()
    assert _gone(running.pid)


def test_it_ends_when_its_parent_is_killed() -> None:
    """However the harness dies, no proxy is left behind."""
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import time; from harness.clients.toxiproxy_server import start_embedded as start\n"
            "print(start().pid, flush=True); time.sleep(60)",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait(WAIT_S)
    parent.stdout.close()
    assert _gone(pid)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(number: signal.Signals) -> None:
    """SIGTERM and SIGINT end it with exit code 0."""
    running = start_embedded()
    os.kill(running.pid, number)
    assert running.process.wait(WAIT_S) == 0
    running.stop()


def test_a_busy_port_is_one_line() -> None:
    """It says which address is taken, without a traceback, and exits with 4."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "harness.proxy", "--port", str(port)],
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
        )
    assert done.returncode == 4
    assert done.stderr.startswith(f"cannot listen on 127.0.0.1:{port}: ")
    assert done.stderr.count("\n") == 1


def test_the_limit_on_open_files_is_raised(server: ServerProcess) -> None:
    """Two sockets for each of 5,000 connections: the soft limit is the hard one."""
    soft, hard = psutil.Process(server.pid).rlimit(psutil.RLIMIT_NOFILE)
    assert soft == hard


def test_it_runs_without_uvloop() -> None:
    """Where uvloop cannot be imported, plain asyncio serves the same."""
    code = (
        "import sys; sys.modules['uvloop'] = None\n"
        "from harness.proxy.__main__ import main; main(['--port=0', '--exit-on-eof'])"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    ready = json.loads(process.stdout.readline())
    with Upstream() as upstream:
        client = Toxiproxy(f"{ready['host']}:{ready['port']}")
        made = client.create_proxy(NAME, "127.0.0.1:0", upstream.address)
        client.add_toxic(NAME, "lag", "latency", attributes={"latency": 50})
        with connect(made.listen) as connection:
            assert exchange(connection, 100_000) >= 0.045
            client.remove_toxic(NAME, "lag")
            client.add_toxic(NAME, "break", "reset_peer", attributes={"timeout": 0})
            connection.sendall(b"x")
            with pytest.raises(ConnectionResetError):
                connection.recv(1)
    process.stdin.close()
    assert process.wait(WAIT_S) == 0
    process.stdout.close()


# HTTP


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"POST /proxies HTTP/1.1\r\nContent-Length: many\r\n\r\n", 400),
        (b"POST /proxies HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
        (b"POST /proxies HTTP/1.1\r\nContent-Length: 999999999\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", 431),
        (b"POST /proxies HTTP/1.1\r\nConnection: close\r\nContent-Length: 1\r\n\r\n{", 400),
        (b"GET /proxies/%2e%2e/toxics HTTP/1.0\r\n\r\n", 404),
    ],
)
def test_bad_requests_are_answered(server: ServerProcess, request_bytes: bytes, status: int) -> None:
    """Malformed and oversized requests get their status and the connection ends."""
    with connect(server.address) as connection:
        connection.sendall(request_bytes)
        assert rest_or_reset(connection).split(b" ")[1] == str(status).encode()


# where it does better than Go


def test_no_connection_escapes_a_toxic(client: Toxiproxy, upstream: Upstream) -> None:
    """Connections that are being made while the toxic is added feel it like those before and after (Go: 148)."""
    made = client.create_proxy(NAME, "127.0.0.1:0", upstream.address)
    before = [connect(made.listen) for _ in range(100)]
    client.add_toxic(NAME, "cut", "limit_data", attributes={"bytes": 1})
    connections = before + [connect(made.listen) for _ in range(20)]
    for connection in connections:
        connection.sendall(b"hello")
    assert [len(rest_or_reset(connection)) for connection in connections] == [1] * 120
    for connection in connections:
        connection.close()


def test_a_neighbour_does_not_redraw(client: Toxiproxy, upstream: Upstream) -> None:
    """Adding, changing and removing another toxic leaves the same connections hit (Go draws again)."""
    made = client.create_proxy(NAME, "127.0.0.1:0", upstream.address)
    connections = [connect(made.listen) for _ in range(20)]
    client.add_toxic(NAME, "lag", "latency", toxicity=0.5, attributes={"latency": 100})
    hit = [exchange(connection) >= 0.095 for connection in connections]
    client.add_toxic(NAME, "neighbour", "slow_close", attributes={"delay": 0})
    client.remove_toxic(NAME, "neighbour")
    spared = [connection for connection, was_hit in zip(connections, hit, strict=True) if not was_hit]
    assert 0 < len(spared) < 20
    assert all(exchange(c) >= 0.095 for c, was_hit in zip(connections, hit, strict=True) if was_hit)
    assert min(exchange(connection) for connection in spared) < 0.095
    for connection in connections:
        connection.close()


def test_toxicity_zero_resets_nobody(client: Toxiproxy, upstream: Upstream) -> None:
    """A connection that reset_peer spares ends without RST (Go: 603)."""
    made = client.create_proxy(NAME, "127.0.0.1:0", upstream.address)
    client.add_toxic(NAME, "break", "reset_peer", toxicity=0.0, attributes={"timeout": 0})
    with connect(made.listen) as connection:
        exchange(connection)
        connection.sendall(b"bye")
        assert connection.recv(10) == b"bye"
        assert connection.recv(10) == b""


def test_an_unreachable_upstream_hangs_nothing(client: Toxiproxy) -> None:
    """While a dial is stuck, the proxy can be taken down and its clients are dropped (Go: the API hangs too)."""
    full = socket.socket()
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    address = "127.0.0.1:{}".format(*full.getsockname()[1:])
    fillers = [socket.socket() for _ in range(4)]
    for filler in fillers:  # a full backlog drops SYN: the dial hangs as with a host that is gone
        filler.setblocking(False)
        filler.connect_ex(full.getsockname())
    made = client.create_proxy(NAME, "127.0.0.1:0", address)
    with connect(made.listen) as connection:
        connection.sendall(b"anybody?")
        client.add_toxic(NAME, "lag", "latency", attributes={"latency": 1})
        assert client.set_enabled(NAME, False).enabled is False
        assert rest_or_reset(connection) == b""
    for each in (full, *fillers):
        each.close()


def test_memory_stays_bounded_when_nobody_reads(client: Toxiproxy, server: ServerProcess, upstream: Upstream) -> None:
    """A client that sends into a blackhole is slowed by TCP, and the proxy keeps a few kilobytes of it."""
    made = client.create_proxy(NAME, "127.0.0.1:0", upstream.address)
    client.add_toxic(NAME, "stuck", "bandwidth", stream="upstream", attributes={"rate": 0})
    before = psutil.Process(server.pid).memory_info().rss
    with connect(made.listen) as connection:
        connection.settimeout(0.5)
        with pytest.raises(TimeoutError):
            connection.sendall(b"x" * 50_000_000)
        assert psutil.Process(server.pid).memory_info().rss - before < 20_000_000
    assert upstream.received == 0


def test_an_empty_listen_stays_on_loopback(client: Toxiproxy, server: ServerProcess, upstream: Upstream) -> None:
    """A proxy without an address gets a free port of 127.0.0.1, never one that the network can reach (Go: all)."""
    wanted = {"name": NAME, "upstream": upstream.address}
    made = requests.post(f"http://{server.address}/proxies", json=wanted, timeout=WAIT_S).json()
    assert re.fullmatch(r"127\.0\.0\.1:[1-9]\d*", made["listen"])
