"""Which user class the user number i is of: a pure sequence in which the weights hold at every prefix.

Smooth weighted round robin: each step every class gains its weight, the richest is drawn and pays the total. Of
weights 3 and 1 it makes A A B A, A A B A, ...; after any number of users no class is a whole user away from its share.
Classes with a `fixed_count` come first, in turn, as Locust promises, and then no more of them.

Of several workers, the user goes to the one with the fewest users of its class, then with the fewest users: taking
turns by index alone would, with weights 1 and 1 and two workers, put each class on a worker of its own.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassWeight:
    """A user class by name. A `fixed_count` above zero makes `weight` void."""

    name: str
    weight: float = 1.0
    fixed_count: int = 0


class ClassSequence:
    """The classes of users 0, 1, 2, ... computed once and kept."""

    def __init__(self, classes: tuple[ClassWeight, ...]) -> None:
        self._names = _fixed_first(classes)
        self._weights = {entry.name: entry.weight for entry in classes if not entry.fixed_count and entry.weight > 0}
        self._credit = dict.fromkeys(self._weights, 0.0)
        self._total = sum(self._weights.values())

    @property
    def limit(self) -> int | None:
        """How many users there can be at most: None unless every class has a fixed count."""
        return None if self._weights else len(self._names)

    def name_of(self, index: int) -> str | None:
        """The class of user `index`, or None when only fixed counts were asked for and all are there."""
        while len(self._names) <= index:
            if not self._weights:
                return None
            self._names.append(self.draw())
        return self._names[index]

    def draw(self) -> str:
        """The next class by weight alone, not kept: arrivals are too many to remember."""
        for name, weight in self._weights.items():
            self._credit[name] += weight
        richest = max(self._credit, key=self._credit.__getitem__)
        self._credit[richest] -= self._total
        return richest


class Roster:
    """The users that one worker owns, in the order of their global index. Every worker computes the same deal."""

    def __init__(self, sequence: ClassSequence, worker: int, workers: int) -> None:
        self._sequence = sequence
        self._worker = worker
        self._owned: list[int] = []
        self._dealt = 0
        self._of_class: dict[str | None, list[int]] = {}
        self._in_all = [0] * workers

    def count(self, total: int) -> int:
        """How many of the users 0 .. total-1 are this worker's."""
        while self._dealt < total:
            self._deal()
        return bisect_left(self._owned, total)

    def index_of(self, position: int) -> int:
        """The global index of this worker's user number `position` (from 0)."""
        while len(self._owned) <= position:
            self._deal()
        return self._owned[position]

    def _deal(self) -> None:
        index = self._dealt
        of_class = self._of_class.setdefault(self._sequence.name_of(index), [0] * len(self._in_all))
        owner = min(range(len(self._in_all)), key=lambda worker: (of_class[worker], self._in_all[worker]))
        of_class[owner] += 1
        self._in_all[owner] += 1
        if owner == self._worker:
            self._owned.append(index)
        self._dealt += 1


def _fixed_first(classes: tuple[ClassWeight, ...]) -> list[str]:
    names: list[str] = []
    turn = 0
    while any(entry.fixed_count > turn for entry in classes):
        names.extend(entry.name for entry in classes if entry.fixed_count > turn)
        turn += 1
    return names
