"""The small doors: ports, pages, polling, processes, Docker and Compose when they are not there."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from harness.clients import http, process, tcp
from harness.clients.compose import Compose
from harness.clients.docker import Docker
from harness.clients.poll import poll
from harness.errors import EnvironmentBroke
from tests.clients.clock import JumpClock


def answer(reply: bytes, *, then_hold: bool = False) -> tuple[int, threading.Thread]:
    """A listener that reads a request, sends `reply`, and closes (or waits for the client to leave)."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listener, listener.accept()[0] as one:
            one.recv(65536)
            one.sendall(reply)
            while then_hold and one.recv(1024):
                pass

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return int(listener.getsockname()[1]), thread


def test_a_page_is_read_with_its_status() -> None:
    """And a password in the URL goes along as a header."""
    port, thread = answer(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno")
    assert http.get(f"http://127.0.0.1:{port}/x?y=1", timeout_s=2) == http.Page(status=404, text="no")
    thread.join(5)


def test_a_page_that_is_too_long_is_refused() -> None:
    """The limit is on what is read, whatever the length that is promised."""
    port, thread = answer(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 5000)
    with pytest.raises(EnvironmentBroke, match="over 1000 bytes"):
        http.get(f"http://127.0.0.1:{port}/", timeout_s=2, limit_bytes=1000)
    thread.join(5)


def test_a_page_that_never_ends_is_given_up_and_no_password_is_told() -> None:
    """The message has the URL without user and password."""
    port, thread = answer(b"HTTP/1.1 200 OK\r\n\r\nhalf", then_hold=True)
    with pytest.raises(EnvironmentBroke, match=r"no answer within 0\.2 s") as caught:
        http.get(f"http://user:secret@127.0.0.1:{port}/", timeout_s=0.2)
    assert "secret" not in str(caught.value)
    thread.join(5)
    assert not thread.is_alive(), "our end of the connection was not closed"


def test_what_is_no_http_is_an_error_in_words() -> None:
    """Some other protocol answers."""
    port, thread = answer(b"-ERR unknown command\r\n")
    with pytest.raises(EnvironmentBroke, match="BadStatusLine"):
        http.get(f"http://127.0.0.1:{port}/", timeout_s=2)
    thread.join(5)


def test_a_reserved_port_is_nobody_elses_and_outside_the_outgoing_range() -> None:
    """While it is held a second bind fails; afterwards it is free."""
    with tcp.reserve_port() as held:
        port = held.getsockname()[1]
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))
    assert tcp.FIRST_PORT <= port < tcp.LAST_PORT
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))


def test_a_connection_that_is_closed_at_once_is_no_listener_behind_a_forwarder() -> None:
    """Docker's port forwarder accepts, then hangs up when nobody listens in the container."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def hang_up() -> None:
            listener.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        assert tcp.refusal("127.0.0.1", port, timeout_s=2, stays_open_s=1) == "the connection was closed at once"
        thread.join(5)
        assert tcp.refusal("127.0.0.1", port, timeout_s=2, stays_open_s=0.05) == ""
        assert tcp.refusal("127.0.0.1", port, timeout_s=2) == ""
    assert tcp.refusal("127.0.0.1", port, timeout_s=2) == "Connection refused"


def test_connections_at_a_port_are_counted_without_its_listener() -> None:
    """One client."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert tcp.connections_at(port) == 0
        with socket.create_connection(("127.0.0.1", port)):
            assert tcp.connections_at(port) == 1


def test_polling_asks_until_true_or_the_deadline() -> None:
    """At least once, never after the deadline, and it gives the last answer."""
    answers = iter([0, 0, 7, 8])
    assert poll(lambda: next(answers), 1_000, every_ns=10, clock=JumpClock()) == 7
    clock = JumpClock()
    assert poll(lambda: 0, 100, every_ns=40, clock=clock) == 0
    assert (clock.at_ns, clock.waits) == (100, 3)
    assert poll(lambda: 5, 0, clock=JumpClock()) == 5


def test_a_zombie_has_ended() -> None:
    """Its number is still taken, but nothing runs."""
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        assert poll(lambda: process.started_at(child.pid) is None, 10_000_000_000)
        with pytest.raises(process.NoSuchProcessError):
            process.tree(child.pid)


def test_a_tree_has_the_children_too() -> None:
    """The process first."""
    with subprocess.Popen(["sh", "-c", "sleep 60 & wait"], start_new_session=True) as child:
        try:
            assert poll(lambda: len(process.tree(child.pid)) == 2, 10_000_000_000)
            assert process.tree(child.pid)[0].pid == child.pid
            assert set(process.group(child.pid)) == {usage.pid for usage in process.tree(child.pid)}
        finally:
            os.killpg(child.pid, signal.SIGKILL)


def test_a_group_that_has_gone_gets_no_signal() -> None:
    """False, not an error: it is what was wanted."""
    with subprocess.Popen([sys.executable, "-c", ""], start_new_session=True) as child:
        child.wait(10)
        assert not process.signal_group(child.pid, signal.SIGTERM)
        assert process.end_groups((child.pid,)) == ()


def test_docker_that_is_not_there_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Not a traceback of three libraries."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    with pytest.raises(EnvironmentBroke, match=r"inspect container x: Docker does not answer: No such file") as caught:
        Docker().inspect("x")
    assert caught.value.hint == "start Docker, or use a process stack"


def test_a_compose_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A compose in place of the real one, that sleeps."""
    fake = tmp_path / "docker-compose"
    fake.write_text('#!/bin/sh\n[ "$1" = version ] || exec sleep 60\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.setattr("harness.clients.compose.DOWN_S", 0.2)
    monkeypatch.setattr("harness.clients.compose.program", lambda: (str(fake),))
    with pytest.raises(EnvironmentBroke, match=r"not done within 0\.2 s: .*docker-compose -p p -f c.yaml down"):
        Compose(Path("c.yaml"), "p", {}).down()


def test_a_compose_call_in_progress_can_be_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With its children, which would hold its output open."""
    fake = tmp_path / "docker-compose"
    fake.write_text(f"#!/bin/sh\nsleep 60 & echo $! > {tmp_path}/child; wait\n")
    fake.chmod(0o755)
    monkeypatch.setattr("harness.clients.compose.program", lambda: (str(fake),))
    compose, child = Compose(Path("c.yaml"), "p", {}), tmp_path / "child"

    def interrupt() -> None:
        poll(lambda: child.exists() and child.read_text().strip(), 10_000_000_000)
        compose.interrupt()

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(EnvironmentBroke, match="ended with exit code -15"):
        compose.up()
    thread.join(10)
    assert process.started_at(int(child.read_text())) is None


def test_the_old_compose_is_used_where_the_plugin_is_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is called with the same words, and its own last lines are in the error."""
    fake = tmp_path / "docker-compose"
    fake.write_text('#!/bin/sh\n[ "$1" = version ] && exit 0\necho "asked: $*"; echo "GREETING=$GREETING"; exit 3\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentBroke, match="ended with exit code 3") as caught:
        Compose(Path("c.yaml"), "p", {"GREETING": "hello"}).up()
    assert "asked: -p p -f c.yaml up -d --build --remove-orphans\nGREETING=hello" in str(caught.value)
