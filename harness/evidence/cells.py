"""Traffic rows as columns: what percentiles, shares and plots of any span and endpoint are computed from.

A row of the journal holds up to four encoded histograms. Here all of them are decoded at once into parallel arrays
of pairs (row, column, bucket, count), sorted by second, so that a span of seconds is a slice and every question is a
mask and a sum. Percentiles come only from merged counts, never from averages.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from harness.histogram import PAIR, bucket_middle, bucket_of
from harness.journal import Traffic

Column = Literal["due_ok", "due_failed", "service_ok", "service_failed"]
COLUMNS: tuple[Column, ...] = ("due_ok", "due_failed", "service_ok", "service_failed")
DUE: tuple[Column, ...] = ("due_ok", "due_failed")
SERVICE: tuple[Column, ...] = ("service_ok", "service_failed")

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

_PAIR_DTYPE = np.dtype([("bucket", "<u2"), ("count", "<u4")])
_CHARS_PER_PAIR = PAIR.size * 4 // 3
LAST_BUCKET = 23_552
MIDDLES = np.array([bucket_middle(bucket) for bucket in range(LAST_BUCKET)])
"""The latency (us) that stands for each bucket."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """Columns over rows (`second`, `endpoint`, counts; `failed` is rows x classes) and over histogram pairs.

    Rows are sorted by second and pairs by row. Build with `cells`; cut with `span`.
    """

    endpoints: tuple[str, ...]
    classes: tuple[str, ...]
    second: Ints
    endpoint: Ints
    started: Ints
    finished: Ints
    lost: Ints
    clamped: Ints
    failed: Ints
    pair_row: Ints
    pair_column: Ints
    pair_bucket: Ints
    pair_count: Ints

    def span(self, first: int, last: int) -> Cells:
        """The cells of seconds first <= s < last: slices, no copies of the pairs."""
        low, high = (int(edge) for edge in np.searchsorted(self.second, (first, last)))
        pair_low, pair_high = (int(edge) for edge in np.searchsorted(self.pair_row, (low, high)))
        rows, pairs = slice(low, high), slice(pair_low, pair_high)
        return Cells(
            endpoints=self.endpoints,
            classes=self.classes,
            second=self.second[rows],
            endpoint=self.endpoint[rows],
            started=self.started[rows],
            finished=self.finished[rows],
            lost=self.lost[rows],
            clamped=self.clamped[rows],
            failed=self.failed[rows],
            pair_row=self.pair_row[pairs] - low,
            pair_column=self.pair_column[pairs],
            pair_bucket=self.pair_bucket[pairs],
            pair_count=self.pair_count[pairs],
        )

    def of(self, endpoint: str) -> Mask:
        """A mask over rows: those of `endpoint`, or all for the empty name. Raises ValueError for an unknown one."""
        if not endpoint:
            return np.ones(len(self.second), dtype=bool)
        return np.asarray(self.endpoint == self.endpoints.index(endpoint), dtype=bool)

    def _pairs(self, columns: Sequence[Column], endpoint: str) -> Mask:
        wanted = np.array([column in columns for column in COLUMNS])
        mask = wanted[self.pair_column]
        if endpoint:
            mask &= self.of(endpoint)[self.pair_row]
        return np.asarray(mask, dtype=bool)

    def counts(self, columns: Sequence[Column] = DUE, endpoint: str = "") -> Floats:
        """Merged counts by bucket, length LAST_BUCKET."""
        pairs = self._pairs(columns, endpoint)
        found = np.bincount(self.pair_bucket[pairs], weights=self.pair_count[pairs], minlength=LAST_BUCKET)
        return found.astype(np.float64)

    def table(self) -> Floats:
        """Merged counts of everything at once: an array columns x endpoints x LAST_BUCKET."""
        shape = (len(COLUMNS), max(1, len(self.endpoints)), LAST_BUCKET)
        key = (self.pair_column * shape[1] + self.endpoint[self.pair_row]) * LAST_BUCKET + self.pair_bucket
        found = np.bincount(key, weights=self.pair_count, minlength=shape[0] * shape[1] * shape[2])
        return found.astype(np.float64).reshape(shape)

    def over(self, limit_us: float, seconds: Sequence[int], endpoint: str = "") -> Floats:
        """By second: how many answers, of any outcome and counted from their due time, took longer than the limit."""
        pairs = self._pairs(DUE, endpoint) & (self.pair_bucket > bucket_of(int(limit_us)))
        return _sum_by_second(self.second[self.pair_row[pairs]], self.pair_count[pairs], seconds)

    def latency_sum_us(self, seconds: Sequence[int], endpoint: str = "") -> Floats:
        """By second: the sum of all answers' latencies from their due time, in microseconds (for means)."""
        pairs = self._pairs(DUE, endpoint)
        weights = self.pair_count[pairs] * MIDDLES[self.pair_bucket[pairs]]
        return _sum_by_second(self.second[self.pair_row[pairs]], weights, seconds)

    def by_second(self, column: Ints, seconds: Sequence[int], endpoint: str = "") -> Floats:
        """One of this object's row columns (say `finished`), summed by second."""
        rows = self.of(endpoint)
        return _sum_by_second(self.second[rows], column[rows], seconds)

    def percentiles_by_second(
        self, first: int, last: int, shares: Sequence[float], endpoint: str = ""
    ) -> tuple[Floats, ...]:
        """For plots: one array of microseconds per share over seconds first..last, NaN where nothing answered."""
        part = self.span(first, last)
        pairs = part._pairs(DUE, endpoint)
        second = part.second[part.pair_row[pairs]]
        order = np.lexsort((part.pair_bucket[pairs], second))
        bucket, count = part.pair_bucket[pairs][order], part.pair_count[pairs][order]
        edges = np.searchsorted(second[order], np.arange(first, last + 1))
        found = tuple(np.full(max(0, last - first), np.nan) for _ in shares)
        for slot in range(last - first):
            low, high = edges[slot], edges[slot + 1]
            if high > low:
                running = np.cumsum(count[low:high])
                for column, share in zip(found, shares, strict=True):
                    at = np.searchsorted(running, rank(share, int(running[-1])))
                    column[slot] = bucket_middle(int(bucket[low + at]))
        return found


