"""A toxic of a proxy: its settings, and which connections it hits."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b

from harness.proxy.toxics import STAGES
from harness.proxy.toxics.stage import Line, Stage


class Toxic:
    """Settings that an update changes in place, so that every stage made from it sees them.

    Whether it hits a connection is a pure function of (seed, proxy, name, how often that name was added, number of
    the connection): the same run hits the same connections, and no other toxic moves the draw. Because the
    draw stays, raising `toxicity` only adds connections and lowering it only frees some.
    """

    def __init__(self, *, key: str, name: str, kind: str, stream: str) -> None:
        self.key = key
        self.name = name
        self.kind = kind
        self.stream = stream
        self.toxicity = 1.0
        self.attributes: dict[str, int] = dict.fromkeys(STAGES[kind].words, 0)

    def draw(self, connection: int) -> int:
        """64 random bits for one connection."""
        return int.from_bytes(blake2b(f"{self.key}/{connection}".encode(), digest_size=8).digest(), "big")

    def hits(self, connection: int) -> bool:
        """Whether the toxicity chose this connection; 0 chooses none, 1 chooses all."""
        if self.toxicity >= 1:
            return True
        return self.draw(connection) < self.toxicity * 2.0**64

    def stage(self, line: Line, connection: int) -> Stage:
        """Put the toxic to work on one link; jitter and sizes are drawn from the connection's own source."""
        return STAGES[self.kind](line, self.attributes, self.draw(connection))

    def as_json(self) -> Mapping[str, object]:
        """As the API shows it."""
        return {
            "attributes": self.attributes,
            "name": self.name,
            "type": self.kind,
            "stream": self.stream,
            "toxicity": int(self.toxicity) if self.toxicity == int(self.toxicity) else self.toxicity,
        }
