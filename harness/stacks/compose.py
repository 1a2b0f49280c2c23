"""Services of a compose file, under a project name of this run alone, so that nothing of anybody else is touched."""

from __future__ import annotations

import re
import shlex
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from harness.clients.compose import Compose
from harness.clients.docker import Docker, Document
from harness.clients.poll import poll
from harness.clock import Clock, SystemClock
from harness.errors import EnvironmentBroke, HarnessError
from harness.experiment import ComposeStack, Fault, Ready
from harness.journal import Json
from harness.ledger import Undo
from harness.stacks import Announce
from harness.stacks.addresses import fill
from harness.stacks.ready import EVERY_NS, last_lines, unready

PROJECT_LABEL = "com.docker.compose.project"
SERVICE_LABEL = "com.docker.compose.service"
NUMBER_LABEL = "com.docker.compose.container-number"
ONE_OFF_LABEL = "com.docker.compose.oneoff"
HEALTHY_WITHIN_NS = 60_000_000_000
"""For containers with a health check and no `ready:` of ours."""
_LOGGED_LINES = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """One container of the project. `address` is its lowest published TCP port on this host, "" when it has none."""

    service: str
    number: int
    id: str
    address: str


class ComposeDriver:
    """Starts a compose project, finds out where its services listen, and takes it down with its volumes.

    `{name}` in `env` values is the listen address of a proxy in `links`, as reachable from containers.
    """

    def __init__(
        self,
        spec: ComposeStack,
        *,
        links: Mapping[str, str],
        base_dir: Path,
        log_dir: Path,
        run: str,
        docker: Docker | None = None,
        compose: Compose | None = None,
        clock: Clock | None = None,
    ) -> None:
        env = {key: fill(text, links, where=f"stack env {key}") for key, text in spec.env.items()}
        self.project = "harness-" + re.sub(r"[^a-z0-9_-]+", "-", run.lower())
        self._spec = spec
        self._log_dir = log_dir
        self._docker = docker or Docker()
        self._compose = compose or Compose(base_dir / spec.file, self.project, env)
        self._clock = clock or SystemClock()
        self._replicas: tuple[Replica, ...] = ()
        self._started = False
        self._stopping = threading.Event()
        self._lock = threading.RLock()

    def up(self, announce: Announce) -> None:
        """Start all, announce what is published, wait until all are ready. Raises EnvironmentBroke with the logs."""
        self._stopping.clear()
        with self._lock:
            self._up(announce)

    def _up(self, announce: Announce) -> None:
        self._started = True
        try:
            self._compose.up()
            self._replicas = replicas(self._docker.containers({PROJECT_LABEL: self.project}))
            announce({r.service: r.address for r in reversed(self._replicas) if r.address})
            self._await_ready()
        except HarnessError as error:
            words = "\n".join([str(error), *self._last_words(), *self._down_after_failure()])
            raise EnvironmentBroke(words, hint=error.hint) from error
        except BaseException:
            self._down_after_failure()
            raise

    def down(self) -> None:
        """Take the project down, volumes too. An `up` in progress in another thread is ended first."""
        self._stopping.set()
        if self._started:
            self._compose.interrupt()
        with self._lock:
            if self._started:
                self._compose.down()
            self._started = False
            self._replicas = ()

    def _down_after_failure(self) -> Sequence[str]:
        """Take down what came up; that this failed too is said beside the first error, not instead of it."""
        try:
            self.down()
        except HarnessError as error:
            return [f"and it could not be taken down: {error}"]
        return []

    def undo(self) -> Undo:
        """What takes the project down again."""
        compose = self._compose
        return Undo(
            name="stack",
            driver="compose",
            kind="up",
            on=self.project,
            before={"file": str(compose.file.absolute()), "env": dict(compose.env)},
            by_hand=f"docker compose -f {shlex.quote(str(compose.file.absolute()))} -p {self.project} down --volumes",
        )

    def address(self, service: str) -> str:
        """host:port of the service's first published port. Raises KeyError when it publishes none."""
        for replica in self._replicas:
            if replica.service == service and replica.address:
                return replica.address
        raise KeyError(service)

    def handle(self, service: str) -> str | None:
        """The id of the service's first container. Raises KeyError for an unknown service."""
        for replica in self._replicas:
            if replica.service == service:
                return replica.id
        raise KeyError(service)

    def collect_logs(self, to: Path) -> None:
        """Write `<service>.log`, replicas after the first as `<service>-<number>.log`."""
        to.mkdir(parents=True, exist_ok=True)
        for replica in self._replicas:
            suffix = "" if replica.id == self.handle(replica.service) else f"-{replica.number}"
            log = to / f"{replica.service}{suffix}.log"
            log.write_text(self._docker.logs(replica.id, _LOGGED_LINES), encoding="utf-8")

    def _await_ready(self) -> None:
        unknown = sorted(set(self._spec.ready) - {r.service for r in self._replicas})
        if unknown:
            raise EnvironmentBroke(
                f"`ready:` names {', '.join(unknown)}, which the compose file does not start",
                hint=f"it starts: {', '.join(sorted({r.service for r in self._replicas}))}",
            )
        for replica in self._replicas:
            self._await_replica(replica, self._spec.ready.get(replica.service))

    def _await_replica(self, replica: Replica, ready: Ready | None) -> None:
        within_ns = ready.within_ns if ready is not None else HEALTHY_WITHIN_NS
        why, final = "", False

        def settled() -> bool:
            nonlocal why, final
            why, final = trouble(self._docker.inspect(replica.id), wanted=ready is not None)
            if not why and ready is not None:
                why = self._unready(replica, ready)
            if self._stopping.is_set():
                why, final = "the stack is being taken down", True
            return final or not why

        poll(settled, within_ns, every_ns=EVERY_NS, clock=self._clock)
        if why:
            limit = "" if final else f" within {within_ns / 1e9:g} s"
            raise EnvironmentBroke(
                f"{replica.service} is not ready{limit}: {why}",
                hint="the services' own words stand above",
            )

    def _unready(self, replica: Replica, ready: Ready) -> str:
        if not replica.address:
            return (
                "it publishes no TCP port, so it cannot be asked (publish one on 127.0.0.1, or give it a healthcheck)"
            )
        return unready(ready, replica.address, forwarded=True)

    def _last_words(self) -> Sequence[str]:
        """The last lines of each container, found by label: `up` may have failed half-way."""
        try:
            found = replicas(self._docker.containers({PROJECT_LABEL: self.project}))
            return [last_lines(self._docker.logs(r.id, _LOGGED_LINES), of=r.service) for r in found]
        except HarnessError as error:
            return [f"(their logs cannot be read: {error})"]


