"""Doing something to a container and seeing that it took: the one way in which container faults act."""

from __future__ import annotations

from collections.abc import Callable

from harness.clients.docker import Docker, Document
from harness.clients.poll import poll
from harness.clock import Clock, SystemClock
from harness.errors import EnvironmentBroke
from harness.faults import Before
from harness.faults.container.facts import Container, facts

CONFIRM_NS = 10_000_000_000


class Hands:
    """Acts through Docker and reads back. Raises EnvironmentBroke when the Engine refuses or nothing changes."""

    def __init__(
        self, docker: Docker, clock: Clock | None = None, resolve: Callable[[str], str] = lambda name: name
    ) -> None:
        self.docker = docker
        self._clock = clock or SystemClock()
        self._resolve = resolve

    def look(self, container: str) -> Container:
        """The container as it is now, by id or name."""
        return facts(self.docker.inspect(container))

    def document(self, name: str) -> Document:
        """All that the Engine knows of a service or container that a fault names beside its own."""
        return self.docker.inspect(self._resolve(name))

    def do(
        self, action: Callable[[], None], container: str, done: Callable[[Container], bool], *, failed: str, hint: str
    ) -> None:
        """Act, then look until `done`. An error of the Engine is none when what was wanted is the case all the same:
        a container that is killed while we unpause it is not paused any more.
        """
        try:
            action()
        except EnvironmentBroke as error:
            if not done(self.look(container)):
                raise EnvironmentBroke(f"{failed}: {error}", hint=hint) from error
        if not poll(lambda: done(self.look(container)), CONFIRM_NS, clock=self._clock):
            raise EnvironmentBroke(f"{failed} within {CONFIRM_NS / 1e9:g} s", hint=hint)

    def start_if_killed(self, now: Container, before: Before) -> None:
        """Start the container if it is still the one of `before`, and the kernel killed it for its memory limit."""
        if now.oom_killed and not now.running and now.same_start(before):
            self.do(
                lambda: self.docker.start(now.id),
                now.id,
                lambda c: c.running,
                failed=f"container {now.name}, killed for its memory limit, does not start",
                hint=f"docker start {now.name}",
            )
