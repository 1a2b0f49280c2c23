"""Experiment documents for tests: one that is whole, and ways to change a copy of it."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from harness.errors import BadInput, ExitCode
from harness.experiment import Experiment
from harness.loader import from_document, load
from harness.loader.yaml_lines import Tree, parse

TEXT = """\
name: ladder
why: It carries 1,000 users.
stack:
  process:
    db: {command: "python -m fixtures.shop.db --port {port}"}
    payment: {command: "python -m fixtures.shop.payment --port {port}", ready: tcp}
    api: {command: "python -m fixtures.shop.api --port {port}", env: {DB: "{db-link}"}, ready: http /health}
proxies:
  front: {upstream: api}
  db-link: {upstream: db}
traffic: {scenario: scenarios/checkout.py, target: front}
stages:
  - {name: warm, role: warmup, users: 50, hold: 10s}
  - {name: level-100, role: stress, users: 100, ramp: 10s, hold: 30s}
  - {name: level-500, role: stress, users: 500, ramp: 10s, hold: 30s}
faults:
  - {name: slow-db, toxic: latency, on: db, latency: 200ms, during: level-500, after: 5s, for: 15s}
  - {name: freeze, process: pause, on: payment, during: level-500, after: 20s}
probes:
  - {process: api, every: 1s}
  - {prometheus: "http://{api}/metrics", series: [db_pool_in_use]}
budget:
  - p95 < 500ms in stress
  - cpu of api < 60%
  - db_pool_in_use < 8
abort:
  - errors > 10% for 30s
questions: [budget, breaking_point]
"""


def whole() -> dict[str, Tree]:
    """A fresh copy of the document."""
    value = parse(TEXT.encode(), where="test").value
    assert isinstance(value, dict)
    return copy.deepcopy(value)


def replaced(text: str, by: str) -> str:
    """The text of the document with one piece replaced; the piece must be there, once."""
    assert TEXT.count(text) == 1, text
    return TEXT.replace(text, by)


def write(folder: Path, text: str) -> Path:
    """The experiment file with this text, named relative to the current folder."""
    (folder / "x.yaml").write_text(text)
    return Path("x.yaml")


def problems(folder: Path, text: str, **options: object) -> list[str]:
    """What is said about a file that is wrong, one line for each problem."""
    with pytest.raises(BadInput) as caught:
        load(write(folder, text), **options)  # type: ignore[arg-type]
    assert caught.value.exit_code is ExitCode.BAD_INPUT
    return [str(problem) for problem in caught.value.problems]


def built(**changes: object) -> Experiment:
    """The example document with sections replaced; a section of None is left out."""
    changed = {**whole(), **changes}
    return from_document({key: value for key, value in changed.items() if value is not None}, base_dir=".")


def wrong(**changes: object) -> list[str]:
    """What is said about the example document with sections replaced."""
    with pytest.raises(BadInput) as caught:
        built(**changes)
    return [str(problem).removeprefix("experiment ") for problem in caught.value.problems]
