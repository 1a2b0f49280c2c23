"""Which resource was at its limit when the target broke: read from the probes of the broken window.

Candidates are pools (`<name>_in_use` beside `<name>_size` of the same subject) and shares of a limit (CPU, memory,
CPU throttling). The fullest one beyond its threshold is named; one that was as full while the target still held is
not the cause.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.evidence import Resource, Window
from harness.verdict import Bottleneck

POOL_FULL = 0.9
SHARES_FULL = {"cpu": 0.9, "memory": 0.9, "throttled": 0.25}
# A resource that rose by less than this from the last good level did not cause the break.
RISE = 0.05


def bottleneck(broken: Window, good: Window | None) -> Bottleneck | None:
    """The resource at its limit in `broken` that was not there in `good`, or None when no probe saw one."""
    before = {(found.of, found.resource): fill for fill, found in _fills(good)} if good else {}
    candidates = [
        (fill, found)
        for fill, found in _fills(broken)
        if fill >= _threshold(found.resource) and fill - before.get((found.of, found.resource), 0.0) >= RISE
    ]
    return max(candidates, key=lambda pair: pair[0])[1] if candidates else None


def _threshold(resource: str) -> float:
    return SHARES_FULL.get(resource, POOL_FULL)


def _fills(window: Window) -> Iterator[tuple[float, Bottleneck]]:
    by_name = {(resource.of, resource.metric): resource for resource in window.resources}
    for (of, metric), resource in by_name.items():
        if metric in SHARES_FULL:
            yield resource.mean, Bottleneck(resource=metric, of=of, value=resource.mean, limit=1.0)
        elif metric.endswith("_in_use"):
            size = _size(by_name, of, metric.removesuffix("_in_use"))
            if size is not None and size.mean > 0:
                yield (
                    resource.mean / size.mean,
                    Bottleneck(resource=metric, of=of, value=resource.mean, limit=size.mean),
                )


def _size(by_name: dict[tuple[str, str], Resource], of: str, stem: str) -> Resource | None:
    for ending in ("_size", "_max", "_limit"):
        if (of, stem + ending) in by_name:
            return by_name[of, stem + ending]
    return None
