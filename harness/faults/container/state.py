"""Faults of a container's state: kill, stop, restart, pause.

kind     what a client sees: new connection | held connection     undone by
kill     refused | end of stream                                   start
stop     refused | end of stream, after a grace period             start
restart  refused for a moment | end of stream                      (start, if it was left half-way)
pause    connects and hangs | hangs                                unpause
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from typing import cast

from harness.errors import BadInput
from harness.experiment import Fault
from harness.faults import Before, Felt
from harness.faults.container.facts import Container
from harness.faults.container.hands import Hands
from harness.journal import Json
from harness.units import NS_PER_S

FREEZING_SIGNALS = ("STOP", "TSTP", "TTIN", "TTOU", "CONT")
"""Signals that freeze a process, or let it go on: no kill, and nothing would undo them."""
LONGEST_GRACE_S = 12
"""An injection must be over within 15 s, and killing what did not stop takes a moment."""


def signal_of(fault: Fault) -> str:
    """The signal that a fault asks for, as Docker writes it: KILL unless said otherwise. Raises BadInput."""
    name = str(fault.params.get("signal", "KILL")).upper().removeprefix("SIG")
    if name.isdecimal() and int(name) in {number.value for number in signal.Signals}:
        name = signal.Signals(int(name)).name.removeprefix("SIG")
    if f"SIG{name}" not in signal.Signals.__members__:
        raise BadInput(f"fault {fault.name}: there is no signal {name!r}", hint="such as KILL or TERM")
    return name


def refuse_lost_ports(now: Container, fault: Fault) -> None:
    """Refuse faults after which the container would not be where it was."""
    if now.loose_ports:
        raise BadInput(
            f"fault {fault.name}: container {now.name} publishes {', '.join(now.loose_ports)} on a random host port, "
            "which changes with each start and each network: nobody would find it again",
            hint="publish on a fixed port, such as 127.0.0.1:18080:8080",
        )


def refuse_unaccepted_loss(now: Container, fault: Fault) -> None:
    """Refuse, unless it is accepted, what nobody can give back: a container started with --rm, files in tmpfs."""
    if fault.irreversible or not (now.auto_remove or now.tmpfs):
        return
    why = (
        "was started with --rm: its end would remove it for good"
        if now.auto_remove
        else f"keeps files in tmpfs ({', '.join(now.tmpfs)}): its end would lose them"
    )
    raise BadInput(
        f"fault {fault.name}: container {now.name}, which {fault.kind} may end, {why}",
        hint="if that may be, write `irreversible: accepted` on the fault",
    )


class _Ends:
    """What kill, stop and restart share: the container must be startable again, and healing is starting it."""

    def __init__(self, hands: Hands) -> None:
        self._hands = hands

    def check(self, now: Container, fault: Fault) -> None:
        refuse_unaccepted_loss(now, fault)
        refuse_lost_ports(now, fault)

    def before(self, now: Container, fault: Fault) -> Mapping[str, Json]:  # noqa: ARG002 - the contract's shape
        """`goes`: it removes itself when it ends."""
        return {"goes": now.auto_remove}

    def heal(self, now: Container, fault: Fault, before: Before) -> None:  # noqa: ARG002
        """Start it, unless it runs or somebody has started it since: what happens after that is not our doing."""
        if now.running or not now.same_start(before) or now.auto_remove:
            return
        self._hands.do(
            lambda: self._hands.docker.start(now.id),
            now.id,
            lambda c: c.running,
            failed=f"container {now.name} does not start",
            hint=f"docker start {now.name}; docker logs {now.name}",
        )

    def unlike(self, now: Container, fault: Fault, before: Before) -> tuple[str, ...]:
        if now.running or not now.same_start(before) or now.auto_remove:
            return ()
        return (f"container {now.name} does not run since the {fault.kind} of {fault.name} (docker start {now.name})",)

    def by_hand(self, fault: Fault, before: Before) -> str:
        if before["goes"]:
            return (
                f"echo 'container {before['name']} was started with --rm: after a {fault.kind} nothing brings it back'"
            )
        return f"docker start {before['id']}"

    def felt(self, now: Container, fault: Fault, before: Before) -> Felt:  # noqa: ARG002
        if not now.same_start(before):
            return Felt(felt=True, proof=f"{now.name} was started again at {now.started_at}")
        if now.running:
            return Felt(felt=False, proof=f"{now.name} has been running since {now.started_at}")
        return Felt(felt=True, proof=f"{now.name} has ended with exit code {now.exit_code} and is down")

    def _end(self, action: Callable[[], None], fault: Fault, before: Before, hint: str) -> None:
        self._hands.do(
            action,
            str(before["id"]),
            lambda c: not c.running or not c.same_start(before),
            failed=f"fault {fault.name}: container {before['name']} did not end",
            hint=hint,
        )


class Kill(_Ends):
    """A signal to the container's first process; in force when the container has ended."""

    def check(self, now: Container, fault: Fault) -> None:
        """Also refuse signals that freeze."""
        if signal_of(fault) in FREEZING_SIGNALS:
            raise BadInput(
                f"fault {fault.name}: signal {signal_of(fault)} does not end a process",
                hint="to freeze it use `container: pause`",
            )
        super().check(now, fault)

    def inject(self, now: Container, fault: Fault, before: Before) -> None:
        """Send it and wait for the end."""
        hint = "the first process of a container ignores signals that it does not handle: use signal: KILL"
        self._end(lambda: self._hands.docker.kill(now.id, signal_of(fault)), fault, before, hint)


