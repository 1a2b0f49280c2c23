"""Latency histograms with three significant digits: exact to merge, cheap to fill, compact on disk.

The buckets are HdrHistogram's (Gil Tene, http://hdrhistogram.org; `HdrHistogram(1, 3_600_000_000, 3)` in
microseconds): values below 2048 us have a bucket each; above, every power of two is cut into 1024 buckets, so a
bucket is at most 1/1024 of its value wide. A value is read back as the middle of its bucket: error <= 0.05 %.

    value v (us)          bucket                        width
    0 .. 2047             v                             1
    2048 .. 4095          1024 + (v >> 1)               2
    4096 .. 8191          2048 + (v >> 2)               4
    2^(10+s) .. 2^(11+s)  1024*s + (v >> s)             2^s

Encoded, a histogram is base64 of little-endian (uint16 bucket, uint32 count) pairs. A pair is six bytes, hence
eight characters without padding: the encodings of many histograms may be *joined as text* and decoded once,
which is what makes re-judging an hour of journal take well under a second.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterable

MAX_US = 3_600_000_000
PAIR = struct.Struct("<HI")
_MAX_COUNT = 0xFFFFFFFF


def bucket_of(us: int) -> int:
    """The bucket of a latency in whole microseconds (0 <= us <= MAX_US; the caller clamps and counts)."""
    if us < 2048:
        return us
    shift = us.bit_length() - 11
    return (shift << 10) + (us >> shift)


def bucket_low(bucket: int) -> int:
    """The smallest latency (us) that falls into `bucket`."""
    if bucket < 2048:
        return bucket
    shift = (bucket >> 10) - 1
    return (bucket - (shift << 10)) << shift


def bucket_middle(bucket: int) -> float:
    """The latency (us) that stands for `bucket`: the middle of the values it holds."""
    if bucket < 2048:
        return float(bucket)
    shift = (bucket >> 10) - 1
    return bucket_low(bucket) + ((1 << shift) - 1) / 2


class Histogram:
    """Counts by bucket. Filling costs one dict update; `clamped` counts values beyond MAX_US, never lost."""

    __slots__ = ("clamped", "counts")

    def __init__(self, counts: dict[int, int] | None = None) -> None:
        self.counts: dict[int, int] = {} if counts is None else counts
        self.clamped = 0

    def record(self, us: int) -> None:
        """Count one latency in microseconds; below zero counts as zero, beyond MAX_US as MAX_US."""
        if us > MAX_US:
            us = MAX_US
            self.clamped += 1
        elif us < 0:
            us = 0
        if us >= 2048:
            shift = us.bit_length() - 11
            us = (shift << 10) + (us >> shift)
        counts = self.counts
        counts[us] = counts.get(us, 0) + 1

    def add(self, other: Histogram) -> None:
        """Merge `other` into this one, exactly."""
        for bucket, count in other.counts.items():
            self.counts[bucket] = self.counts.get(bucket, 0) + count
        self.clamped += other.clamped

    @property
    def total(self) -> int:
        """How many values were recorded."""
        return sum(self.counts.values())

    def percentile_us(self, share: float) -> float | None:
        """The nearest-rank percentile (share 0.99 = P99) in microseconds, or None when empty."""
        total = self.total
        if not total:
            return None
        rank = max(1, -(-int(share * total * 1_000_000) // 1_000_000))
        seen = 0
        for bucket in sorted(self.counts):
            seen += self.counts[bucket]
            if seen >= rank:
                return bucket_middle(bucket)
        raise AssertionError("rank beyond total")

    def encode(self) -> str:
        """The text form described above; an empty histogram is the empty string."""
        parts = []
        for bucket in sorted(self.counts):
            count = self.counts[bucket]
            while count > _MAX_COUNT:
                parts.append(PAIR.pack(bucket, _MAX_COUNT))
                count -= _MAX_COUNT
            parts.append(PAIR.pack(bucket, count))
        return base64.b64encode(b"".join(parts)).decode("ascii")


def decode(texts: Iterable[str]) -> Histogram:
    """The merged histogram of encoded texts. Raises ValueError on a damaged text."""
    merged = Histogram()
    for bucket, count in PAIR.iter_unpack(base64.b64decode("".join(texts), validate=True)):
        merged.counts[bucket] = merged.counts.get(bucket, 0) + count
    return merged
