"""The door to the Docker Engine, the only importer of `docker`. Every call has a time limit; nothing is decided here.

Documents are the Engine's own JSON (inspect, list, stats), read by those who ask. Engine API 1.24 and newer.
"""

from __future__ import annotations

import queue
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import docker
import requests
from docker.errors import APIError, DockerException, NotFound

from harness.errors import EnvironmentBroke

Document = Mapping[str, Any]

TIMEOUT_S = 15
STOP_TIMEOUT_S = 120  # stopping waits for the container's own grace period, 10 s unless it asks for another


class NoSuchContainerError(EnvironmentBroke):
    """The container, or the network, that was named does not exist (any more)."""


class Docker:
    """Calls on one Engine, that of DOCKER_HOST or the local socket. Safe to share between threads.

    Connects at the first call. Raises EnvironmentBroke with the Engine's words, NoSuchContainerError when it is a 404.
    """

    def __init__(self, timeout_s: int = TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._idle: queue.SimpleQueue[docker.APIClient] = queue.SimpleQueue()

    @contextmanager
    def _engine(self, doing: str, timeout_s: int | None = None) -> Iterator[docker.APIClient]:
        """A client of the SDK for one call: its session is not thread-safe, and making one costs 15 ms."""
        try:
            api = self._take()
            api.timeout = timeout_s or self._timeout_s
            try:
                yield api
            finally:
                self._idle.put(api)
        except NotFound as error:
            raise NoSuchContainerError(f"cannot {doing}: {_words(error)}", hint="look at: docker ps -a") from error
        except (DockerException, requests.RequestException, OSError) as error:
            raise EnvironmentBroke(f"cannot {doing}: {_words(error)}", hint=_hint(error)) from error

    def _take(self) -> docker.APIClient:
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            return docker.from_env(timeout=self._timeout_s, version="auto").api

    def version(self) -> str:
        """The Engine's version, which also shows that it answers."""
        with self._engine("ask Docker for its version") as api:
            return str(api.version()["Version"])

    def inspect(self, container: str) -> Document:
        """All that the Engine knows of a container, by name or id."""
        with self._engine(f"inspect container {container}") as api:
            return dict(api.inspect_container(container))

    def containers(self, labels: Mapping[str, str]) -> Sequence[Document]:
        """The containers that carry all these labels, in one call (the SDK's high-level list inspects each)."""
        wanted = [f"{name}={value}" if value else name for name, value in labels.items()]
        with self._engine("list containers") as api:
            return list(api.containers(all=True, filters={"label": wanted}))

    def kill(self, container: str, signal: str) -> None:
        """Send a signal (KILL, TERM, ...) to the container's first process."""
        self._do(f"send {signal} to container {container}", lambda api: api.kill(container, signal))

    def stop(self, container: str) -> None:
        """Stop with the container's own grace period; returns when it has stopped."""
        self._do(f"stop container {container}", lambda api: api.stop(container), STOP_TIMEOUT_S)

    def start(self, container: str) -> None:
        """Start a container that exists; one that runs is left alone."""
        self._do(f"start container {container}", lambda api: api.start(container), STOP_TIMEOUT_S)

    def restart(self, container: str) -> None:
        """Stop with the container's own grace period, where the SDK always asks for 10 s, and start; returns when it
        runs again.
        """
        self._do(
            f"restart container {container}",
            lambda api: _post(api, f"/containers/{container}/restart", {}),
            STOP_TIMEOUT_S,
        )

    def pause(self, container: str) -> None:
        """Freeze all processes of a container."""
        self._do(f"pause container {container}", lambda api: api.pause(container))

    def unpause(self, container: str) -> None:
        """Let a frozen container go on."""
        self._do(f"unpause container {container}", lambda api: api.unpause(container))

    def disconnect(self, container: str, network: str) -> None:
        """Take a container off a network."""
        self._do(
            f"disconnect container {container} from network {network}",
            lambda api: api.disconnect_container_from_network(container, network),
        )

    def connect(self, container: str, network: str, endpoint: Document) -> None:
        """Put a container on a network; `endpoint` is the Engine's EndpointSettings."""
        self._do(
            f"connect container {container} to network {network}",
            lambda api: _post(
                api, f"/networks/{network}/connect", {"Container": container, "EndpointConfig": endpoint}
            ),
        )

    def update(self, container: str, limits: Mapping[str, int]) -> None:
        """Change limits, in the Engine's names (CpuQuota, NanoCpus, Memory, ...). The Engine ignores a zero."""
        self._do(
            f"change limits of container {container}", lambda api: _post(api, f"/containers/{container}/update", limits)
        )

    def stats(self, container: str) -> Document:
        """The Engine's own counters of a container: takes 1 to 2 s."""
        with self._engine(f"read statistics of container {container}") as api:
            return dict(api.stats(container, stream=False))

    def logs(self, container: str, last: int) -> str:
        """The last lines of what a container wrote, standard output and error together."""
        with self._engine(f"read the log of container {container}") as api:
            return bytes(api.logs(container, tail=last)).decode(errors="replace")

    def _do(self, doing: str, call: Callable[[docker.APIClient], object], timeout_s: int | None = None) -> None:
        with self._engine(doing, timeout_s) as api:
            call(api)


def _post(api: Any, path: str, data: Mapping[str, object]) -> None:
    """A call that the SDK lacks (NanoCpus) or takes apart: the document goes to the Engine as it is."""
    api._raise_for_status(api._post_json(api._url("{0}", path), data=data))


def _words(error: Exception) -> str:
    if isinstance(error, APIError) and error.explanation:
        return str(error.explanation).strip()
    if (why := _unreachable(error)) is not None:
        return f"Docker does not answer: {why}"
    return re.sub(r"\s+", " ", str(error))


def _unreachable(error: Exception) -> str | None:
    """What the system says of a connection that was not to be had; the SDK wraps it three times."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, ConnectionError | FileNotFoundError | PermissionError) and inner.strerror:
            return inner.strerror
        inner = inner.__cause__ or inner.__context__
    return None


def _hint(error: Exception) -> str:
    if isinstance(error, APIError):
        return "the words are Docker's own; look at: docker info"
    if "permission denied" in str(error).lower():
        return "add this user to the group `docker` and log in again, or run as root"
    return "start Docker, or use a process stack"
