"""Sockets and commands in the network namespaces of real containers, without anything in the image."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psutil

from tests.contracts.containers import LABEL, docker

T = TypeVar("T")

CLONE_NEWNET = 0x40000000
SILENCE_S = 0.6
"""What is not answered within it hears nothing."""
PORT, OTHER_PORT = 8000, 8001


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A container with a namespace of its own."""

    name: str

    def asked(self, template: str) -> str:
        """A field of `docker inspect`."""
        return docker("inspect", "-f", template, self.name)

    @property
    def pid(self) -> int:
        """Of its first process."""
        return int(self.asked("{{.State.Pid}}"))

    @property
    def address(self) -> str:
        """On its only network."""
        return self.asked("{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}")

    def shell(self, script: str) -> str:
        """The output of a script of this host, run in the namespace."""
        words = ["nsenter", "-t", str(self.pid), "-n", "sh", "-c", script]
        return subprocess.run(words, capture_output=True, text=True, timeout=20, check=True).stdout

    def rules(self) -> str:
        """All that a fault could leave."""
        return self.shell("iptables -S; ip6tables -S; tc qdisc show")

    def inside(self, act: Callable[[], T]) -> T:
        """What `act` returns when called in the namespace; sockets that it makes stay there."""
        done: list[T] = []
        failed: list[Exception] = []
        namespace = os.open(f"/proc/{self.pid}/ns/net", os.O_RDONLY)

        def run() -> None:
            try:
                if ctypes.CDLL(None, use_errno=True).setns(namespace, CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")
                done.append(act())
            except Exception as error:  # noqa: BLE001 - raised below, in the caller's thread
                failed.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        os.close(namespace)
        if failed:
            raise failed[0]
        return done[0]

    def visitors(self) -> list[int]:
        """Processes of this host that are at work in the namespace, the container's own left out."""
        place = Path(f"/proc/{self.pid}/ns/net").stat()
        container_id = self.asked("{{.Id}}")
        found = []
        for pid in psutil.pids():
            with suppress(OSError):
                there = os.path.samestat(place, Path(f"/proc/{pid}/ns/net").stat())
                if there and container_id not in Path(f"/proc/{pid}/cgroup").read_text():
                    found.append(pid)
        return found


class Server:
    """Answers each line, a number, with so many bytes; on a port in a node's namespace."""

    def __init__(self, node: Node, port: int = PORT) -> None:
        self._socket = node.inside(lambda: socket.create_server(("0.0.0.0", port)))
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """No more connections."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                threading.Thread(target=_serve, args=[connection], daemon=True).start()


def _serve(connection: socket.socket) -> None:
    with connection, connection.makefile("rb") as lines, suppress(OSError):
        for line in lines:
            connection.sendall(b"x" * int(line))


def connect(address: str, port: int = PORT, timeout_s: float = SILENCE_S) -> socket.socket:
    """A connection from wherever it is called."""
    return socket.create_connection((address, port), timeout=timeout_s)


def answered(connection: socket.socket, size: int = 10, timeout_s: float = SILENCE_S) -> bool:
    """Whether an answer of that size comes; `timeout_s` is for each piece of it."""
    connection.settimeout(timeout_s)
    try:
        connection.sendall(b"%d\n" % size)
        return heard(connection, size)
    except TimeoutError:
        return False


def heard(connection: socket.socket, size: int = 10) -> bool:
    """Whether so many bytes arrive within the connection's time limit for each piece."""
    left = size
    while left:
        try:
            left -= len(connection.recv(left))
        except TimeoutError:
            return False
    return True


def reachable(address: str, port: int = PORT) -> bool:
    """Whether a new connection is made and answered."""
    try:
        with connect(address, port) as connection:
            return answered(connection)
    except TimeoutError:
        return False


def look_up(name: str) -> bytes:
    """The answer of Docker's resolver to a question for a name's address. Raises OSError."""
    question = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
    question += b"".join(bytes((len(part),)) + part.encode() for part in name.split(".")) + b"\x00\x00\x01\x00\x01"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(SILENCE_S)
        asking.connect(("127.0.0.11", 53))
        asking.send(question)
        return asking.recv(512)


@contextmanager
def pair(image: str) -> Iterator[tuple[Node, Node]]:
    """Two containers that sleep, on a network of their own; removed at the end."""
    name = f"harness-test-{uuid.uuid4().hex[:10]}"
    nodes = [Node(name=f"{name}-{end}") for end in ("api", "db")]
    try:
        docker("network", "create", "--label", LABEL, name)
        for node in nodes:
            docker("run", "-d", "--name", node.name, "--label", LABEL, "--network", name, image, "sleep", "900")
        yield nodes[0], nodes[1]
    finally:
        for words in (["rm", "-f", "-v", *(node.name for node in nodes)], ["network", "rm", name]):
            subprocess.run(["docker", *words], capture_output=True, timeout=60, check=False)
