"""Where workers join: addresses, tokens, and a target that they cannot reach."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

import pytest

from harness.clients.poll import poll
from harness.errors import BadInput
from harness.experiment import WorkersSpec
from harness.secrets import mask_text
from harness.traffic.hosts.gate import Gate, split_address
from harness.traffic.hosts.handshake import About
from harness.traffic.hosts.link import Link
from harness.traffic.hosts.remote import Host, require_reachable
from harness.traffic.hosts.token import given_token, required_token

ABOUT = About(harness="1", python="3", locust="2", name="box", host="box", cores=1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.5", ("10.0.0.5", 5557)),
        ("10.0.0.5:99", ("10.0.0.5", 99)),
        ("box.lan:1", ("box.lan", 1)),
        ("[::1]:7", ("::1", 7)),
        ("[::1]", ("::1", 5557)),
        ("::1", ("::1", 5557)),
        (":7", ("127.0.0.1", 7)),
    ],
)
def test_an_address_is_host_and_perhaps_port(text: str, expected: tuple[str, int]) -> None:
    """Names, IPv4, IPv6 with and without brackets."""
    assert split_address(text) == expected


@pytest.mark.parametrize("text", ["box:", "box:http", "box:70000", "box:-1"])
def test_a_port_that_is_none_is_refused(text: str) -> None:
    """With an example."""
    with pytest.raises(BadInput, match="expected host or host:port"):
        split_address(text)


def test_a_made_token_is_told_to_the_person_once_and_masked_ever_after() -> None:
    """The line to type has it; whatever is written later does not. A token that was given is not told."""
    said: list[str] = []
    gate = Gate(WorkersSpec(expect=1, bind="127.0.0.1:0", join_within_ns=10**9), b"", ABOUT, said.append)
    gate.open()
    gate.close()
    (line,) = [line for line in said if "harness worker --master 127.0.0.1:" in line]
    token = line.split("HARNESS_TOKEN=")[1].split()[0]
    assert len(token) >= 43
    assert token not in mask_text(f"it was {token}")
    known: list[str] = []
    gate = Gate(WorkersSpec(expect=1, bind="127.0.0.1:0", join_within_ns=10**9), b"k" * 20, ABOUT, known.append)
    gate.open()
    gate.close()
    assert not any("HARNESS_TOKEN" in line or "k" * 20 in line for line in known)


def test_the_token_is_of_the_file_then_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing, empty or short is an error that says how to make one."""
    monkeypatch.delenv("HARNESS_TOKEN", raising=False)
    assert given_token(None) == b""
    with pytest.raises(BadInput, match="no token"):
        required_token(None)
    monkeypatch.setenv("HARNESS_TOKEN", "e" * 16)
    assert required_token(None) == b"e" * 16
    assert "HARNESS_TOKEN" not in os.environ  # services, scenarios and commands inherit what is left
    file = tmp_path / "token"
    file.write_text("f" * 20 + "\n")
    assert given_token(file) == b"f" * 20
    for text in ("", "short"):
        file.write_text(text)
        with pytest.raises(BadInput, match="at least 16 characters") as error:
            given_token(file)
        assert "secrets.token_urlsafe" in error.value.hint
    with pytest.raises(BadInput, match="cannot be read"):
        given_token(tmp_path / "gone")


def host(*, far: bool) -> Host:
    """A joined host of which nothing is needed but where it is."""
    ours, _ = socket.socketpair(socket.AF_UNIX)
    with socket.create_server(("127.0.0.1", 0)) as server:
        sock = socket.create_connection(server.getsockname())
    ours.close()
    return Host(Link(sock, out=b"o", back=b"b"), ABOUT, "10.0.0.9", far=far)


@pytest.mark.parametrize("address", ["http://127.0.0.1:8080", "http://localhost:1", "http://[::1]:80"])
def test_a_target_on_loopback_is_refused_for_workers_elsewhere(address: str) -> None:
    """There it would be the worker itself that is loaded; on this machine it is the target."""
    near, far = host(far=False), host(far=True)
    require_reachable(address, [near])
    require_reachable("http://10.0.0.1:8080", [near, far])
    with pytest.raises(BadInput, match="on the worker box"):
        require_reachable(address, [near, far])
    for each in (near, far):
        each.release("is not needed")


@pytest.mark.parametrize("line", [b"[" * 1000, b"GET / HTTP/1.1\r", b"\xff", b"{}", b"x" * 2000])
def test_a_stranger_is_sent_away_whatever_it_says(line: bytes) -> None:
    """Its connection is closed at once, and the gate counts it."""
    gate = Gate(WorkersSpec(expect=1, bind="127.0.0.1:0", join_within_ns=10**9), b"k" * 20, ABOUT, lambda _: None)
    host, port = split_address(gate.open())
    with socket.create_connection((host, port), timeout=3) as stranger:
        stranger.sendall(line + b"\n")
        with contextlib.suppress(ConnectionResetError):
            while stranger.recv(1000):  # TimeoutError: nobody closes it
                pass
    assert poll(lambda: gate.refused.total() == 1, 3 * 10**9)
    gate.close()
