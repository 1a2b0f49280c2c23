"""Which user class the user number i is of: a pure sequence in which the weights hold at every prefix.

Smooth weighted round robin: each step every class gains its weight, the richest is drawn and pays the total. Of
weights 3 and 1 it makes A A B A, A A B A, ...; after any number of users no class is a whole user away from its share.
Classes with a `fixed_count` come first, in turn, as Locust promises, and then no more of them.
"""

from __future__ import annotations

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
            self._names.append(self._draw())
        return self._names[index]

    def _draw(self) -> str:
        for name, weight in self._weights.items():
            self._credit[name] += weight
        richest = max(self._credit, key=self._credit.__getitem__)
        self._credit[richest] -= self._total
        return richest


def _fixed_first(classes: tuple[ClassWeight, ...]) -> list[str]:
    names: list[str] = []
    turn = 0
    while any(entry.fixed_count > turn for entry in classes):
        names.extend(entry.name for entry in classes if entry.fixed_count > turn)
        turn += 1
    return names
