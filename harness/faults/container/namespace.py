"""What faults in a container's own network namespace share: who may have them, their mark, and how they are undone.

They are done from this host, so the image needs nothing. A namespace ends with the container's start: after a restart
there is nothing to undo. What is put there carries our mark, so that it is found without any book.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress

from harness.clients.netns import Namespace, Netns, NotHereError
from harness.errors import BadInput, EnvironmentBroke
from harness.experiment import Fault
from harness.faults import Before, Felt
from harness.faults.container.facts import Container
from harness.faults.container.hands import Hands
from harness.journal import Json

MARK = "harness-"
SETTLE_NS = 4_000_000_000
"""A command that is under way when its caller dies may wait for the lock of iptables (LOCK_S), and still act then."""


def mark_of(container_id: str, fault: str) -> str:
    """The name of a fault's own chain: the same in every process, and within the 28 characters of a chain."""
    return f"{MARK}{hashlib.sha256(f'{container_id} {fault}'.encode()).hexdigest()[:16]}"


class Inside:
    """The frame of such a kind: `plan` what to do, `act`, and `undo` it, in a namespace that is held open."""

    instead = "use a toxic on its link"

    def __init__(self, hands: Hands, netns: Netns | None = None) -> None:
        self._hands = hands
        self._netns = netns or Netns()

    def check(self, now: Container, fault: Fault) -> None:
        """Refuse where there is no namespace of its own, no right or program to enter it, or somebody's rules in it.

        What would be done is first tried in an empty namespace, which shows what the kernel lacks.
        """
        if _borrowed(now):
            raise BadInput(
                f"fault {fault.name}: container {now.name} has no network of its own (network mode {now.network_mode})",
                hint=self.instead,
            )
        if sharing := self._sharing(now):
            raise BadInput(
                f"fault {fault.name}: container {sharing} lives in the network of {now.name}, which outlasts it so, "
                "and what is put there too",
                hint=self.instead,
            )
        if missing := self._netns.missing():
            raise EnvironmentBroke(f"fault {fault.name}: {missing}", hint=f"or {self.instead}")
        with self._netns.enter(now.pid, now.id) as inside:
            if taken := self.taken(inside):
                raise BadInput(
                    f"fault {fault.name}: in the network namespace of {now.name} there is {taken} already",
                    hint="`harness heal` removes what a harness has left; anything else is for its owner to remove",
                )
            plan = self.plan(now, fault, inside)
        try:
            self.act(self._netns.throw_away(), plan, rehearsal=True)
        except EnvironmentBroke as error:
            raise EnvironmentBroke(
                f"fault {fault.name}: this kernel cannot do `container: {fault.kind}`: {error}", hint=self.instead
            ) from error

    def _sharing(self, now: Container) -> str:
        """A container that was given this one's network, by name; "" when none was."""
        modes = {f"container:{word}" for word in (now.id, now.id[:12], now.name)}
        for one in self._hands.docker.containers({}):
            if (one.get("HostConfig") or {}).get("NetworkMode") in modes:
                return str((one.get("Names") or [one["Id"][:12]])[0]).lstrip("/")
        return ""

    def before(self, now: Container, fault: Fault) -> Mapping[str, Json]:
        """All that will be done, so that undoing asks nobody else."""
        with self._netns.enter(now.pid, now.id) as inside:
            return self.plan(now, fault, inside)

    def inject(self, now: Container, fault: Fault, before: Before) -> None:
        """Do it in the namespace of the very start that `before` saw, and read it back."""
        with self._netns.enter(now.pid, now.id) as inside:
            self.act(inside, before)
            if absent := self.absent(inside, before):
                raise EnvironmentBroke(
                    f"fault {fault.name}: {absent} is not in force in {now.name}", hint="somebody else changes it too"
                )

    def heal(self, now: Container, fault: Fault, before: Before) -> None:
        """Remove what is ours, all or half of it; a namespace of a later start never had it."""
        if not now.running or not now.same_start(before):
            return
        try:
            with self._netns.enter(now.pid, now.id) as inside:
                self.undo(inside, before)
                left = self.left(inside, before)
        except EnvironmentBroke as error:
            raise EnvironmentBroke(
                f"container {now.name}, its network: {error}", hint=self.by_hand(fault, before)
            ) from error
        if left:
            raise EnvironmentBroke(
                f"container {now.name}: {left} is still in its network", hint=self.by_hand(fault, before)
            )

    def felt(self, now: Container, fault: Fault, before: Before) -> Felt:  # noqa: ARG002 - the contract's shape
        """In force, and met by somebody: by the kernel's own counters."""
        if not now.running or not now.same_start(before):
            return Felt(felt=False, proof=f"{now.name} has ended or was started anew: its network is another")
        with self._netns.enter(now.pid, now.id) as inside:
            if absent := self.absent(inside, before):
                return Felt(felt=False, proof=f"{absent} is not in {now.name}: somebody removed it")
            return self.met(inside, now, before)

    def unlike(self, now: Container, fault: Fault, before: Before) -> tuple[str, ...]:
        """What of this fault is still in the namespace of the very start that it was put in."""
        if not now.running or not now.same_start(before):
            return ()
        with suppress(NotHereError), self._netns.enter(now.pid, now.id) as inside:
            if left := self.left(inside, before):
                return (f"container {now.name}: {left} is still in its network; type: {self.by_hand(fault, before)}",)
        return ()

    def marked_in(self, now: Container) -> tuple[str, ...]:
        """What a container's namespace has of ours, one line each. Where none can be entered, none of ours was made."""
        if _borrowed(now) or not now.running or self._netns.missing():
            return ()
        with suppress(NotHereError), self._netns.enter(now.pid, now.id) as inside:
            return tuple(
                f"container {now.name}: {mark} in its network (it would end with a restart of the container)"
                for mark in self.marked(inside)
            )
        return ()

    def settle_ns(self, fault: Fault, before: Before) -> int:  # noqa: ARG002 - the contract's shape
        """See SETTLE_NS."""
        return SETTLE_NS

    def by_hand(self, fault: Fault, before: Before) -> str:  # noqa: ARG002 - the contract's shape
        """A line for a shell, as root on the host of the container."""
        pid = f"$(docker inspect -f '{{{{.State.Pid}}}}' {str(before['id'])[:12]})"
        return f"nsenter -t {pid} -n sh -c '{'; '.join(self.commands(before))}'"

    def taken(self, inside: Namespace) -> str:
        """What is there that forbids the fault, in words."""
        raise NotImplementedError

    def marked(self, inside: Namespace) -> Sequence[str]:
        """What carries our mark, of this or any other fault of the same file, in words."""
        raise NotImplementedError

    def plan(self, now: Container, fault: Fault, inside: Namespace) -> Mapping[str, Json]:
        """What will be done, as JSON."""
        raise NotImplementedError

    def act(self, inside: Namespace, before: Before, *, rehearsal: bool = False) -> None:
        """Do what is planned; a rehearsal happens in an empty namespace, which has only loopback."""
        raise NotImplementedError

    def absent(self, inside: Namespace, before: Before) -> str:
        """What of it is not there, in words."""
        raise NotImplementedError

    def undo(self, inside: Namespace, before: Before) -> None:
        """Remove what of it is there."""
        raise NotImplementedError

    def left(self, inside: Namespace, before: Before) -> str:
        """What of it is still there, in words."""
        raise NotImplementedError

    def met(self, inside: Namespace, now: Container, before: Before) -> Felt:
        """Whether packets met it."""
        raise NotImplementedError

    def commands(self, before: Before) -> Sequence[str]:
        """What undoes it, inside, for a shell."""
        raise NotImplementedError


def _borrowed(now: Container) -> bool:
    return now.network_mode in {"host", "none"} or now.network_mode.startswith("container:")
