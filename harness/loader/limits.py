"""The one-line limits of `budget:` and `abort:`: what must hold, in words that a person would say.

    limit    = metric ["of" subject] op value ["in" scope] ["for" duration]
    metric   = "p50" | "p90" | "p95" | "p99" | "p99.9" | "max" | "mean"     value: a duration      -> microseconds
             | "errors"                                                    value: a percentage    -> share
             | "rate"                                                      value: 90/s or 600/min -> per second
             | a metric of a probe: "cpu" | "memory" | "disk" | ...         value: see METRICS
             | a series that a Prometheus probe lists                       value: number, percentage or size
    subject  = an endpoint ("POST /checkout", quoted) for latency, errors and rate; else the name of a probe's subject
    op       = "<" | "<=" | ">" | ">="
    scope    = name {"," name}           a stage, a role (warmup, steady, stress, recovery), or a fault: while in force
               ("during" is the same word as "in"); without it: every stage but warm-up

A limit states what must hold: `errors < 0.5%`. Under `abort:` it states what ends the run: `errors > 10% for 30s`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Literal, cast

from harness.experiment import Limit
from harness.loader.problems import did_you_mean
from harness.units import (
    NS_PER_US,
    duration_ns,
    percent_share,
    size_bytes,
)

Unit = Literal["us", "share", "bytes", "per_s", "number"]
Op = Literal["<", "<=", ">", ">="]

PERCENTILES: Mapping[str, float] = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99.9": 0.999}
LATENCIES = (*PERCENTILES, "max", "mean")
REQUEST_METRICS = (*LATENCIES, "errors", "rate")

# What each kind of probe reads, by the unit of its limit. The host is always read, under the name host.
PROBE_METRICS_OF: Mapping[str, Mapping[str, Unit]] = {
    "container": {
        "cpu": "share",
        "cpu_cores": "number",
        "memory": "share",
        "memory_bytes": "bytes",
        "throttled": "share",
        "disk_read_bytes_per_s": "bytes",
        "disk_write_bytes_per_s": "bytes",
        "rx_bytes_per_s": "bytes",
        "tx_bytes_per_s": "bytes",
        "restarts": "number",
        "oom_kills": "number",
    },
    "process": {
        "cpu": "share",
        "memory": "share",
        "rss_bytes": "bytes",
        "threads": "number",
        "open_files": "number",
    },
    "host": {
        "cpu": "share",
        "memory": "share",
        "load1": "number",
        "swap_used_bytes": "bytes",
        "disk_free": "share",
    },
}
PROBE_METRICS: Mapping[str, Unit] = {
    metric: unit for metrics in PROBE_METRICS_OF.values() for metric, unit in metrics.items()
}
# `memory of api < 200MB` is about this reading of the probe.
MEMORY_AS_SIZE: Mapping[str, str] = {"container": "memory_bytes", "process": "rss_bytes"}
HOST = "host"

MAX_TEXT = 300
_METRIC = r"[A-Za-z_:][\w:.]*(?:\{[^{}]*\})?"
_LIMIT = re.compile(
    rf"(?P<metric>{_METRIC})"
    r"(?:\s+of\s+(?P<of>\"[^\"]*\"|[^\s\"<>]+))?"
    r"\s*(?P<op><=|>=|<|>)\s*"
    r"(?P<value>[^\s<>=]+(?:\s(?!(?:in|during|for)\s)[^\s<>=]+)?)"
    r"(?:\s+(?:in|during)\s+(?P<scope>(?!for\s)[^\s,]+(?:\s*,\s*[^\s,]+)*))?"
    r"(?:\s+for\s+(?P<sustain>\S+))?"
)
_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*/\s*(s|min|m|h)", re.ASCII)
_PER = {"s": 1, "min": 60, "m": 60, "h": 3600}
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?", re.ASCII)
SHAPE = "METRIC [of SUBJECT] < VALUE [in SCOPE] [for DURATION], such as: p95 < 500ms in steady"


def parse_limit(text: object) -> Limit:
    """The limit that `text` states. Raises ValueError with what was expected.

    A metric that is no word of the grammar is taken for a Prometheus series; the loader checks that a probe lists it.
    """
    if not isinstance(text, str) or len(text) > MAX_TEXT:
        got = f"a text of {len(text)} characters" if isinstance(text, str) else repr(text)[:80]
        raise ValueError(f"expected {SHAPE}, got {got}")
    match = _LIMIT.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"expected {SHAPE}, got {text!r}{_why_not(text)}")
    bound, unit = _value(match["metric"], match["value"].strip())
    return Limit(
        text=text.strip(),
        metric=match["metric"],
        of=(match["of"] or "").strip('"'),
        op=cast("Op", match["op"]),
        bound=bound,
        unit=unit,
        scope=tuple(re.split(r"\s*,\s*", match["scope"])) if match["scope"] else (),
        sustain_ns=_sustain(match["sustain"]),
    )


def render_limit(limit: Limit) -> str:
    """The limit in its canonical words, exact: parsing them gives the same metric, bound, scope and span again."""
    subject = ""
    if limit.of:
        plain = re.fullmatch(r"[^\s\"<>]+", limit.of) is not None
        subject = f" of {limit.of}" if plain else f' of "{limit.of}"'
    scope = f" in {', '.join(limit.scope)}" if limit.scope else ""
    sustain = f" for {limit.sustain_ns}ns" if limit.sustain_ns else ""
    return f"{limit.metric}{subject} {limit.op} {_exact(limit.bound, limit.unit)}{scope}{sustain}"


T_OF_30_BATCHES = 2.045
"""Student's t, 29 degrees of freedom, 97.5 %."""


