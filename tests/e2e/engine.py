"""A Docker Engine of the test's own, beside the machine's: it may be killed and started again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

CONTAINERD = ("/run/containerd/containerd.sock", "/run/docker/containerd/containerd.sock")
IMAGE = "tiny"
BRIDGE = Path("/sys/class/net/docker0")
"""A daemon with `--bridge=none` deletes it at its start; hence in a network namespace of its own."""
START_S = 30
"""With a containerd that is there an Engine starts in a fifth of a second; with one of its own it may take 20 s."""


class Engine:
    """`dockerd` without networks, with its own socket, data and process file; containers that only sleep."""

    def __init__(self, folder: Path, *, live_restore: bool) -> None:
        self.folder = folder
        self.host = f"unix://{folder}/socket"
        self._live_restore = live_restore
        self._space = f"harness-{uuid.uuid4().hex}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; returns when it answers."""
        own = {"data-root": "data", "exec-root": "exec", "pidfile": "pid"}
        words = [f"--{option}={self.folder / name}" for option, name in own.items()]
        space = self._space
        shared = containerd()
        words += [f"--containerd={shared}"] if shared else []
        words += [f"--containerd-namespace={space}", f"--containerd-plugins-namespace={space}-plugins"]
        words += ["--live-restore"] if self._live_restore else []
        words += ["--bridge=none", "--iptables=false", "--ip-forward=false", "--ip-masq=false"]
        path = f"{os.environ['PATH']}:/usr/sbin"
        had = BRIDGE.exists()
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["unshare", "--net", "--", "dockerd", "--host", self.host, *words],
                stdout=log,
                stderr=log,
                env={**os.environ, "PATH": path},
            )
        deadline = time.monotonic() + START_S
        while subprocess.run(["docker", "-H", self.host, "version"], capture_output=True, check=False).returncode:
            assert time.monotonic() < deadline and self._process.poll() is None, (self.folder / "log").read_text()
            time.sleep(0.1)
        assert BRIDGE.exists() == had, "the bridge of the machine's own Engine is gone"

    def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End it; what its containers become is its own business."""
        assert self._process is not None
        self._process.send_signal(number)
        self._process.wait(30)

    def ask(self, *words: str) -> str:
        """What a docker command prints."""
        command = ["docker", "-H", self.host, *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert not done.returncode, done.stderr
        return done.stdout.strip()

    def load(self) -> None:
        """An image of one program and what it is linked with, a few megabytes."""
        root = self.folder / "root"
        sleep = shutil.which("sleep")
        assert sleep is not None
        listed = subprocess.run(["ldd", sleep], capture_output=True, text=True, check=True).stdout.split()
        for file in (sleep, *(word for word in listed if word.startswith("/"))):
            place = root / ("bin/sleep" if file == sleep else file.lstrip("/"))
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, place)
        archive = shutil.make_archive(str(self.folder / "image"), "tar", root)
        self.ask("import", archive, IMAGE)

    def box(self, name: str) -> None:
        """A container that sleeps."""
        self.ask("run", "-d", "--init", "--network", "none", "--name", name, IMAGE, "/bin/sleep", "300")

    def state(self, name: str) -> tuple[str, int]:
        """Status and CPU quota, in the Engine's words."""
        status, quota, cpus = self.ask(
            "inspect", "-f", "{{.State.Status}} {{.HostConfig.CpuQuota}} {{.HostConfig.NanoCpus}}", name
        ).split()
        return status, max(0, int(quota)) + max(0, int(cpus))

    def close(self) -> None:
        """Remove all of it: containers, mounts, the folder."""
        with suppress(subprocess.SubprocessError, AssertionError):
            names = self.ask("ps", "-aq").split()
            self.ask("rm", "-f", *names) if names else None
        if self._process is not None and self._process.poll() is None:
            self.end(signal.SIGTERM)
        mounted = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for place in sorted((one for one in mounted if one.startswith(f"{self.folder}/")), reverse=True):
            subprocess.run(["umount", place], check=False, capture_output=True)
        shared, ctr = containerd(), shutil.which("ctr")
        if shared and ctr:
            for space in (self._space, f"{self._space}-plugins"):
                command = [ctr, "--address", shared, "namespaces", "remove", space]
                subprocess.run(command, check=False, capture_output=True, timeout=30)
        shutil.rmtree(self.folder)


def containerd() -> str:
    """The socket of a containerd that is there already, empty when there is none."""
    return next((path for path in CONTAINERD if Path(path).exists()), "")


@contextmanager
def engine(*, live_restore: bool) -> Iterator[Engine]:
    """One that runs; nothing of it is left. Its path is short: a socket's may have 107 bytes."""
    one = Engine(Path(tempfile.mkdtemp(prefix="harness-engine-", dir="/tmp")), live_restore=live_restore)
    try:
        one.start()
        one.load()
        yield one
    finally:
        if subprocess.run(["docker", "-H", one.host, "version"], capture_output=True, check=False).returncode:
            with suppress(AssertionError):
                one.start()
        one.close()
