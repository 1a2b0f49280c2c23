"""Reading the Prometheus text format."""

from __future__ import annotations

import pytest

from harness.errors import BadInput
from harness.probes.prometheus import MOST_SERIES, Sample, chosen, everything, parse, selector

PAGE = r"""
# HELP db_pool_in_use Connections in use.
# TYPE db_pool_in_use gauge
db_pool_in_use{pool="main"} 7
db_pool_in_use{pool="spare",note="a } and \" and \\ and ,"} 3 1700000000000
requests_total{code="200",method="GET"} 1.5e3
requests_total{code="500",method="GET"} 2 # {trace="x"} 1
latency_seconds_bucket{le="0.1"} 5
latency_seconds_bucket{le="+Inf"} 9
latency_seconds_count 9
rpc_seconds{quantile="0.5"} 0.1
broken_gauge NaN
endless_gauge +Inf
not a metric at all
name-with-dash 3
empty_labels{} 4
# EOF
"""
SAMPLES = tuple(parse(PAGE))


def test_lines_become_samples() -> None:
    """With labels unescaped, time stamps and exemplars left out."""
    assert SAMPLES[0] == Sample(name="db_pool_in_use", labels={"pool": "main"}, value=7.0)
    assert SAMPLES[1].labels["note"] == 'a } and " and \\ and ,'
    assert SAMPLES[1].value == 3.0
    assert [s.value for s in SAMPLES if s.name == "requests_total"] == [1500.0, 2.0]


def test_what_is_no_finite_number_is_left_out() -> None:
    """NaN and infinity have no place in a journal, and a line that is no sample is none."""
    names = {sample.name for sample in SAMPLES}
    assert names.isdisjoint({"broken_gauge", "endless_gauge", "not", "name"})
    assert "empty_labels" in names


def test_a_name_is_the_sum_over_its_label_sets() -> None:
    """And labels in the selector choose among them."""
    texts = ("db_pool_in_use", 'requests_total{code="500"}', 'requests_total{method="GET",code="200"}')
    assert chosen(SAMPLES, {text: selector(text) for text in texts}) == {
        "db_pool_in_use": 10.0,
        'requests_total{code="500"}': 2.0,
        'requests_total{method="GET",code="200"}': 1500.0,
    }


def test_a_missing_series_is_absent() -> None:
    """Never zero."""
    texts = ("nobody", 'requests_total{code="404"}', "db_pool_in_use")
    assert set(chosen(SAMPLES, {text: selector(text) for text in texts})) == {"db_pool_in_use"}


def test_with_nothing_asked_for_every_sum_that_means_something() -> None:
    """Buckets and quantiles do not add up."""
    assert everything(SAMPLES) == {
        "db_pool_in_use": 10.0,
        "requests_total": 1502.0,
        "latency_seconds_count": 9.0,
        "empty_labels": 4.0,
    }


def test_a_dump_is_bounded() -> None:
    """The journal is not for ten thousand series."""
    many = tuple(Sample(name=f"n{i}", labels={}, value=1.0) for i in range(MOST_SERIES + 5))
    assert len(everything((*many, many[0]))) == MOST_SERIES
    assert everything((*many, many[0]))["n0"] == 2.0


@pytest.mark.parametrize("text", ["", "a b", "a{", "a{b}", 'a{b="c"', "1a", 'a{b="c"} > 3'])
def test_a_series_that_cannot_be_read_is_bad_input(text: str) -> None:
    """With an example."""
    with pytest.raises(BadInput, match="expected a series such as"):
        selector(text)