def samples_to_decide(limit: Limit) -> int | None:
    """Fewest independent requests that can let the judges pass the limit: P95 80, P99 415, errors < 0.5% 736.

    For a percentile, the binomial floor of thirty batches: t(29) sqrt(p (1 - p) / n) < p. For errors, none of n failed:
    (1 - p)^n <= 0.025. None for metrics to which no such count applies.
    """
    if limit.metric in PERCENTILES:
        share = 1 - PERCENTILES[limit.metric]
        return math.ceil(T_OF_30_BATCHES**2 * (1 - share) / share)
    if limit.metric == "errors" and limit.op in ("<", "<=") and 0 < limit.bound < 1:
        return math.ceil(math.log(0.025) / math.log1p(-limit.bound) - 1e-9)
    return None


def _value(metric: str, written: str) -> tuple[float, Unit]:
    if metric in LATENCIES:
        return duration_ns(written) / NS_PER_US, "us"
    if metric == "errors":
        return percent_share(written), "share"
    if metric == "rate":
        return _rate(written), "per_s"
    if metric in PROBE_METRICS:
        return _probe_value(metric, written)
    return _series_value(written)


def _rate(written: str) -> float:
    match = _RATE.fullmatch(written)
    if match is None:
        raise ValueError(f"expected a rate such as 90/s or 600/min, got {written!r}")
    return float(match[1]) / _PER[match[2]]


def _probe_value(metric: str, written: str) -> tuple[float, Unit]:
    unit = PROBE_METRICS[metric]
    if unit == "bytes" or (metric == "memory" and not written.endswith("%")):
        return float(size_bytes(written)), "bytes"
    if unit == "number":
        if _NUMBER.fullmatch(written) is None:
            raise ValueError(f"expected a number such as 100, got {written!r}")
        return float(written), "number"
    return percent_share(written), "share"


def _series_value(written: str) -> tuple[float, Unit]:
    if _NUMBER.fullmatch(written):
        return float(written), "number"
    if written.endswith("%"):
        return percent_share(written), "share"
    try:
        return float(size_bytes(written)), "bytes"
    except ValueError:
        raise ValueError(f"expected a number, a percentage or a size, got {written!r}") from None


def _sustain(written: str | None) -> int:
    if written is None:
        return 0
    span_ns = duration_ns(written)
    if span_ns == 0:
        raise ValueError(f"expected a duration above zero after 'for', got {written!r}")
    return span_ns


def _why_not(text: str) -> str:
    """The likeliest slip, for the end of the message."""
    word = re.match(r"\s*([^\s<>=]+)", text)
    if not re.search(r"[<>]", text):
        return "; there is no <, <=, > or >= in it"
    if re.search(r"==|=>|=<|<>", text):
        return "; use <, <=, > or >="
    if word and word[1] not in (*REQUEST_METRICS, *PROBE_METRICS):
        return did_you_mean(word[1], (*REQUEST_METRICS, *PROBE_METRICS))
    if '"' not in text and re.search(r"\sof\s+\S+\s+[^\s<>]", text):
        return '; quote an endpoint that has a space: of "POST /checkout"'
    return ""


def _exact(bound: float, unit: Unit) -> str:
    if unit == "share":
        return f"{bound * 100:.12f}".rstrip("0").rstrip(".") + "%"
    suffix = {"us": "us", "bytes": "B", "per_s": "/s", "number": ""}[unit]
    return f"{bound:.9f}".rstrip("0").rstrip(".") + suffix
