"""Services as processes of this host: the stack that needs no Docker.

    up    reserve a port for each -> announce -> start in the order of the file -> wait until each is ready
    down  SIGTERM to every group, 5 s, SIGKILL; stopped ones are continued first

Each service runs in a session, and so a process group, of its own: a Ctrl-C in the terminal does not reach it, and
signals reach its children too. When the harness dies without `down`, the warden takes the groups down.
"""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.clients import process, tcp, warden
from harness.clients.poll import poll
from harness.clock import Clock, SystemClock
from harness.errors import EnvironmentBroke
from harness.experiment import ProcessStack, Service
from harness.stacks import Announce
from harness.stacks.addresses import fill
from harness.stacks.ready import EVERY_NS, last_lines, unready

HOST = "127.0.0.1"
WARDEN_S = 15.0
_LOG_TAIL_BYTES = 65_536


@dataclass(slots=True)
class _Place:
    """One service: where it listens, what it writes to, and the process that it is now."""

    spec: Service
    port: int
    log: Path
    reserved: socket.socket | None
    child: subprocess.Popen[bytes] | None = None
    began: float | None = None
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    def pid(self) -> int | None:
        """The pid while it runs; collects the process when it has ended."""
        return self.child.pid if self.child is not None and self.child.poll() is None else None

    def groups(self) -> tuple[int, ...]:
        """The process group, as long as its number is no other's: children may outlive the first process."""
        if self.child is None or not process.is_still(self.child.pid, self.began):
            return ()
        return (self.child.pid,)


