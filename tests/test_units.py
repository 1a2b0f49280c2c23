"""Quantities as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.units import (
    NS_PER_MS,
    NS_PER_S,
    NS_PER_US,
    duration_ns,
    format_bytes,
    format_duration,
    format_percent,
    format_rate,
    percent_share,
    rate_per_s,
    size_bytes,
)


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("0s", 0),
        ("1ns", 1),
        ("250us", 250 * NS_PER_US),
        ("200ms", 200 * NS_PER_MS),
        ("1.5s", 1500 * NS_PER_MS),
        ("30s", 30 * NS_PER_S),
        ("1m30s", 90 * NS_PER_S),
        ("2min", 120 * NS_PER_S),
        ("1h 10m", 4200 * NS_PER_S),
    ],
)
def test_a_duration_is_read(text: str, ns: int) -> None:
    """Every unit, alone and in a row."""
    assert duration_ns(text) == ns


@pytest.mark.parametrize("text", ["", "30", "s", "-1s", "1 year", "1s x", "1e3s", "\u0661s", 30, None, True, ["1s"]])
def test_what_is_no_duration_is_refused(text: object) -> None:
    """A number without a unit could be anything, so it is nothing; the message shows what came."""
    with pytest.raises(ValueError, match="expected a duration such as 30s, 200ms or 1m30s, got"):
        duration_ns(text)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0B", 0),
        ("64B", 64),
        ("1KB", 1000),
        ("64MB", 64_000_000),
        ("1.5GB", 1_500_000_000),
        ("512KiB", 524_288),
        ("1 mib", 1 << 20),
    ],
)
def test_a_size_is_read(text: str, count: int) -> None:
    """Powers of ten and of two, in either case."""
    assert size_bytes(text) == count


@pytest.mark.parametrize("text", ["64", "MB", "-1MB", "1TB", 64, None, "1MB/s"])
def test_what_is_no_size_is_refused(text: object) -> None:
    """A number without a unit is refused."""
    with pytest.raises(ValueError, match="expected a size such as 64MB or 512KiB, got"):
        size_bytes(text)


@pytest.mark.parametrize(("text", "share"), [("0%", 0.0), ("0.5%", 0.005), ("100%", 1.0), ("12 %", 0.12)])
def test_a_percentage_is_read_as_a_share(text: str, share: float) -> None:
    """0.5% is 0.005."""
    assert percent_share(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["0.5", "%", "-1%", 0.5, None])
def test_what_is_no_percentage_is_refused(text: object) -> None:
    """A bare 0.5 could mean half or half a percent, so it is refused."""
    with pytest.raises(ValueError, match=r"expected a percentage such as 0\.5%, got"):
        percent_share(text)


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (850 * NS_PER_US, "850us"),
        (12_500 * NS_PER_US, "12.5ms"),
        (1250 * NS_PER_MS, "1.25s"),
        (125 * NS_PER_S, "2m05s"),
        (120 * NS_PER_S, "2m"),
        (4200 * NS_PER_S, "1h10m"),
        (-NS_PER_S, "-1s"),
    ],
)
def test_a_span_is_written(ns: int, text: str) -> None:
    """The shortest word that says enough."""
    assert format_duration(ns) == text


@settings(deadline=None)
@given(st.integers(min_value=1, max_value=59).map(lambda seconds: seconds * NS_PER_S))
def test_whole_seconds_survive_writing_and_reading(ns: int) -> None:
    """Writing and reading a span of whole seconds gives it back."""
    assert duration_ns(format_duration(ns)) == ns


@settings(deadline=None)
@given(st.integers(min_value=1, max_value=72 * 60).map(lambda minutes: minutes * 60 * NS_PER_S))
def test_whole_minutes_survive_writing_and_reading(ns: int) -> None:
    """The same for minutes and hours."""
    assert duration_ns(format_duration(ns)) == ns


def test_bytes_and_shares_are_written_for_people() -> None:
    """Powers of ten; as many digits as carry meaning."""
    assert [format_bytes(count) for count in (512, 64_000_000, 1_250_000_000)] == ["512B", "64MB", "1.25GB"]
    assert [format_percent(share) for share in (0.005, 0.1234, 0.00012)] == ["0.5%", "12.3%", "0.012%"]


@pytest.mark.parametrize(
    ("text", "per_s", "again"),
    [("500/s", 500.0, "500/s"), ("50/min", 50 / 60, "50/min"), ("90/m", 1.5, "1.5/s"), ("2 / h", 2 / 3600, "2/h")],
)
def test_a_rate_is_read_and_written(text: str, per_s: float, again: str) -> None:
    """Per second inside; the largest unit in which it is at least one for people."""
    assert rate_per_s(text) == pytest.approx(per_s)
    assert format_rate(rate_per_s(text)) == again


@pytest.mark.parametrize("text", ["500", 500, "500/d", "/s", "-5/s", "5/s/s", None])
def test_a_rate_without_its_unit_is_refused(text: object) -> None:
    """What a bare number would mean cannot be known."""
    with pytest.raises(ValueError, match=r"expected a rate such as 500/s or 50/min"):
        rate_per_s(text)
