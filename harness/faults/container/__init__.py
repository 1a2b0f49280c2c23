"""Faults on containers, done to one or to several that a selector draws. What there is: `kinds.TABLE`.

`before` is `{"victims": [...]}`, each with its id, name and start time, and what its kind must restore. Undone by
container id, never by name: a container that was recreated under the same name is not ours to touch, and one that was
removed needs no healing. State faults also compare the start time (see `facts.Container`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from shlex import quote
from typing import cast

from harness.clients.docker import Docker, NoSuchContainerError
from harness.clock import Clock
from harness.errors import BadInput, EnvironmentBroke
from harness.experiment import Fault
from harness.faults import Before, Felt
from harness.faults.container.facts import ByHand, Container, Kind, Lingers, Marks, Outlasts, Parts
from harness.faults.container.hands import Hands
from harness.faults.container.kinds import TABLE
from harness.faults.container.together import together
from harness.faults.container.victims import Victims
from harness.journal import Json

SETTLE_NS = 1_500_000_000
"""How long a call of ours that the Engine has taken may still be at work after our death."""


class ContainerFaults:
    """The driver. `resolve` turns what a fault is `on` (a service, or any container) into a container id or name.

    `project` is the compose project that services of a selector belong to; "" for any. `share_of_service` is the most
    of a service's replicas that one fault may hit, `allowed` says by name and labels whether a container may be hit at
    all. Healing needs none of these.
    """

    def __init__(
        self,
        resolve: Callable[[str], str],
        *,
        seed: int = 0,
        project: str = "",
        share_of_service: float | None = None,
        allowed: Callable[[str, Mapping[str, str]], bool] = lambda _name, _labels: True,
        docker: Docker | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._hands = hands = Hands(docker or Docker(), clock, resolve)
        self._victims = Victims(hands, resolve, seed=seed, project=project, allowed=allowed)
        self._share_of_service = share_of_service
        self._kinds: Mapping[str, Kind] = {name: made(hands) for name, made in TABLE.items()}

    def check(self, fault: Fault) -> None:
        """Refuse a victim that is missing, protected, not running or paused already, and what its kind refuses."""
        kind = self._kind(fault)
        victims = self._free(fault, kind)
        if self._share_of_service is not None:
            self._victims.refuse_too_many(fault, victims, self._share_of_service)
        for now in victims:
            kind.check(now, fault)

    def victims(self, fault: Fault) -> tuple[str, ...]:
        """The names of the containers that the fault hits, for a person to read. Raises BadInput, EnvironmentBroke."""
        return tuple(now.name for now in self._victims.of(fault))

    def before(self, fault: Fault) -> Before:
        """The identity of each victim, and what the kind must restore. Refuses a state that has become not ours."""
        kind = self._kind(fault)
        return {"victims": [_identity(now, kind.before(now, fault)) for now in self._free(fault, kind)]}

    def inject(self, fault: Fault, before: Before) -> None:
        """Put it in force, at one time, on the very containers that `before` saw. Raises EnvironmentBroke."""
        kind = self._kind(fault)

        def one(victim: Before) -> None:
            now = self._hands.look(_id(victim))
            if not now.same_start(victim):
                raise EnvironmentBroke(
                    f"fault {fault.name}: container {now.name} was started anew meanwhile, at {now.started_at}",
                    hint="it restarts by itself, or somebody did it: docker logs " + now.name,
                )
            kind.inject(now, fault, victim)

        together(one, _each(before))

    def heal(self, fault: Fault, before: Before) -> None:
        """Take it back from each; one that is gone needs nothing. Raises EnvironmentBroke with the command to type."""
        kind = self._kind(fault)

        def one(victim: Before) -> None:
            try:
                kind.heal(self._hands.look(_id(victim)), fault, victim)
            except NoSuchContainerError:
                if isinstance(kind, Outlasts):
                    kind.heal_gone(fault, victim)

        together(one, _each(before))

    def felt(self, fault: Fault, before: Before) -> Felt:
        """By every victim, as it is now, to be asked at the end of the fault, just before healing."""
        proofs = [self._felt(fault, victim) for victim in _each(before)]
        return Felt(felt=all(one.felt for one in proofs), proof="; ".join(one.proof for one in proofs))

    def residue(self, known: Sequence[tuple[Fault, Before]]) -> tuple[str, ...]:
        """What of healed faults the Engine, or the container itself, still shows. Raises EnvironmentBroke."""
        lines = [
            line
            for fault, before in known
            for now, victim in self._still_there(before)
            for line in self._kind(fault).unlike(now, fault, victim)
        ]
        return tuple(dict.fromkeys(lines))

    def marks(self) -> tuple[str, ...]:
        """What carries our mark in any container that runs. Raises EnvironmentBroke."""
        kinds = [kind for kind in self._kinds.values() if isinstance(kind, Marks)]
        return tuple(line for now in self._running() for kind in kinds for line in kind.marks(now))

    def by_hand(self, fault: Fault, before: Before) -> str:
        """A command for each victim."""
        kind = self._kind(fault)
        commands = [
            kind.by_hand(fault, victim) if isinstance(kind, ByHand) else f"docker inspect {quote(str(victim['name']))}"
            for victim in _each(before)
        ]
        return "; ".join(commands)

    def settle_ns(self, fault: Fault, before: Before) -> int:
        """The Engine finishes what it was asked, whoever asked: a stop takes up to the container's grace period."""
        kind = self._kind(fault)
        if not isinstance(kind, Lingers):
            return SETTLE_NS
        return max((kind.settle_ns(fault, victim) for victim in _each(before)), default=SETTLE_NS)

    def _free(self, fault: Fault, kind: Kind) -> tuple[Container, ...]:
        """The victims, as they are now; all whom the fault reaches are seen to be free to be hit. Raises BadInput."""
        victims = self._victims.of(fault)
        if isinstance(kind, Parts):
            self._victims.refuse(fault, kind.other_end(fault))
        return victims

    def _felt(self, fault: Fault, victim: Before) -> Felt:
        try:
            now = self._hands.look(_id(victim))
        except NoSuchContainerError:
            if victim.get("goes"):
                return Felt(felt=True, proof=f"container {victim['name']} has ended and, as --rm says, is gone")
            return Felt(felt=False, proof=f"container {victim['name']} is gone: somebody removed it")
        return self._kind(fault).felt(now, fault, victim)

    def _still_there(self, before: Before) -> Iterator[tuple[Container, Before]]:
        for victim in _each(before):
            with suppress(NoSuchContainerError):
                yield self._hands.look(_id(victim)), victim

    def _running(self) -> Iterator[Container]:
        for listed in self._hands.docker.containers({}):
            with suppress(NoSuchContainerError):
                now = self._hands.look(str(listed["Id"]))
                if now.running:
                    yield now

    def _kind(self, fault: Fault) -> Kind:
        if fault.kind not in self._kinds:
            raise BadInput(
                f"fault {fault.name}: there is no container fault {fault.kind!r}",
                hint=f"known: {', '.join(self._kinds)}",
            )
        return self._kinds[fault.kind]


def _identity(now: Container, own: Mapping[str, Json]) -> dict[str, Json]:
    return {"id": now.id, "name": now.name, "started_at": now.started_at, **own}


def _each(before: Before) -> Sequence[Before]:
    return cast("Sequence[Before]", before.get("victims", ()))


def _id(victim: Before) -> str:
    return str(victim["id"])
