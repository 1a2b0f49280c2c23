"""Numbers from a page in the Prometheus text format: connection pools, cache hits, queues, whatever a service tells.

Asked for by name: `db_pool_in_use` is the sum over its label sets, `http_requests_total{code="500"}` the sum over
those that have these labels. A series that the page does not have is left out, never zero. With nothing asked for:
every name, without histogram buckets and quantiles, whose sum means nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from harness.clients import http
from harness.errors import BadInput, EnvironmentBroke

TIMEOUT_S = 2.0
LIMIT_BYTES = 4 << 20
MOST_SERIES = 1_000
"""Without names asked for: the journal is not for whole dumps."""

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABELS = r'\{(?P<labels>(?:[^"}]|"(?:[^"\\]|\\.)*")*)\}'
_SERIES = re.compile(rf"(?P<name>{_NAME})(?:\s*{_LABELS})?")
_LABEL = re.compile(r'(\w+)\s*=\s*"((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(r"\\(.)")
_UNSUMMED = frozenset({"le", "quantile"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One line of the page."""

    name: str
    labels: Mapping[str, str]
    value: float


class PrometheusProbe:
    """Reads one page. Raises BadInput for a series that cannot be read."""

    def __init__(self, url: str, series: tuple[str, ...] = (), *, timeout_s: float = TIMEOUT_S) -> None:
        self._url = url
        self._wanted = {text: selector(text) for text in series}
        self._timeout_s = timeout_s

    def read(self) -> Mapping[str, float]:
        """Series as asked for -> value. Raises HarnessError when the page cannot be had or is no metrics page."""
        page = http.get(self._url, timeout_s=self._timeout_s, limit_bytes=LIMIT_BYTES)
        if page.status >= 400:
            raise EnvironmentBroke(f"the metrics page is answered {page.status}", hint="check the probe's URL")
        samples = tuple(parse(page.text))
        if not samples:
            raise EnvironmentBroke(
                "the page has no metrics in the Prometheus text format", hint="check the probe's URL"
            )
        return chosen(samples, self._wanted) if self._wanted else everything(samples)


def parse(text: str) -> Iterator[Sample]:
    """The samples of a page; comments, lines that are none, and values that are no finite number are left out."""
    for line in text.splitlines():
        match = _SERIES.match(line)
        rest = line[match.end() :].split() if match else []
        if match is None or not rest or not _separated(line, match.end()):
            continue
        try:
            value = float(rest[0])
        except ValueError:
            continue
        if math.isfinite(value):
            yield Sample(name=match["name"], labels=_labels(match["labels"]), value=value)


def selector(text: str) -> tuple[str, Mapping[str, str]]:
    """Name and labels of a series as written in an experiment. Raises BadInput."""
    match = _SERIES.fullmatch(text.strip())
    labels = _labels(match["labels"]) if match else {}
    if match is None or ((match["labels"] or "").strip() and not labels):
        raise BadInput(f'expected a series such as db_pool_in_use or requests_total{{code="500"}}, got {text!r}')
    return match["name"], labels


def chosen(samples: tuple[Sample, ...], wanted: Mapping[str, tuple[str, Mapping[str, str]]]) -> Mapping[str, float]:
    """The sum of each series wanted, over the samples of that name with at least those labels."""
    found: dict[str, float] = {}
    for text, (name, labels) in wanted.items():
        values = [s.value for s in samples if s.name == name and labels.items() <= s.labels.items()]
        if values:
            found[text] = sum(values)
    return found


def everything(samples: tuple[Sample, ...]) -> Mapping[str, float]:
    """The sum of each name, at most `MOST_SERIES` of them."""
    found: dict[str, float] = {}
    for sample in samples:
        if _UNSUMMED.isdisjoint(sample.labels) and (sample.name in found or len(found) < MOST_SERIES):
            found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return found


def _separated(line: str, end: int) -> bool:
    """`name 1` and `name{...}1` are samples, `name-1` is not."""
    return line[end - 1] == "}" or line[end : end + 1].isspace()


def _labels(text: str | None) -> Mapping[str, str]:
    return {name: _ESCAPE.sub(_unescaped, value) for name, value in _LABEL.findall(text or "")}


def _unescaped(match: re.Match[str]) -> str:
    return "\n" if match[1] == "n" else match[1]
