"""What is broken and then looked at. `Target.state` is all that must be as before."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

IMAGE_CANDIDATES = ("harness-base:bookworm", "python:3.12-slim")
PROXY = "proxy"
_LIMITS = ("NanoCpus", "CpuQuota", "CpuPeriod", "Memory", "MemorySwap")
_NO_LIMIT = 1 << 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One slot's things: two containers on a network, a folder for flags, and where the shared servers are."""

    slot: int
    box: str
    peer: str
    folder: Path
    toxiproxy: str
    web: str

    @property
    def link(self) -> str:
        """The name of the slot's proxy: the server is shared, so its other proxies are other slots' business."""
        return f"link-{self.slot}"

    def state(self) -> Mapping[str, object]:
        """Everything that a fault of the catalogue may change, as the parts themselves tell it."""
        return {
            **{name: container(name) for name in (self.box, self.peer)},
            PROXY: proxies(self.toxiproxy).get(self.link),
            "flags": sorted(path.name for path in (self.folder / "flags").iterdir()),
        }


def ask(*words: str, timeout: float = 20) -> str:
    """What a command prints; raises when it fails."""
    return subprocess.run(words, capture_output=True, text=True, timeout=timeout, check=True).stdout


def container(name: str) -> Mapping[str, object]:
    """State, limits, networks, processes, rules of its network namespace and files of /tmp."""
    document = json.loads(ask("docker", "inspect", name))[0]
    pid = document["State"]["Pid"]
    networks = document["NetworkSettings"]["Networks"]
    inside = ("nsenter", "-t", str(pid), "-n") if pid else ()
    return {
        "running": document["State"]["Running"],
        "paused": document["State"]["Paused"],
        "limits": {key: _limit(key, document["HostConfig"].get(key) or 0) for key in _LIMITS},
        "networks": {
            key: sorted(set(value.get("Aliases") or ()) - {document["Id"][:12]}) for key, value in networks.items()
        },
        "processes": len(ask("docker", "top", name).splitlines()) if pid and not document["State"]["Paused"] else None,
        "hogs": hogs_in(document["Id"]),
        "rules": _own(ask(*inside, "iptables-save")) if inside else [],
        "shaping": _own(ask(*inside, "tc", "qdisc")) if inside else [],
        "files": sorted(ask("ls", "-A", f"/proc/{pid}/root/tmp").split()) if pid else [],
    }


def _limit(name: str, value: int) -> int:
    """No limit is written as 0, -1, or something near 2^63, and a period without a quota means nothing."""
    return 0 if value <= 0 or value >= _NO_LIMIT or name == "CpuPeriod" else value


def _own(text: str) -> list[str]:
    return [line for line in text.splitlines() if "harness" in line or "tbf" in line or "ingress" in line]


def hogs_in(container_id: str) -> int:
    """Processes of ours in a container's control group."""
    found = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                marked = b"harness" in (entry / "cmdline").read_bytes()
                found += marked and container_id in (entry / "cgroup").read_text()
            except OSError:
                continue
    return found


def proxies(api: str) -> Mapping[str, object]:
    """All proxies with their toxics."""
    with urllib.request.urlopen(f"{api}/proxies", timeout=10) as answer:
        found: dict[str, object] = json.load(answer)
    return found


def unharmed(proxy: object) -> bool:
    """A proxy that is there for the run's own users, without any fault."""
    return isinstance(proxy, dict) and proxy["enabled"] and not proxy["toxics"]


@contextmanager
def slots(numbers: Iterable[int], root: Path, image: str) -> Iterator[tuple[Target, ...]]:
    """A target for each number, beside each other; all of it is removed at the end."""
    with ExitStack() as stack:
        api = stack.enter_context(toxiproxy(root))
        web = stack.enter_context(web_server(root))
        yield tuple(stack.enter_context(slot(number, root, image, api, web)) for number in numbers)


@contextmanager
def slot(number: int, root: Path, image: str, api: str, web: str) -> Iterator[Target]:
    """Two containers that share a network, and a folder."""
    network, box, peer = (f"harness-chaos-{number}-{word}" for word in ("net", "box", "peer"))
    folder = root / f"slot-{number}"
    (folder / "flags").mkdir(parents=True)
    remove = ("docker", "rm", "-f", box, peer)
    ask(*remove) if ask("docker", "ps", "-aq", "--filter", f"name=harness-chaos-{number}-") else None
    if not ask("docker", "network", "ls", "-q", "--filter", f"name={network}"):
        ask("docker", "network", "create", network)
    try:
        for name in (box, peer):
            alias = ("--network-alias", f"{name}-alias")
            words = ("--memory", "256m", "--memory-swap", "256m", image, "sleep", "36000")
            ask("docker", "run", "-d", "--init", "--name", name, "--network", network, *alias, *words)
        yield Target(slot=number, box=box, peer=peer, folder=folder, toxiproxy=api, web=web)
    finally:
        ask(*remove)
        ask("docker", "network", "rm", network)


@contextmanager
def toxiproxy(root: Path) -> Iterator[str]:
    """A Toxiproxy server that is the user's: it was there before the runs and stays."""
    port = free_port()
    with running(root / "toxiproxy.log", "toxiproxy-server", "-host", "127.0.0.1", "-port", str(port)):
        api = f"http://127.0.0.1:{port}"
        until(lambda: isinstance(proxies(api), dict))
        yield api


@contextmanager
def web_server(root: Path) -> Iterator[str]:
    """Something that answers."""
    port = free_port()
    words = ("python3", "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(root))
    with running(root / "web.log", *words):
        until(lambda: bool(urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).status))
        yield f"127.0.0.1:{port}"


@contextmanager
def running(log: Path, *words: str) -> Iterator[None]:
    """A process, ended by its id."""
    with log.open("wb") as file:
        process = subprocess.Popen(words, stdout=file, stderr=file)
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)


def free_port() -> int:
    """A port that nobody listens on."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Wait for something that starts. Raises TimeoutError."""
    import time

    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise TimeoutError
