"""Quantities as a reader wants them: 1,234, 410 ms, 2.1 s, 0.42 %, and the size of a miss."""

from __future__ import annotations

from harness.units import NS_PER_S, format_load

NO_VALUE = "\N{EN DASH}"


def duration_us(us: float | None) -> str:
    """A latency: 850 µs, 12.5 ms, 1.25 s, 2 min 05 s."""
    if us is None:
        return NO_VALUE
    for unit, scale in (("µs", 1.0), ("ms", 1e3), ("s", 1e6)):
        scaled = us / scale
        if float(f"{scaled:.3g}") < (60 if unit == "s" else 1000):
            return f"{_figures(scaled)} {unit}"
    return clock(us * 1000)


def clock(ns: float) -> str:
    """A span on a run's scale: 45 s, 2 min 05 s, 1 h 10 min."""
    whole = round(ns / NS_PER_S)
    if abs(whole) < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min" + (f" {whole % 60:02d} s" if whole % 60 else "")
    return f"{whole // 3600} h" + (f" {whole % 3600 // 60:02d} min" if whole % 3600 // 60 else "")


def percent(share: float | None) -> str:
    """A share with as many digits as carry meaning: 0.42 %, 12.3 %, 100 %."""
    return NO_VALUE if share is None else f"{_figures(share * 100)} %"


def count(number: float | None) -> str:
    """A number with thousands separators; fractions keep three significant digits."""
    if number is None:
        return NO_VALUE
    return f"{number:,.0f}" if abs(number) >= 100 or number == int(number) else _figures(number)


def size(number: float) -> str:
    """Bytes in powers of ten: 512 B, 64 MB, 1.2 GB."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if abs(number) >= scale:
            return f"{_figures(number / scale)} {unit}"
    return f"{number:.0f} B"


def value(number: float | None, unit: str) -> str:
    """A finding's value in its unit (us, share, bytes, per_s, number, users); an unknown unit is printed as it is."""
    if number is None:
        return NO_VALUE
    if unit == "us":
        return duration_us(number)
    if unit == "share":
        return percent(number)
    if unit == "bytes":
        return size(number)
    if unit in {"number", ""}:
        return count(number)
    return f"{count(number)}{'/s' if unit == 'per_s' else f' {unit}'}"


def bracket(good: float | None, bad: float, unit: str, *, broke: str = "breaks") -> str:
    """Between which loads it breaks: Breaks between 500 and 1,000 users, Breaks between 200/s and 400/s."""
    if good is None:
        return f"{broke} at or below {format_load(bad, unit)}"
    breaks = "Breaks" if broke[0].isupper() else "breaks"
    return f"{breaks} between {format_load(good, unit).removesuffix(f' {unit}')} and {format_load(bad, unit)}"


def interval(bounds: tuple[float | None, float | None] | None, unit: str) -> str:
    """An interval in its unit: 390-431 ms, from 390 ms, up to 431 ms; an open end bounds nothing."""
    if bounds is None or bounds == (None, None):
        return NO_VALUE
    low, high = value(bounds[0], unit), value(bounds[1], unit)
    if bounds[0] is None:
        return f"up to {high}"
    if bounds[1] is None:
        return f"from {low}"
    number, space, word = low.partition(" ")
    same = word == high.partition(" ")[2] and "-" not in low
    return f"{number if same and space else low}{NO_VALUE}{high}" if same else f"{low} to {high}"


def things(number: int) -> str:
    """1 thing, 2 things."""
    return f"{number} thing{'s' * (number != 1)}"


def miss(observed: float | None, limit: float | None) -> str:
    """How far a value lies from its limit: 312 % over, 12 % under, 76 times the limit; empty without a limit."""
    if observed is None or limit is None or limit == 0:
        return ""
    share = (observed - limit) / abs(limit)
    if abs(share) < 0.005:
        return "on the limit"
    if share >= 9:
        return f"{observed / limit:,.0f} times the limit"
    return f"{abs(share) * 100:.0f} % {'over' if share > 0 else 'under'}"


def _figures(number: float) -> str:
    text = f"{number:.3g}"
    return f"{number:,.0f}" if "e" in text and abs(number) >= 1 else text
