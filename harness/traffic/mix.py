"""Which user class the user number i is of: a pure sequence in which the weights hold at every prefix.

Of weights 3 and 1 it makes A A B A, A A B A, ...; at every prefix no class is a whole user away from its share.
Classes with a `fixed_count` come first, in turn, as Locust promises, and then no more of them.

Of several workers, the user goes to the one with the fewest users of its class, then with the fewest users: taking
turns by index alone would, with weights 1 and 1 and two workers, put each class on a worker of its own.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Generic, TypeVar

K = TypeVar("K")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassWeight:
    """A user class by name. A `fixed_count` above zero makes `weight` void."""

    name: str
    weight: float = 1.0
    fixed_count: int = 0


class Turns(Generic[K]):
    """Whose turn it is, for ever: at every prefix none is a whole turn away from its share.

    Tijdeman's algorithm for the chairman assignment problem (Discrete Mathematics 32, 1980): of those that have fallen
    far enough behind, the one that would be the first to be one behind. Plain smooth weighted round robin, as web
    servers have it, can be a whole one away: with 1, 1, 1, 1, 4, 4 at the ninth. Shares are whole numbers, so exact.
    """

    def __init__(self, weights: Mapping[K, float]) -> None:
        exact = {key: Fraction(str(weight)) for key, weight in weights.items() if weight > 0}
        scale = math.lcm(*(share.denominator for share in exact.values()))
        shares = {key: int(share * scale) for key, share in exact.items()}
        divisor = math.gcd(*shares.values())
        self._shares = {key: share // divisor for key, share in shares.items()}
        self.period = sum(self._shares.values())
        """After so many turns it begins again."""
        self._had = dict.fromkeys(self._shares, 0)
        self._turn = 0

    def next(self) -> K:
        """The one whose turn it is now."""
        shares, had, total = self._shares, self._had, self.period
        if len(shares) == 1:
            return next(iter(shares))
        self._turn += 1
        slack = 2 * len(shares) - 2
        behind = {key: slack * (share * self._turn - total * had[key]) for key, share in shares.items()}
        ready = (key for key in shares if behind[key] >= total)
        chosen = min(ready, key=lambda key: (total * (slack - 1) - behind[key]) / shares[key])
        had[chosen] += 1
        return chosen


class ClassSequence:
    """The classes of users 0, 1, 2, ... computed once and kept."""

    def __init__(self, classes: tuple[ClassWeight, ...]) -> None:
        self._names = _fixed_first(classes)
        weights = {entry.name: entry.weight for entry in classes if not entry.fixed_count and entry.weight > 0}
        self._turns = Turns(weights) if weights else None

    @property
    def limit(self) -> int | None:
        """How many users there can be at most: None unless every class has a fixed count."""
        return len(self._names) if self._turns is None else None

    def name_of(self, index: int) -> str | None:
        """The class of user `index`, or None when only fixed counts were asked for and all are there."""
        while len(self._names) <= index:
            if self._turns is None:
                return None
            self._names.append(self._turns.next())
        return self._names[index]


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