class ComposeHealer:
    """Takes down a project that outlived its harness."""

    def __init__(self, docker: Docker | None = None) -> None:
        self._docker = docker or Docker()

    def heal(self, fault: Fault, before: Mapping[str, Json]) -> None:
        """Take the project `fault.on` down with its volumes; one that is gone is fine. Raises EnvironmentBroke."""
        env = {str(key): str(value) for key, value in cast("Mapping[str, str]", before["env"]).items()}
        compose = Compose(Path(str(before["file"])), fault.on, env)
        compose.end_others()
        compose.down()
        left = self._docker.containers({PROJECT_LABEL: fault.on})
        if left:
            raise EnvironmentBroke(f"{len(left)} containers of {fault.on} are still there", hint="docker compose down")

    def settle_ns(self, fault: Fault, before: Mapping[str, Json]) -> int:  # noqa: ARG002 - the contract's shape
        """What the Engine was asked for by a `compose up` that is ended now comes to pass."""
        return 2_000_000_000


def healer() -> ComposeHealer:
    """What the reaper heals with."""
    return ComposeHealer()


def replicas(listed: Sequence[Document]) -> tuple[Replica, ...]:
    """The containers of a project from the Engine's list, in the order of service and number, one-off ones left out."""
    found = [
        Replica(
            service=one["Labels"][SERVICE_LABEL],
            number=int(one["Labels"].get(NUMBER_LABEL, "1")),
            id=one["Id"],
            address=_published(one.get("Ports") or ()),
        )
        for one in listed
        if one["Labels"].get(ONE_OFF_LABEL, "False") != "True"
    ]
    return tuple(sorted(found, key=lambda replica: (replica.service, replica.number)))


def _published(ports: Sequence[Document]) -> str:
    published = [port for port in ports if port.get("PublicPort") and port.get("Type") == "tcp"]
    if not published:
        return ""
    first = min(published, key=lambda port: (port["PrivatePort"], ":" in port.get("IP", "")))
    host = first.get("IP") or "0.0.0.0"  # noqa: S104 - compared, not bound
    return f"{'127.0.0.1' if host in {'0.0.0.0', '::'} else host}:{first['PublicPort']}"  # noqa: S104


def trouble(document: Document, *, wanted: bool) -> tuple[str, bool]:
    """Why a container is not up (empty when it is), and whether waiting is no use.

    A container that ended well is fine unless it is `wanted`: a job that fills the database, say.
    """
    state = document["State"]
    if not state["Running"] and not state.get("Restarting"):
        code = state["ExitCode"]
        return ("", False) if code == 0 and not wanted else (f"it ended with exit code {code}", True)
    if state.get("Restarting"):
        return "it keeps being restarted", False
    health = (state.get("Health") or {}).get("Status", "")
    if health == "unhealthy":
        return "its health check fails", False  # it may pass yet: some need longer than their check allows
    return ("its health check has not passed yet", False) if health == "starting" else ("", False)
