"""Faults on containers: kill, stop, restart, pause, disconnect, cpu, memory.

Undone by container id, never by name: a container that was recreated under the same name is not ours to touch, and
one that was removed needs no healing. State faults also compare the start time (see `facts.Container`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress

from harness.clients.docker import Docker, NoSuchContainerError
from harness.clock import Clock
from harness.errors import BadInput
from harness.experiment import Fault
from harness.faults import Before, Felt
from harness.faults.container.facts import PROTECT_LABEL, Container, Kind
from harness.faults.container.hands import Hands
from harness.faults.container.kinds import TABLE


class ContainerFaults:
    """The driver. `resolve` turns what a fault is `on` (a service, or any container) into a container id or name."""

    def __init__(
        self, resolve: Callable[[str], str], *, docker: Docker | None = None, clock: Clock | None = None
    ) -> None:
        self._hands = hands = Hands(docker or Docker(), clock)
        self._resolve = resolve
        self._kinds: Mapping[str, Kind] = {name: made(hands) for name, made in TABLE.items()}

    def check(self, fault: Fault) -> None:
        """Refuse a container that is missing, protected, not running or paused already, and what its kind refuses."""
        kind = self._kind(fault)
        now = self._look(fault)
        if now.protected:
            raise BadInput(
                f"fault {fault.name}: container {now.name} is protected (label {PROTECT_LABEL}=true)",
                hint="choose another; a protected container is never touched",
            )
        if not now.running or now.paused:
            state = "paused already" if now.paused else f"not running (exit code {now.exit_code})"
            raise BadInput(
                f"fault {fault.name}: container {now.name} is {state}",
                hint=f"docker {'unpause' if now.paused else 'start'} {now.name}",
            )
        kind.check(now, fault)

    def before(self, fault: Fault) -> Before:
        """The identity, and what the kind must restore."""
        now = self._look(fault)
        own = self._kind(fault).before(now, fault)
        return {"id": now.id, "name": now.name, "started_at": now.started_at, **own}

    def inject(self, fault: Fault, before: Before) -> None:
        """Put it in force on the very container that `before` saw. Raises EnvironmentBroke."""
        self._kind(fault).inject(self._hands.look(str(before["id"])), fault, before)

    def heal(self, fault: Fault, before: Before) -> None:
        """Take it back. A container that is gone needs nothing. Raises EnvironmentBroke with the command to type."""
        with suppress(NoSuchContainerError):
            self._kind(fault).heal(self._hands.look(str(before["id"])), fault, before)

    def felt(self, fault: Fault, before: Before) -> Felt:
        """The container as it is now, to be asked at the end of the fault, just before healing."""
        try:
            now = self._hands.look(str(before["id"]))
        except NoSuchContainerError:
            return Felt(felt=False, proof=f"container {before['name']} is gone: somebody removed it")
        return self._kind(fault).felt(now, fault, before)

    def _kind(self, fault: Fault) -> Kind:
        if fault.kind not in self._kinds:
            raise BadInput(
                f"fault {fault.name}: there is no container fault {fault.kind!r}",
                hint=f"known: {', '.join(self._kinds)}",
            )
        return self._kinds[fault.kind]

    def _look(self, fault: Fault) -> Container:
        try:
            return self._hands.look(self._resolve(fault.on))
        except NoSuchContainerError as error:
            raise BadInput(
                f"fault {fault.name}: there is no container {fault.on!r}",
                hint="name a service of the stack or a container of `docker ps`",
            ) from error
