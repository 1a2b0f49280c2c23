"""The self-test of the generator, for real: a figure, a target that ends with us, and a void one that says so."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from harness.clients.poll import poll
from harness.errors import EnvironmentBroke
from harness.traffic.sizing import null_target
from harness.traffic.sizing.capacity import DISTURBED
from harness.traffic.sizing.selftest import Client, self_test

S = 1_000_000_000
BROKEN = """
import asyncio, sys
async def serve():
    async def client(reader, writer):
        while await reader.readuntil(b"\\r\\n\\r\\n"):
            writer.write(b"HTTP/1.1 500 X\\r\\nContent-Length: 0\\r\\n\\r\\n")
    server = await asyncio.start_server(client, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    over = asyncio.Event()
    asyncio.get_running_loop().add_reader(0, over.set)
    await over.wait()
asyncio.run(serve())
"""


def children() -> set[int]:
    """Our own processes that run."""
    return {child.pid for child in psutil.Process().children(recursive=True) if child.status() != "zombie"}


@pytest.mark.parametrize("client", ["FastUser", "HttpUser"])
def test_a_real_self_test_gives_a_plausible_figure_and_leaves_nothing(client: Client, tmp_path: Path) -> None:
    """More than a hundred requests a second, unless this machine is too busy to tell; no process is left."""
    steps: list[str] = []
    before = children()
    test = self_test(client, 1, log_dir=tmp_path, say=steps.append)
    assert children() <= before
    assert steps
    assert test.per_s > 100 or test.rate_bound == DISTURBED
    assert test.rate_bound
    if test.per_s:
        assert 5 < test.cpu_us < 5_000
        assert test.lag_p99_us < 10_000
        assert 1_000 < test.user_bytes < 1_000_000
    assert test.users > 100
    assert test.users_bound in ("open files", "ephemeral ports", "memory")


def test_a_null_target_that_does_not_start_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its own last words."""
    file = tmp_path / "broken.py"
    file.write_text("raise SystemExit('no port for me')", encoding="utf-8")
    monkeypatch.setattr(null_target, "__file__", str(file))
    with pytest.raises(EnvironmentBroke, match="did not start") as error:
        self_test("FastUser", 1, log_dir=tmp_path)
    assert "no port for me" in error.value.hint


def test_a_figure_of_failed_requests_is_void(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A generator is quick with answers that are none."""
    file = tmp_path / "broken.py"
    file.write_text(BROKEN, encoding="utf-8")
    monkeypatch.setattr(null_target, "__file__", str(file))
    before = children()
    with pytest.raises(EnvironmentBroke, match=r"void: of [\d,]+ requests .* failed \(5xx\)"):
        self_test("FastUser", 1, log_dir=tmp_path)
    assert children() <= before


class Served:
    """A null target that a test has started."""

    def __init__(self, *words: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "harness.traffic.sizing.null_target", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        host, _, port = self.process.stdout.readline().decode().strip().removeprefix("http://").partition(":")
        self.address = (host, int(port))

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(timeout=5)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()

    def ask(self, *parts: bytes) -> bytes:
        """What comes within two seconds of these parts of requests, up to two answers."""
        with socket.create_connection(self.address, timeout=2) as sock:
            for part in parts:
                sock.sendall(part)
            heard = b""
            while heard.count(b"ok") < 2:
                heard += sock.recv(4096)
            return heard


def test_the_null_target_answers_requests_however_they_are_cut() -> None:
    """Two at once, or one in three parts."""
    get = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    with Served() as served:
        assert served.ask(get + get).count(b"HTTP/1.1 200 OK") == 2
        assert served.ask(get[:5], get[5:-2], get[-2:] + get).count(b"HTTP/1.1 200 OK") == 2


def test_the_null_target_ends_with_its_standard_input() -> None:
    """Which closes when whoever started it is gone."""
    with Served() as served:
        assert served.process.stdin is not None
        served.process.stdin.close()
        assert served.process.wait(timeout=5) == 0


PARENT = """
import sys
from pathlib import Path
from harness.traffic.sizing.selftest import self_test
self_test("FastHttpUser", 1, log_dir=Path(sys.argv[1]), say=lambda step: print(step, flush=True))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_nothing_is_left_of_a_self_test_whose_harness_ends(number: signal.Signals, tmp_path: Path) -> None:
    """Killed or interrupted in the middle of a step: master, worker and null target are gone within seconds."""
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline()
        started = psutil.Process(parent.pid).children(recursive=True)
        assert len(started) == 3
        os.kill(parent.pid, number)
        parent.communicate(timeout=20)
    assert poll(lambda: not any(one.is_running() and one.status() != "zombie" for one in started), within_ns=5 * S)
