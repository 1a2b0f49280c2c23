"""Rows of data, dealt to users or iterations of one worker."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from typing import Any

from harness.declared import DataSource

Row = Mapping[str, Any]


class RanOutError(Exception):
    """Every row of a file has been used, and it is to stop then. The text says so."""


class Feed:
    """One worker's rows of a source, keyed as they are written: user.name.

    In sequence worker w of n has the rows w, w + n, w + 2n, ...: no two workers share one. With fewer rows than
    workers, those that would have none begin again with the others'. At random every worker draws from all rows.
    """

    def __init__(self, source: DataSource, rows: Iterable[Row], *, worker: int, workers: int, seed: int) -> None:
        self.source = source
        self._worker, self._workers = worker, workers
        self._drawn = random.Random(f"data {source.name} {seed} {worker}") if source.order == "random" else None  # noqa: S311 - load, not secrets
        self._rows: list[Row] = []
        self._next = 0
        self.total = 0
        beginning: list[Row] = []
        for number, row in enumerate(rows):
            self.total += 1
            keyed = {f"{source.name}.{column}": value for column, value in row.items()}
            if self._drawn is not None or number % workers == worker:
                self._rows.append(keyed)
            elif number < workers:
                beginning.append(keyed)
        if not self._rows and source.at_end == "again":
            self._rows = [beginning[worker % len(beginning)]] if beginning else []

    def take(self) -> Row:
        """The next row. Raises RanOutError."""
        if self._drawn is not None:
            return self._drawn.choice(self._rows)
        if self._next >= len(self._rows):
            if self.source.at_end == "stop" or not self._rows:
                shares = f", {len(self._rows)} of them this worker's" if self._workers > 1 else ""
                raise RanOutError(f"{self.source.file} ran out after {self.total} rows{shares}")
            self._next = 0
        row = self._rows[self._next]
        self._next += 1
        return row