def _sum_by_second(second: Ints, weights: Ints | Floats, seconds: Sequence[int]) -> Floats:
    if not len(seconds):
        return np.zeros(0)
    inside = (second >= seconds[0]) & (second <= seconds[-1])
    found = np.bincount(second[inside] - seconds[0], weights=weights[inside], minlength=len(seconds))
    return found.astype(np.float64)


def rank(share: float, total: int) -> int:
    """The nearest rank (from 1) of a percentile among `total` values; guards against 0.99 * 100 = 99.00000001."""
    return max(1, int(np.ceil(round(share * total, 9))))


def percentile(counts: Floats, share: float) -> float | None:
    """The nearest-rank percentile in microseconds of merged bucket counts, or None when empty."""
    running = np.cumsum(counts)
    total = int(running[-1]) if len(running) else 0
    if not total:
        return None
    return bucket_middle(int(np.searchsorted(running, rank(share, total))))


def cells(traffic: Iterable[Traffic]) -> Cells:
    """The columns of traffic rows, decoded in one go. Raises ValueError on a damaged histogram."""
    rows = sorted(traffic, key=lambda row: row.second)
    endpoints = tuple(sorted({row.endpoint for row in rows}))
    classes = tuple(sorted({name for row in rows for name in row.failed}))
    endpoint_id = {name: index for index, name in enumerate(endpoints)}
    class_id = {name: index for index, name in enumerate(classes)}
    failed = np.zeros((len(rows), len(classes)), dtype=np.int64)
    texts: list[str] = []
    for index, row in enumerate(rows):
        texts += (row.due_ok, row.due_failed, row.service_ok, row.service_failed)
        for name, count in row.failed.items():
            failed[index, class_id[name]] = count
    lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts)) // _CHARS_PER_PAIR
    pairs = np.frombuffer(base64.b64decode("".join(texts), validate=True), dtype=_PAIR_DTYPE)
    owner = np.repeat(np.arange(len(texts)), lengths)
    if len(owner) != len(pairs):
        raise ValueError("a histogram in the journal is damaged")

    def column(values: Iterable[int]) -> Ints:
        return np.fromiter(values, dtype=np.int64, count=len(rows))

    return Cells(
        endpoints=endpoints,
        classes=classes,
        second=column(row.second for row in rows),
        endpoint=column(endpoint_id[row.endpoint] for row in rows),
        started=column(row.started for row in rows),
        finished=column(row.finished for row in rows),
        lost=column(row.lost for row in rows),
        clamped=column(row.clamped for row in rows),
        failed=failed,
        pair_row=owner // len(COLUMNS),
        pair_column=owner % len(COLUMNS),
        pair_bucket=pairs["bucket"].astype(np.int64),
        pair_count=pairs["count"].astype(np.int64),
    )
