"""The probe seam: one reading of one subject. A dead subject raises; it never reads as zero."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Probe(Protocol):
    """Reads numbers. Called in a worker thread under a time limit, about once a second."""

    def read(self) -> Mapping[str, float]:
        """Metric name -> value in base units (share, bytes, seconds, counts). Raises HarnessError when dead."""


class NoProbe:
    """The smallest probe that keeps the contract: alive, and with nothing to say."""

    def read(self) -> Mapping[str, float]:
        """No metrics."""
        return {}
