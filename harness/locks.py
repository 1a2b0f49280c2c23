"""One harness at a target: two at once would each measure what the other breaks.

A lock is a file in the state folder, held with flock(2): the kernel lets it go when its holder dies, however it dies,
so there is no stale lock, and nothing is ever adopted. What a run starts for itself (processes, a compose project,
a Toxiproxy server) is nobody else's and needs no lock.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from harness import state
from harness.errors import BadInput, EnvironmentBroke
from harness.experiment import ComposeStack, Experiment, ExternalStack, Fault
from harness.stacks.addresses import host_port

FOLDER = "locks"
_PEERS = ("from",)
"""Parameters that name another container, which a partition parts the first one from."""
_HERE = frozenset({"localhost", "::1", "0.0.0.0", "::"})  # noqa: S104 - compared, not bound


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Who holds a lock. `since` is a wall clock time, for a person."""

    run: str
    experiment: str
    user: str
    pid: int
    since: str


def keys(experiment: Experiment) -> tuple[str, ...]:
    """What an experiment works at that is not its own, sorted: addresses, proxies of a given server, containers."""
    return tuple(sorted({*_addresses(experiment), *_proxies(experiment), *_containers(experiment)}))


def _addresses(experiment: Experiment) -> Iterator[str]:
    if isinstance(experiment.stack, ExternalStack):
        yield from map(_place, experiment.stack.addresses.values())
    if "://" in experiment.traffic.target:
        yield _place(experiment.traffic.target)


def _proxies(experiment: Experiment) -> Iterator[str]:
    if "://" in experiment.toxiproxy:
        for proxy in experiment.proxies:
            yield f"Toxiproxy {_place(experiment.toxiproxy)} proxy {proxy.name}"


def _containers(experiment: Experiment) -> Iterator[str]:
    """By name. Those of a compose stack are made for the run, under names of its own."""
    if isinstance(experiment.stack, ComposeStack):
        return
    for fault in experiment.faults:
        if fault.driver == "container":
            yield _victims(fault)
            yield from (f"container {fault.params[key]}" for key in _PEERS if key in fault.params)
    yield from (f"container {probe.of}" for probe in experiment.probes if probe.kind == "container")


def _victims(fault: Fault) -> str:
    chosen = fault.select
    return f"container {fault.on}" if chosen is None else f"containers {chosen.by} {chosen.pattern}"


def _place(address: str) -> str:
    """host:port, with one spelling for this host."""
    host, port = host_port(address)
    return f"{'127.0.0.1' if host in _HERE else host}:{port}"


class Held:
    """Locks that are held until `release`, the end of the `with`, or the end of the process."""

    def __init__(self) -> None:
        self._files: list[tuple[int, Path]] = []

    def __enter__(self) -> Held:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def add(self, key: str, owner: Owner) -> None:
        """Take one more. Raises BadInput when another harness has it."""
        path = state.made(FOLDER) / hashlib.sha256(key.encode()).hexdigest()[:32]
        file = _taken(path)
        if file is None:
            raise BadInput(
                f"another harness works at this target ({key}): {_told(path)}",
                hint="wait until it has ended, or stop it with: harness halt",
            )
        self._files.append((file, path))
        os.ftruncate(file, 0)
        os.write(file, json.dumps({"key": key, **asdict(owner)}).encode())

    def release(self) -> None:
        """Let all go. Twice is fine."""
        while self._files:
            file, path = self._files.pop()
            with suppress(OSError):
                path.unlink()  # while it is ours: who opened it meanwhile sees that it has gone, and makes a new one
            os.close(file)


def hold(wanted: tuple[str, ...], owner: Owner) -> Held:
    """Take all of `keys`, or none. Raises BadInput that says who has one, EnvironmentBroke when none can be made."""
    held = Held()
    try:
        for key in sorted(wanted):  # always in one order
            held.add(key, owner)
    except OSError as error:
        held.release()
        raise EnvironmentBroke(
            f"a lock cannot be written in {state.folder() / FOLDER}: {error.strerror}",
            hint=f"make room, or give another folder in {state.VARIABLE}; nothing was touched",
        ) from error
    except BaseException:
        held.release()
        raise
    return held


def _taken(path: Path) -> int | None:
    """The locked file, not inherited by children that are started; None when somebody has it."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is(path, file):
                return file
        except BlockingIOError:
            os.close(file)
            return None
        except BaseException:
            os.close(file)
            raise
        os.close(file)  # its last holder removed it between our two calls


def _is(path: Path, file: int) -> bool:
    """Whether a path still names the file that is open."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file))
    except FileNotFoundError:
        return False


def _told(path: Path) -> str:
    """Who has it, in its own words."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return (
            f"run {said['run']} of experiment {said['experiment']}, "
            f"user {said['user']}, pid {said['pid']}, since {said['since']}"
        )
    except (OSError, ValueError, KeyError, TypeError):  # it has just been taken, or let go
        return "it has not said yet who it is"