class _Graceful(_Ends):
    """What stop and restart share: the Engine waits for the container's grace period, also when we are dead by then."""

    def check(self, now: Container, fault: Fault) -> None:
        super().check(now, fault)
        if not 0 <= now.grace_s <= LONGEST_GRACE_S:
            takes = "for ever" if now.grace_s < 0 else f"{now.grace_s} s"
            raise BadInput(
                f"fault {fault.name}: container {now.name} may take {takes} to stop (its grace period); "
                f"at most {LONGEST_GRACE_S} s can be waited for",
                hint="set stop_grace_period: 10s in compose, docker run --stop-timeout 10, or use `container: kill`",
            )

    def before(self, now: Container, fault: Fault) -> Mapping[str, Json]:
        return {**super().before(now, fault), "grace_s": now.grace_s}

    def settle_ns(self, fault: Fault, before: Before) -> int:  # noqa: ARG002 - the contract's shape
        return (cast("int", before["grace_s"]) + 2) * NS_PER_S


class Stop(_Graceful):
    """`docker stop`: the stop signal, the container's own grace period, then SIGKILL."""

    def inject(self, now: Container, fault: Fault, before: Before) -> None:
        """Stop it and see that it ended."""
        self._end(lambda: self._hands.docker.stop(now.id), fault, before, f"docker stop {now.name}")


class Restart(_Graceful):
    """`docker restart`: in force when the container runs anew."""

    def inject(self, now: Container, fault: Fault, before: Before) -> None:
        """Restart it and see that it is another start."""
        self._hands.do(
            lambda: self._hands.docker.restart(now.id),
            now.id,
            lambda c: c.running and not c.same_start(before),
            failed=f"fault {fault.name}: container {now.name} did not come back",
            hint=f"docker logs {now.name}",
        )


class Pause:
    """The freezer: no process of the container runs, its connections stay open."""

    def __init__(self, hands: Hands) -> None:
        self._hands = hands

    def check(self, now: Container, fault: Fault) -> None:
        """Any running container can be paused."""

    def before(self, now: Container, fault: Fault) -> Mapping[str, Json]:  # noqa: ARG002 - the contract's shape
        """The identity is all."""
        return {}

    def inject(self, now: Container, fault: Fault, before: Before) -> None:  # noqa: ARG002
        """Freeze it."""
        self._hands.do(
            lambda: self._hands.docker.pause(now.id),
            now.id,
            lambda c: c.paused,
            failed=f"fault {fault.name}: container {now.name} is not paused",
            hint=f"docker pause {now.name}",
        )

    def heal(self, now: Container, fault: Fault, before: Before) -> None:  # noqa: ARG002
        """Unfreeze it, if it is frozen and the same start: a pause after a restart is somebody else's."""
        if not now.paused or not now.same_start(before):
            return
        self._hands.do(
            lambda: self._hands.docker.unpause(now.id),
            now.id,
            lambda c: not c.paused,
            failed=f"container {now.name} is still paused",
            hint=f"docker unpause {now.name}",
        )

    def unlike(self, now: Container, fault: Fault, before: Before) -> tuple[str, ...]:
        """Still frozen, and the same start."""
        if not now.paused or not now.same_start(before):
            return ()
        return (f"container {now.name} is paused since {fault.name} (docker unpause {now.name})",)

    def by_hand(self, fault: Fault, before: Before) -> str:  # noqa: ARG002
        """An error of it means that it is not paused."""
        return f"docker unpause {before['id']}"

    def felt(self, now: Container, fault: Fault, before: Before) -> Felt:  # noqa: ARG002
        """Still frozen, and the same start."""
        felt = now.paused and now.same_start(before)
        return Felt(felt=felt, proof=f"{now.name} is {'' if now.paused else 'not '}paused (state read from Docker)")
