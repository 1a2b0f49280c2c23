"""Quantities as a reader wants them."""

from __future__ import annotations

import pytest

from harness.reports import words

NONE = words.NO_VALUE


@pytest.mark.parametrize(
    ("us", "text"),
    [(None, NONE), (0, "0 µs"), (850, "850 µs"), (999.6, "1 ms"), (12_500, "12.5 ms"), (999_999, "1 s"),
     (2_059_775.5, "2.06 s"), (125_000_000, "2 min 05 s")],
)  # fmt: skip
def test_latency(us: float | None, text: str) -> None:
    """Three digits in the unit that suits, never 1,000 of the smaller one."""
    assert words.duration_us(us) == text


@pytest.mark.parametrize(
    ("number", "unit", "text"),
    [(0.0042, "share", "0.42 %"), (1.0, "share", "100 %"), (1234.0, "number", "1,234"), (2.5, "number", "2.5"),
     (997.4, "per_s", "997/s"), (64e6, "bytes", "64 MB"), (5000.0, "users", "5,000 users"), (None, "us", NONE),
     (1_234_567.0, "", "1,234,567"), (12_345_678.9, "number", "12,345,679")],
)  # fmt: skip
def test_value_in_its_unit(number: float | None, unit: str, text: str) -> None:
    """Each unit of a finding has its words."""
    assert words.value(number, unit) == text


@pytest.mark.parametrize(
    ("bounds", "text"),
    [(None, NONE), ((None, None), NONE), ((390_000.0, 431_000.0), f"390{NONE}431 ms"),
     ((390_000.0, 1_200_000.0), "390 ms to 1.2 s"),
     ((390_000.0, None), "from 390 ms"), ((None, 431_000.0), "up to 431 ms")],
)  # fmt: skip
def test_interval(bounds: tuple[float | None, float | None] | None, text: str) -> None:
    """An open end bounds nothing, and says so."""
    assert words.interval(bounds, "us") == text


@pytest.mark.parametrize(
    ("observed", "limit", "text"),
    [(2060.0, 500.0, "312 % over"), (0.38, 0.005, "76 times the limit"), (8.0, 8.0, "on the limit"),
     (440.0, 500.0, "12 % under"), (None, 1.0, ""), (1.0, None, ""), (1.0, 0.0, "")],
)  # fmt: skip
def test_size_of_a_miss(observed: float | None, limit: float | None, text: str) -> None:
    """A miss is told relative to its limit; without a limit there is none."""
    assert words.miss(observed, limit) == text


@pytest.mark.parametrize(("seconds", "text"), [(45, "45 s"), (60, "1 min"), (125, "2 min 05 s"), (4200, "1 h 10 min")])
def test_clock(seconds: int, text: str) -> None:
    """Spans of a run."""
    assert words.clock(seconds * 1e9) == text