class ProcessDriver:
    """Starts, stops and restarts the services of a process stack. Same command, port, environment and log each time.

    `{port}` is the service's own port, `{python}` the harness's own interpreter, `{name}` the address of a service, or
    of a proxy in `links`. A link that bears a service's name wins: it stands in front of that service.
    """

    def __init__(
        self,
        spec: ProcessStack,
        *,
        links: Mapping[str, str],
        base_dir: Path,
        log_dir: Path,
        run: str,  # noqa: ARG002 - one shape for all stacks
        clock: Clock | None = None,
    ) -> None:
        self._services = spec.services
        self._links = dict(links)
        self._base_dir = base_dir
        self._log_dir = log_dir
        self._clock = clock or SystemClock()
        self._places: dict[str, _Place] = {}
        self._warden: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._lock = threading.RLock()

    def up(self, announce: Announce) -> None:
        """Start what does not run yet and wait until all are ready; else take all down. Raises EnvironmentBroke."""
        self._stopping.clear()
        with self._lock:
            self._up(announce)

    def _up(self, announce: Announce) -> None:
        try:
            self._reserve()
            announce({name: place.address for name, place in self._places.items()})
            for place in self._places.values():
                self._spawn(place)
            for place in self._places.values():
                self._await_ready(place, watched=self._places)
        except BaseException:
            self.down()
            raise

    def down(self) -> None:
        """End every group that we started. Raises EnvironmentBroke when one outlives SIGKILL.

        An `up`, or a start, that is in progress in another thread gives up first.
        """
        self._stopping.set()
        with self._lock:
            self._down()

    def _down(self) -> None:
        for place in self._places.values():
            if place.reserved is not None:
                place.reserved.close()
        left = process.end_groups(tuple(g for place in reversed(self._places.values()) for g in place.groups()))
        for place in self._places.values():
            place.pid()
        self._places.clear()
        self._dismiss_warden()
        if left:
            raise EnvironmentBroke(
                f"these process groups outlive SIGKILL: {', '.join(map(str, left))}",
                hint="they hang in the kernel: look at: ps -o pid,stat,wchan:30,args",
            )

    def address(self, service: str) -> str:
        """127.0.0.1:port of a service."""
        return self._places[service].address

    def handle(self, service: str) -> int | None:
        """The service's pid, which is also its process group; None while it does not run. KeyError when unknown."""
        return self._places[service].pid()

    def start(self, service: str) -> None:
        """Start a service that does not run, and wait until it is ready. Raises EnvironmentBroke."""
        place = self._places[service]
        with place.lock:
            self._spawn(place)
            self._await_ready(place, watched={service: place})

    def stop(self, service: str) -> None:
        """End a service in order, within 5 s, else by SIGKILL; returns when its whole group has gone."""
        place = self._places[service]
        with place.lock:
            if left := process.end_groups(place.groups()):
                raise EnvironmentBroke(f"{service} (process group {left[0]}) outlives SIGKILL")
            place.pid()

    def restart(self, service: str) -> None:
        """Stop, then start."""
        with self._places[service].lock:
            self.stop(service)
            self.start(service)

    def collect_logs(self, to: Path) -> None:
        """Copy `<service>.log` of each service into the folder `to`."""
        to.mkdir(parents=True, exist_ok=True)
        for service in self._services:
            log = self._log_dir / f"{service.name}.log"
            if log.exists() and log.parent.resolve() != to.resolve():
                shutil.copyfile(log, to / log.name)

    def _reserve(self) -> None:
        """A port for each service, held until it starts: all addresses are known before anything runs."""
        self._log_dir.mkdir(parents=True, exist_ok=True)
        for spec in self._services:
            if spec.name not in self._places:
                reserved = tcp.reserve_port(HOST)
                port = int(reserved.getsockname()[1])
                log = self._log_dir / f"{spec.name}.log"
                self._places[spec.name] = _Place(spec=spec, port=port, log=log, reserved=reserved)

    def _spawn(self, place: _Place) -> None:
        if self._stopping.is_set():
            raise EnvironmentBroke(f"{place.spec.name} is not started: the stack is being taken down")
        if place.pid() is not None:
            return
        command, env = self._command(place)
        cwd = self._base_dir / place.spec.cwd
        if not cwd.is_dir():
            raise EnvironmentBroke(f"{place.spec.name}: no such folder: {cwd}", hint="correct its `cwd:`")
        path = env.get("PATH", os.defpath)
        if shutil.which(command[0] if "/" not in command[0] else str(cwd / command[0]), path=path) is None:
            raise EnvironmentBroke(
                f"{place.spec.name}: cannot run {command[0]!r}: no such program",
                hint=f"looked from {cwd} and along PATH; {{python}} stands for the harness's own Python",
            )
        if place.reserved is not None:
            place.reserved.close()
            place.reserved = None
        process.end_groups(place.groups())  # children of a killed one would still hold the port
        place.child = self._announced(command, env, cwd, place.log)
        place.began = process.started_at(place.child.pid)

    def _command(self, place: _Place) -> tuple[list[str], dict[str, str]]:
        addresses = {name: other.address for name, other in self._places.items()}
        places = {**addresses, **self._links, "port": str(place.port), "python": sys.executable}
        name = place.spec.name
        command = [fill(word, places, where=f"command of {name}") for word in shlex.split(place.spec.command)]
        if not command:
            raise EnvironmentBroke(f"{name}: the command is empty", hint="write the program to start")
        # Our interpreter's folder comes last: `python` works where only the harness's environment has one.
        path = os.pathsep.join([os.environ.get("PATH", os.defpath), str(Path(sys.executable).parent)])
        own = {key: fill(text, places, where=f"env {key} of {name}") for key, text in place.spec.env.items()}
        return command, {"PYTHONUNBUFFERED": "1", **os.environ, "PATH": path, **own}

    def _announced(self, command: list[str], env: dict[str, str], cwd: Path, log: Path) -> subprocess.Popen[bytes]:
        """Start through the few lines that tell the warden first (see warden.py)."""
        pipe = self._warden_pipe()
        with log.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", warden.ANNOUNCE, str(pipe), *command],
                env=env,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(pipe,),
            )

    def _warden_pipe(self) -> int:
        if self._warden is None:
            self._warden = subprocess.Popen(
                [sys.executable, "-m", "harness.clients.warden"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        assert self._warden.stdin is not None  # noqa: S101 - a pipe was asked for
        return self._warden.stdin.fileno()

    def _dismiss_warden(self) -> None:
        if self._warden is None:
            return
        assert self._warden.stdin is not None  # noqa: S101
        self._warden.stdin.close()
        self._warden.wait(timeout=WARDEN_S)
        self._warden = None

    def _await_ready(self, place: _Place, *, watched: Mapping[str, _Place]) -> None:
        """Wait until it is ready, or one of those watched has ended."""
        ready = place.spec.ready
        within_ns = ready.within_ns if ready is not None else 0
        why, ended = "", ""

        def settled() -> bool:
            nonlocal why, ended
            ended = "the stack is being taken down" if self._stopping.is_set() else _ended(watched)
            why = ended or (unready(ready, place.address) if ready is not None else "")
            return bool(ended) or not why

        poll(settled, within_ns, every_ns=EVERY_NS, clock=self._clock)
        if why:
            limit = "" if ended else f" within {within_ns / 1e9:g} s"
            logs = [last_lines(_tail(other.log), of=f"{name} ({other.log})") for name, other in watched.items()]
            raise EnvironmentBroke(
                "\n".join([f"{place.spec.name} is not ready{limit}: {why}", *logs]),
                hint="the services' own words stand above",
            )


def _ended(places: Mapping[str, _Place]) -> str:
    """The first service that has ended, in words; empty when none has.

    One that ended well and has no `ready:` is a job, such as filling a database, and has done it.
    """
    for name, place in places.items():
        if place.child is not None and place.pid() is None:
            code = place.child.returncode
            if code or place.spec.ready is not None:
                return f"{name} ended with {f'exit code {code}' if code >= 0 else f'signal {-code}'}"
    return ""


def _tail(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _LOG_TAIL_BYTES))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
