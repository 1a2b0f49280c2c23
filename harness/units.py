"""Words for quantities, as people write them in YAML, and back: 250ms, 64MB, 0.5%.

Inside the harness time is integer nanoseconds and sizes are integer bytes; these functions are the border.
"""

from __future__ import annotations

import re

NS_PER_US = 1_000
NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000

_DURATION_NS = {
    "ns": 1,
    "us": NS_PER_US,
    "ms": NS_PER_MS,
    "s": NS_PER_S,
    "m": 60 * NS_PER_S,
    "min": 60 * NS_PER_S,
    "h": 3600 * NS_PER_S,
}
_SIZE_BYTES = {
    "B": 1,
    "KB": 1_000,
    "MB": 1_000_000,
    "GB": 1_000_000_000,
    "KIB": 1 << 10,
    "MIB": 1 << 20,
    "GIB": 1 << 30,
}
_PER_S = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|ms|min|s|m|h)", re.ASCII)
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMG]?i?B)", re.IGNORECASE | re.ASCII)
_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*/\s*(s|min|m|h)", re.ASCII)
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*%", re.ASCII)


def duration_ns(text: object) -> int:
    """Nanoseconds of `30s`, `1m30s`, `200ms`. Raises ValueError that says what was expected."""
    if isinstance(text, str):
        compact = text.replace(" ", "")
        parts = _DURATION_PART.findall(compact)
        if parts and "".join(number + unit for number, unit in parts) == compact:
            return round(sum(float(number) * _DURATION_NS[unit] for number, unit in parts))
    raise ValueError(f"expected a duration such as 30s, 200ms or 1m30s, got {text!r}")


def size_bytes(text: object) -> int:
    """Bytes of `64MB` (10^6) or `64MiB` (2^20). Raises ValueError that says what was expected."""
    match = _SIZE.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"expected a size such as 64MB or 512KiB, got {text!r}")
    return round(float(match[1]) * _SIZE_BYTES[match[2].upper()])


def percent_share(text: object) -> float:
    """The share 0.005 of `0.5%`. Raises ValueError that says what was expected."""
    match = _PERCENT.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"expected a percentage such as 0.5%, got {text!r}")
    return float(match[1]) / 100


def rate_per_s(text: object) -> float:
    """Arrivals per second of `500/s`, `50/min`, `2/h`. Raises ValueError that says what was expected."""
    match = _RATE.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"expected a rate such as 500/s or 50/min, got {text!r}")
    return float(match[1]) / _PER_S[match[2]]


def format_rate(per_s: float) -> str:
    """A rate in the largest unit in which it is at least one: 500/s, 50/min, 2/h."""
    for unit, seconds in (("s", 1.0), ("min", 60.0)):
        if per_s * seconds >= 1 or per_s == 0:
            return f"{_digits(per_s * seconds)}/{unit}"
    return f"{_digits(per_s * 3600)}/h"


def format_load(level: float, unit: str) -> str:
    """A level of load with its unit: 1,000 users; 400/s (unit rate, or per_s as a finding calls it)."""
    return format_rate(level) if unit in ("rate", "per_s") else f"{level:,.0f} {unit}"


def _digits(number: float) -> str:
    """Three digits that carry meaning, and every digit of a whole number."""
    whole = round(number)
    return f"{whole:,}" if number >= 1000 or abs(number - whole) < 1e-9 else f"{number:.3g}"


def format_duration(ns: int | float) -> str:
    """The shortest exact-enough word for a span: 850us, 12.5ms, 1.25s, 2m05s, 1h10m."""
    if ns < 0:
        return "-" + format_duration(-ns)
    if ns < NS_PER_MS:
        return f"{ns / NS_PER_US:.3g}us"
    if ns < NS_PER_S:
        return f"{ns / NS_PER_MS:.3g}ms"
    seconds = ns / NS_PER_S
    if seconds < 60:
        return f"{seconds:.3g}s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}m" + (f"{whole % 60:02d}s" if whole % 60 else "")
    return f"{whole // 3600}h" + (f"{whole % 3600 // 60:02d}m" if whole % 3600 // 60 else "")


def format_bytes(count: int | float) -> str:
    """Bytes for people, in powers of ten: 512B, 64.0MB, 1.2GB."""
    for unit, scale in (("GB", 1_000_000_000), ("MB", 1_000_000), ("KB", 1_000)):
        if abs(count) >= scale:
            return f"{count / scale:.3g}{unit}"
    return f"{count:.0f}B"


def format_percent(share: float) -> str:
    """A share as a percentage with as many digits as carry meaning: 0.5%, 12.3%, 0.012%."""
    return f"{share * 100:.3g}%"
