"""What one user has in mind: its rows, what was extracted for it, and what it does next."""

from __future__ import annotations

import random
import uuid
from typing import Any

from harness.traffic.declared.feeds import Feed
from harness.traffic.declared.program import Planned, Program
from harness.traffic.pacing import phase_of


class Supply:
    """What all users of a worker draw from: the program, rows, numbers and dice."""

    def __init__(self, program: Program, feeds: tuple[Feed, ...], *, worker: int, workers: int, seed: int) -> None:
        self.program = program
        self.user_feeds = tuple(feed for feed in feeds if feed.source.per == "user")
        self.iteration_feeds = tuple(feed for feed in feeds if feed.source.per == "iteration")
        self.seed = seed
        self.dice = random.Random(f"declared {seed} {worker}")  # noqa: S311 - load, not secrets
        self._workers = workers
        self._next_user = self._next_iteration = worker
        self._unique = program.names & {"seq", "uuid"}
        self.varies = bool(program.names or self.iteration_feeds)

    def number_user(self) -> int:
        """A number that no other user has, over all workers."""
        number = self._next_user
        self._next_user += self._workers
        return number

    def add_rows(self, values: dict[str, Any]) -> None:
        """Put in the rows that only one iteration has. Raises RanOutError."""
        for feed in self.iteration_feeds:
            values.update(feed.take())

    def add_unique(self, values: dict[str, Any]) -> None:
        """Put in what nobody else has, as far as anybody asks for it."""
        if "seq" in self._unique:
            values["seq"] = self._next_iteration
            self._next_iteration += self._workers
        if "uuid" in self._unique:
            values["uuid"] = str(uuid.UUID(int=self.dice.getrandbits(128), version=4))


class Visitor:
    """One user. `values` are those of the current iteration; `logged_in`: nothing stands before its first one."""

    __slots__ = ("_at", "_of_user", "_supply", "logged_in", "number", "values")

    def __init__(self, supply: Supply) -> None:
        self._supply = supply
        self.number = supply.number_user()
        self.logged_in = not supply.program.login
        self._of_user: dict[str, Any] | None = None
        self._at = int(phase_of(self.number, supply.seed) * len(supply.program.picks))
        self.values: dict[str, Any] = {}

    def greet(self) -> None:
        """Begin to be there, with rows of its own; what is drawn for an iteration is still to come. RanOutError."""
        if self._of_user is None:
            of_user: dict[str, Any] = {"user_number": self.number}
            for feed in self._supply.user_feeds:
                of_user |= feed.take()
            self._of_user = of_user
        if self._supply.varies:
            self.values = self._of_user.copy()
            self._supply.add_unique(self.values)

    def begin(self) -> None:
        """A new iteration, with the user's own values and those that are drawn for it. Raises RanOutError."""
        if self._supply.varies or self._of_user is None:
            self.greet()
            self._supply.add_rows(self.values)

    def log_in(self) -> None:
        """The login is done: what it extracted is the user's from now on."""
        self.logged_in = True
        if self._of_user is not None:
            self._of_user |= {name: self.values[name] for name in self._supply.program.kept}

    def pick(self) -> tuple[Planned, ...]:
        """What to do in this iteration."""
        program = self._supply.program
        at = self._at
        self._at = at + 1 if at + 1 < len(program.picks) else 0
        return program.activities[program.picks[at]]
