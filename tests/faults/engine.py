"""A Docker Engine in memory: containers as inspect documents, changed as the real one does, with a record of calls."""

# ruff: noqa: D102 - the calls are those of harness.clients.docker.Docker, and are described there

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from typing import Any

from harness.clients.docker import Document, NoSuchContainerError
from harness.errors import EnvironmentBroke


def document(name: str = "api", **changes: Any) -> dict[str, Any]:
    """A running container on two networks, as `docker inspect` shows it. `changes` go to State or HostConfig."""
    container_id = f"{name}-".ljust(64, "0")
    made: dict[str, Any] = {
        "Id": container_id,
        "Name": f"/{name}",
        "RestartCount": 0,
        "State": {
            "Running": True, "Paused": False, "Restarting": False, "OOMKilled": False,
            "ExitCode": 0, "Pid": 0, "StartedAt": "start-1",
        },
        "Config": {"Labels": {}},
        "HostConfig": {
            "AutoRemove": False, "NetworkMode": "back", "PortBindings": {"80/tcp": [{"HostPort": "18080"}]},
            "NanoCpus": 0, "CpuQuota": 0, "CpuPeriod": 0, "Memory": 0, "MemorySwap": 0,
        },
        "NetworkSettings": {
            "Networks": {
                "back": {"NetworkID": "net-back", "Aliases": [name, container_id[:12]], "IPAMConfig": {}},
                "fixed": {
                    "NetworkID": "net-fixed", "Aliases": ["far", container_id[:12]],
                    "IPAMConfig": {"IPv4Address": "10.9.9.9"}, "Links": ["db:database"],
                },
            }
        },
    }  # fmt: skip
    for key, value in changes.items():
        made["State" if key in made["State"] else "HostConfig"][key] = value
    return made


def _state(state: dict[str, Any]) -> str:
    return ("paused" if state["Paused"] else "running") if state["Running"] else "exited"


class FakeDocker:
    """The calls of `harness.clients.docker.Docker` on documents. `calls` are those that change something.

    `broken` calls fail with their words, `deaf` ones do nothing, and after `answers` more calls the Engine is away.
    """

    def __init__(self, *documents: dict[str, Any]) -> None:
        self.documents = {one["Id"]: one for one in documents}
        self.networks = {"net-back": "back", "net-fixed": "fixed"}
        self.calls: list[tuple[Any, ...]] = []
        self.broken: dict[str, str] = {}
        self.deaf: set[str] = set()
        self.answers: int | None = None
        self._starts = 1

    def of(self, container: str) -> dict[str, Any]:
        """The live document, by id or name. Raises NoSuchContainerError."""
        for one in self.documents.values():
            if container in {one["Id"], one["Name"].lstrip("/")}:
                return one
        raise NoSuchContainerError(f"no such container: {container}")

    def inspect(self, container: str) -> Document:
        self._answer()
        return copy.deepcopy(self.of(container))

    def containers(self, labels: Mapping[str, str]) -> Sequence[Document]:
        self._answer()
        return [
            {
                "Id": one["Id"],
                "Names": [one["Name"]],
                "State": _state(one["State"]),
                "Labels": one["Config"]["Labels"],
                "HostConfig": {"NetworkMode": one["HostConfig"]["NetworkMode"]},
                "Ports": one.get("Ports", []),
            }
            for one in self.documents.values()
            if labels.items() <= one["Config"]["Labels"].items()
        ]

    def kill(self, container: str, signal: str) -> None:
        state = self._call("kill", container, signal)["State"]
        if f"kill {signal}" not in self.deaf:
            state.update(Running=False, Paused=False, ExitCode=137)

    def stop(self, container: str) -> None:
        self._call("stop", container)["State"].update(Running=False, Paused=False, ExitCode=143)

    def start(self, container: str) -> None:
        state = self._call("start", container)["State"]
        if not state["Running"]:
            self._start(state)

    def restart(self, container: str) -> None:
        self._start(self._call("restart", container)["State"])

    def pause(self, container: str) -> None:
        self._call("pause", container)["State"]["Paused"] = True

    def unpause(self, container: str) -> None:
        state = self._call("unpause", container)["State"]
        if not state["Paused"]:
            raise EnvironmentBroke("500: container is not paused")
        state["Paused"] = False

    def disconnect(self, container: str, network: str) -> None:
        one = self._call("disconnect", container, network)
        del one["NetworkSettings"]["Networks"][self._network(network)]

    def connect(self, container: str, network: str, endpoint: Document) -> None:
        one = self._call("connect", container, network, endpoint)
        aliases = [*endpoint.get("Aliases", []), one["Id"][:12]]
        settings = {"NetworkID": network, "IPAMConfig": {}, **copy.deepcopy(dict(endpoint)), "Aliases": aliases}
        one["NetworkSettings"]["Networks"][self._network(network)] = settings

    def update(self, container: str, limits: Mapping[str, int]) -> None:
        json.dumps(dict(limits))
        host = self._call("update", container, dict(limits))["HostConfig"]
        if "CpuQuota" in limits and host["NanoCpus"]:
            raise EnvironmentBroke("400: CPU quota cannot be updated as NanoCPUs has already been set")
        host.update({name: value for name, value in limits.items() if value})  # a zero is ignored

    def stats(self, container: str) -> Document:
        return {"memory_stats": {"usage": 1, "limit": 2}}

    def logs(self, container: str, last: int) -> str:
        return f"words of {self.of(container)['Name']}"

    def _answer(self) -> None:
        if self.answers is not None:
            self.answers -= 1
            if self.answers < 0:
                raise EnvironmentBroke("connection refused")

    def _network(self, network: str) -> str:
        if network not in self.networks:
            raise NoSuchContainerError(f"no such network: {network}")
        return self.networks[network]

    def _call(self, name: str, container: str, *rest: Any) -> dict[str, Any]:
        self._answer()
        one = self.of(container)
        self.calls.append((name, one["Name"].lstrip("/"), *rest))
        if name in self.broken:
            raise EnvironmentBroke(self.broken[name])
        return one

    def _start(self, state: dict[str, Any]) -> None:
        self._starts += 1
        state.update(Running=True, Paused=False, ExitCode=0, OOMKilled=False, StartedAt=f"start-{self._starts}")
