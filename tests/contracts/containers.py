"""Real containers for contract tests. What they look like is asked with the docker command, not with our own client."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from harness.clients.tcp import free_port

LABEL = "harness.test"
BUSY = "trap exit TERM; while :; do i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; sleep 0.02; done"
"""Takes about half a core, and ends on SIGTERM."""
UNLIMITED_FROM = 1 << 60


def docker(*words: str, timeout_s: float = 60) -> str:
    """The output of a docker command; CalledProcessError when it fails."""
    done = subprocess.run(["docker", *words], capture_output=True, text=True, timeout=timeout_s, check=True)
    return done.stdout.strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class RealContainer:
    """A container of our own, on two networks of our own, published on one fixed port of 127.0.0.1."""

    name: str
    id: str
    networks: tuple[str, str]

    def inspect(self) -> dict[str, Any]:
        """The Engine's document."""
        found = json.loads(docker("inspect", self.id))[0]
        assert isinstance(found, dict)
        return found

    def state(self) -> dict[str, Any]:
        """All that healing must bring back, "no limit" in one spelling. What a new start changes is left out."""
        seen = self.inspect()
        host, networks = seen["HostConfig"], seen["NetworkSettings"]["Networks"]
        return {
            "running": seen["State"]["Running"],
            "paused": seen["State"]["Paused"],
            "limits": {name: _plain(host[name]) for name in ("NanoCpus", "CpuQuota", "CpuPeriod", "Memory")},
            "networks": {
                name: {
                    "id": settings["NetworkID"],
                    "aliases": sorted(settings["Aliases"] or ()),
                    "links": settings["Links"],
                    "asked": (settings["IPAMConfig"] or {}).get("IPv4Address"),
                    "drivers": settings["DriverOpts"] or {},
                }
                for name, settings in networks.items()
            },
            "ports": seen["NetworkSettings"]["Ports"],
        }


def _plain(limit: int) -> int:
    return 0 if limit <= 0 or limit >= UNLIMITED_FROM else limit


@contextmanager
def running(image: str, *options: str, command: str = BUSY) -> Iterator[RealContainer]:
    """A container on two networks, one of them with a fixed address and two aliases; all removed at the end."""
    name = f"harness-test-{uuid.uuid4().hex[:10]}"
    back, fixed = f"{name}-back", f"{name}-fixed"
    try:
        docker("network", "create", "--label", LABEL, back)
        subnet = _fixed_network(fixed)
        publish = f"127.0.0.1:{free_port()}:8000"
        labels = ("--label", LABEL)
        container = docker(
            "run", "-d", "--name", name, *labels, "--network", back, "--network-alias", "front", "-p", publish,
            *options, image, "sh", "-c", command,
        )  # fmt: skip
        docker("network", "connect", "--alias", "far", "--alias", "off", "--ip", f"{subnet}.9", fixed, container)
        yield RealContainer(name=name, id=container, networks=(back, fixed))
    finally:
        for words in (["rm", "-f", "-v", name], ["network", "rm", back], ["network", "rm", fixed]):
            subprocess.run(["docker", *words], capture_output=True, timeout=60, check=False)


def _fixed_network(name: str) -> str:
    """A network with a configured subnet, which fixed addresses need; the first three numbers of its addresses."""
    for third in range(200, 255):
        subnet = f"10.213.{third}"
        try:
            docker("network", "create", "--label", LABEL, "--subnet", f"{subnet}.0/24", name)
        except subprocess.CalledProcessError:
            continue
        return subnet
    raise AssertionError("no free subnet for a test network")
