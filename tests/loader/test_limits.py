"""The one-line limits."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.experiment import Limit
from harness.loader.limits import PROBE_METRICS, REQUEST_METRICS, parse_limit, render_limit, samples_to_decide

SHAPE = "expected METRIC [of SUBJECT] < VALUE [in SCOPE] [for DURATION], such as: p95 < 500ms in steady, got "


def limit(text: str, metric: str, op: str, bound: float, unit: str, **rest: object) -> Limit:
    """A limit with the fields that are mostly empty left out."""
    return Limit(text=text, metric=metric, op=op, bound=bound, unit=unit, **{"of": "", **rest})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "expected",
    [
        limit("p95 < 500ms in steady", "p95", "<", 500_000, "us", scope=("steady",)),
        limit("p99<2s", "p99", "<", 2_000_000, "us"),
        limit("p99.9 <= 1m30s", "p99.9", "<=", 90_000_000, "us"),
        limit("errors < 0.5%", "errors", "<", 0.005, "share"),
        limit("errors > 10% for 30s", "errors", ">", 0.1, "share", sustain_ns=30_000_000_000),
        limit("rate >= 90/s", "rate", ">=", 90, "per_s"),
        limit("rate > 600/min in a, b for 5s", "rate", ">", 10, "per_s", scope=("a", "b"), sustain_ns=5_000_000_000),
        limit("cpu of api < 60%", "cpu", "<", 0.6, "share", of="api"),
        limit("memory of api < 75%", "memory", "<", 0.75, "share", of="api"),
        limit("memory of api < 200MB", "memory", "<", 200_000_000, "bytes", of="api"),
        limit("threads of api < 100", "threads", "<", 100, "number", of="api"),
        limit("db_pool_in_use < 8", "db_pool_in_use", "<", 8, "number"),
        limit("cache_hit_ratio of api > 80%", "cache_hit_ratio", ">", 0.8, "share", of="api"),
        limit("process_resident_memory_bytes < 64MB", "process_resident_memory_bytes", "<", 64_000_000, "bytes"),
        limit('hits{code="200"} of api > 5', 'hits{code="200"}', ">", 5, "number", of="api"),
        limit(
            'p95 of "POST /checkout" < 800ms in level-500',
            "p95",
            "<",
            800_000,
            "us",
            of="POST /checkout",
            scope=("level-500",),
        ),
        limit('errors of "GET /a in b for c" < 1%', "errors", "<", 0.01, "share", of="GET /a in b for c"),
        limit("p95 < 500 ms during slow-db", "p95", "<", 500_000, "us", scope=("slow-db",)),
    ],
    ids=lambda expected: expected.text,
)
def test_a_limit_is_read(expected: Limit) -> None:
    """Every part of the grammar, into the units that judges use."""
    found = parse_limit(expected.text)
    assert replace(found, bound=expected.bound) == expected
    assert found.bound == pytest.approx(expected.bound)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("p95 = 5", SHAPE + "'p95 = 5'; there is no <, <=, > or >= in it"),
        ("p95 == 500ms in <x>", SHAPE + "'p95 == 500ms in <x>'; use <, <=, > or >="),
        ("p95 <", SHAPE + "'p95 <'"),
        ("", SHAPE + "''; there is no <, <=, > or >= in it"),
        (95, SHAPE + "95"),
        (None, SHAPE + "None"),
        ("p95 < 1s" + " " * 300, SHAPE + "a text of 308 characters"),
        (
            "p95 of POST /checkout < 1s",
            SHAPE + "'p95 of POST /checkout < 1s'; quote an endpoint that has a space: of \"POST /checkout\"",
        ),
        ("p95 < 500", "expected a duration such as 30s, 200ms or 1m30s, got '500'"),
        ("errors < 0.5", "expected a percentage such as 0.5%, got '0.5'"),
        ("errors < 500ms", "expected a percentage such as 0.5%, got '500ms'"),
        ("rate > 90", "expected a rate such as 90/s or 600/min, got '90'"),
        ("cpu of api < 60", "expected a percentage such as 0.5%, got '60'"),
        ("memory of api < 60", "expected a size such as 64MB or 512KiB, got '60'"),
        ("threads of api < 60%", "expected a number such as 100, got '60%'"),
        ("my_series < lots", "expected a number, a percentage or a size, got 'lots'"),
        ("errors > 1% for 0s", "expected a duration above zero after 'for', got '0s'"),
        ("errors > 1% for ever", "expected a duration such as 30s, 200ms or 1m30s, got 'ever'"),
        ("p95 < 500ms for 5s in steady", SHAPE + "'p95 < 500ms for 5s in steady'"),
    ],
)
def test_what_is_no_limit_is_refused_with_what_was_expected(text: object, message: str) -> None:
    """The message names the part that is wrong and what may stand there."""
    with pytest.raises(ValueError, match="expected") as caught:
        parse_limit(text)
    assert str(caught.value) == message


def bounds(metric: str) -> st.SearchStrategy[str]:
    """Values that this metric may be compared with."""
    whole = st.integers(min_value=0, max_value=10**6)
    if metric in REQUEST_METRICS and metric not in ("errors", "rate"):
        return st.builds("{}{}".format, whole, st.sampled_from(["us", "ms", "s"]))
    if metric == "rate":
        return st.builds("{}/{}".format, whole, st.sampled_from(["s", "min"]))
    unit = PROBE_METRICS.get(metric, "share")
    if unit == "share":
        return st.builds("{}.{}%".format, st.integers(0, 400), st.integers(0, 999))
    return whole.map(str) if unit == "number" else st.builds("{}{}".format, whole, st.sampled_from(["B", "KB", "MiB"]))


NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True).filter(lambda name: name not in ("for", "in", "during"))


@st.composite
def limits(draw: st.DrawFn) -> str:
    """Any limit of the grammar."""
    metric = draw(st.sampled_from([*REQUEST_METRICS, *PROBE_METRICS]))
    text = metric
    if draw(st.booleans()):
        subject = draw(st.one_of(NAMES, st.from_regex(r"(GET|POST) /[a-z0-9/\[\]?=<>]{0,12}", fullmatch=True)))
        text += f' of "{subject}"' if " " in subject else f" of {subject}"
    text += f" {draw(st.sampled_from(['<', '<=', '>', '>=']))} {draw(bounds(metric))}"
    if draw(st.booleans()):
        text += f" {draw(st.sampled_from(['in', 'during']))} {', '.join(draw(st.lists(NAMES, min_size=1, max_size=3)))}"
    if draw(st.booleans()):
        text += f" for {draw(st.integers(1, 500))}s"
    return text


@settings(deadline=None)
@given(limits())
def test_a_limit_survives_rendering_and_reading(text: str) -> None:
    """The canonical words mean the same as what was written."""
    found = parse_limit(text)
    again = parse_limit(render_limit(found))
    assert replace(again, text=text, bound=found.bound) == found
    assert again.bound == pytest.approx(found.bound, rel=1e-9, abs=1e-9)


@settings(deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_a_limit_or_a_value_error(text: str) -> None:
    """No text brings anything else about."""
    try:
        found = parse_limit(text)
    except ValueError as error:
        assert str(error).startswith("expected ")
    else:
        assert found.text == text.strip()


@pytest.mark.parametrize(
    ("text", "needed"),
    [
        ("p95 < 1s", 80),
        ("p99 < 1s", 415),
        ("p99.9 < 1s", 4178),
        ("errors < 0.5%", 736),
        ("max < 1s", None),
        ("mean < 1s", None),
        ("rate > 5/s", None),
        ("errors > 10%", None),
        ("cpu of api < 60%", None),
    ],
)
def test_the_fewest_requests_that_decide(text: str, needed: int | None) -> None:
    """The published sample sizes: below them no 95 % bound exists."""
    assert samples_to_decide(parse_limit(text)) == needed
