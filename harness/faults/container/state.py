"""Faults of a container's state: kill, stop, restart, pause.

kind     what a client sees: new connection | held connection     undone by
kill     refused | end of stream                                   start
stop     refused | end of stream, after a grace period             start
restart  refused for a moment | end of stream                      (start, if it was left half-way)
pause    connects and hangs | hangs                                unpause
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from harness.errors import BadInput
from harness.experiment import Fault
from harness.faults import Before, Felt
from harness.faults.container.facts import Container
from harness.faults.container.hands import Hands
from harness.journal import Json

ENDING_SIGNALS = ("KILL", "TERM", "INT", "QUIT", "HUP", "ABRT", "USR1", "USR2")
"""Signals that end a process unless it handles them. A STOP is a pause, and nothing would undo it."""


def signal_of(fault: Fault) -> str:
    """The signal that a fault asks for, as Docker writes it: KILL unless said otherwise."""
    return str(fault.params.get("signal", "KILL")).upper().removeprefix("SIG")


def refuse_what_starts_anew(now: Container, fault: Fault) -> None:
    """Refuse faults after which the container would not be what, or where, it was."""
    if now.auto_remove:
        raise BadInput(
            f"fault {fault.name}: container {now.name} was started with --rm: it would be gone for good",
            hint="start it without --rm",
        )
    if now.loose_ports:
        raise BadInput(
            f"fault {fault.name}: container {now.name} publishes {', '.join(now.loose_ports)} on a random host port, "
            f"which a {fault.kind} changes: nobody would find it again",
            hint="publish on a fixed port, such as 127.0.0.1:18080:8080",
        )


class _Ends:
    """What kill, stop and restart share: the container must be startable again, and healing is starting it."""

    def __init__(self, hands: Hands) -> None:
        self._hands = hands

    def check(self, now: Container, fault: Fault) -> None:
        refuse_what_starts_anew(now, fault)

    def before(self, now: Container, fault: Fault) -> Mapping[str, Json]:  # noqa: ARG002 - the contract's shape
        return {}

    def heal(self, now: Container, fault: Fault, before: Before) -> None:  # noqa: ARG002
        """Start it, unless it runs or somebody has started it since: what happens after that is not our doing."""
        if now.running or not now.same_start(before):
            return
        self._hands.do(
            lambda: self._hands.docker.start(now.id),
            now.id,
            lambda c: c.running,
            failed=f"container {now.name} does not start",
            hint=f"docker start {now.name}; docker logs {now.name}",
        )

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
        """Also refuse signals that end nothing."""
        if signal_of(fault) not in ENDING_SIGNALS:
            raise BadInput(
                f"fault {fault.name}: signal {signal_of(fault)} does not end a process",
                hint=f"one of {', '.join(ENDING_SIGNALS)}; to freeze it use `container: pause`",
            )
        refuse_what_starts_anew(now, fault)

    def inject(self, now: Container, fault: Fault, before: Before) -> None:
        """Send it and wait for the end."""
        hint = "the first process of a container ignores signals that it does not handle: use signal: KILL"
        self._end(lambda: self._hands.docker.kill(now.id, signal_of(fault)), fault, before, hint)


class Stop(_Ends):
    """`docker stop`: the stop signal, the container's own grace period, then SIGKILL."""

    def inject(self, now: Container, fault: Fault, before: Before) -> None:
        """Stop it and see that it ended."""
        self._end(lambda: self._hands.docker.stop(now.id), fault, before, f"docker stop {now.name}")


class Restart(_Ends):
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

    def felt(self, now: Container, fault: Fault, before: Before) -> Felt:  # noqa: ARG002
        """Still frozen, and the same start."""
        felt = now.paused and now.same_start(before)
        return Felt(felt=felt, proof=f"{now.name} is {'' if now.paused else 'not '}paused (state read from Docker)")
