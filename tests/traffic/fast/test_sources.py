"""Which of this machine's addresses users connect from, seen from the server."""

from __future__ import annotations

import errno
import json
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from harness.traffic.fast import sources as module
from harness.traffic.fast.sources import LOOPBACK_USERS, Sources, bind, trouble_of

ROOT = Path(__file__).parents[3]
ASK = """
import json, sys
from locust.env import Environment
from harness.traffic import FastUser
from harness.traffic.fast.sources import sources
sources.use(json.loads(sys.argv[2]), int(sys.argv[3]))
kind = type("Asker", (FastUser,), {"host": sys.argv[1], "timeout": 10.0})
environment = Environment(user_classes=[kind])
users = [kind(environment) for _ in range(int(sys.argv[4]))]
print(json.dumps([str(user.client.get("/").error or "") for user in users]))
"""


def peers(given: list[str], workers: int = 1, users: int = 4) -> tuple[list[str], list[str]]:
    """From where the users of a process came, and what went wrong for each of them."""
    came: list[str] = []
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:

        def serve() -> None:
            while True:
                try:
                    connection, address = server.accept()
                except OSError:
                    return
                came.append(address[0])
                with connection:
                    connection.recv(4096)
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

        threading.Thread(target=serve, daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        command = [sys.executable, "-c", ASK, url, json.dumps(given), str(workers), str(users)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)
        server.shutdown(socket.SHUT_RDWR)
    assert done.returncode == 0, done.stderr
    return came, json.loads(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.2 is an address of Linux only")
def test_users_take_the_given_addresses_in_turn() -> None:
    """Seen by the server."""
    came, errors = peers(["127.0.0.7", "127.0.0.9"])
    assert came == ["127.0.0.7", "127.0.0.9", "127.0.0.7", "127.0.0.9"]
    assert errors == [""] * 4


@pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.2 is an address of Linux only")
def test_beyond_so_many_users_loopback_has_another_address() -> None:
    """The processes of a machine share the ports of an address: here each has room for two users at one."""
    came, _ = peers([], workers=LOOPBACK_USERS // 2, users=5)
    assert came == ["127.0.0.1", "127.0.0.1", "127.0.0.2", "127.0.0.2", "127.0.0.3"]


def test_an_address_that_is_not_ours_is_named() -> None:
    """192.0.2.0/24 is nobody's (RFC 5737)."""
    _, errors = peers(["192.0.2.1"], users=1)
    assert "cannot connect from 192.0.2.1 (traffic: source_addresses)" in errors[0]


def test_the_rule_for_loopback_is_for_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Towards other targets the system chooses, unless it was told."""
    monkeypatch.setattr(module, "_LINUX", True)
    by_rule, told = Sources(), Sources()
    by_rule.use((), LOOPBACK_USERS)
    told.use(("10.0.0.5",), 1)
    assert [by_rule.next() for _ in range(3)] == [None, "127.0.0.2", "127.0.0.3"]
    assert by_rule.fits("127.0.0.1")
    assert not by_rule.fits("10.0.0.9")
    assert told.fits("10.0.0.9")


def test_ports_that_are_used_up_are_told_with_what_to_do() -> None:
    """One failure message, with its errno."""
    error = trouble_of(errno.EADDRNOTAVAIL, "127.0.0.2", "127.0.0.1", 80)
    assert error.errno == errno.EADDRNOTAVAIL
    assert "no local port is left from 127.0.0.2 to 127.0.0.1 port 80" in str(error)
    assert "source_addresses" in str(error)
    assert "Connection refused: 127.0.0.1 port 80" in str(trouble_of(errno.ECONNREFUSED, None, "127.0.0.1", 80))


def test_one_port_serves_several_targets() -> None:
    """With the port chosen at connect() a bound socket does not take it away from others: no port after bind()."""
    with socket.socket() as sock:
        bind(sock, "127.0.0.1")
        assert sock.getsockname()[1] == 0 or sys.platform != "linux"
