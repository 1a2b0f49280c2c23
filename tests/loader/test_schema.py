"""The published JSON Schema says what the loader says, as far as a schema can, and the docs name all of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from harness.errors import BadInput
from harness.loader import from_document, load, schema
from harness.loader.catalogue import KINDS
from harness.loader.limits import PROBE_METRICS, REQUEST_METRICS
from harness.loader.yaml_lines import Tree, parse
from tests.documents import TEXT, replaced, whole
from tests.loader.test_bad_input import BAD_FILES

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "docs" / "experiment.schema.json"
PAGE = "".join((ROOT / "docs" / page).read_text(encoding="utf-8") for page in ("experiment.md", "traffic.md"))
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
EXPERIMENTS = sorted((ROOT / "experiments").glob("*.yaml"))
VALIDATOR = jsonschema.Draft202012Validator(schema())


def tree(text: str) -> dict[str, Tree]:
    """The document of a text."""
    value = parse(text.encode(), where="text").value
    assert isinstance(value, dict)
    return value


def complaints(document: object) -> list[str]:
    """What the schema has against a document."""
    return [error.message for error in VALIDATOR.iter_errors(document)]


def test_the_published_schema_is_the_loaders() -> None:
    """`make schema` writes it; it is valid itself, and refers to nothing outside."""
    assert json.loads(PUBLISHED.read_text(encoding="utf-8")) == schema(), "run: make schema"
    jsonschema.Draft202012Validator.check_schema(schema())
    assert "$ref" not in json.dumps(schema())


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.name)
def test_our_experiments_load_and_keep_to_the_schema(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file in experiments/, from the folder of the project."""
    monkeypatch.chdir(ROOT)
    assert load(path).base_dir == str(ROOT)
    assert complaints(tree(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.split("\n")[0][:40])
def test_every_example_of_the_docs_loads_and_keeps_to_the_schema(block: str) -> None:
    """A whole experiment as it stands; a section within an experiment that has what it names."""
    document = tree(block)
    if "name" not in document:
        document = around(document)
    assert complaints(document) == []
    from_document(document, base_dir=".")


def around(section: dict[str, Tree]) -> dict[str, Tree]:
    """An experiment around one section of the docs: the services web and db, and levels of the ladder."""
    text = json.dumps(section)
    stack = "stack: {process: {web: {command: a}, db: {command: a}}}"
    if '{"service"' in text:  # of a compose file
        stack = "stack: {compose: {file: compose.yaml}}"
    base = tree(
        "name: x\nwhy: y\n"
        f"{stack}\n"
        "proxies: {front: {upstream: web}, db-link: {upstream: db}}\n"
        "traffic: {scenario: s.py, target: web}\n"
        "ladder: {users: [100, 500, 1000], hold: 30s}\n"
    )
    if "stages" in section:
        del base["ladder"]
    document = {**base, **section}
    faults, probes = document.get("faults", []), document.get("probes", [])
    assert isinstance(faults, list)
    assert isinstance(probes, list)
    # A container fault or probe stands for any container; web is a process here.
    document["faults"] = [{**each, "on": "shop-web-1"} if _on_web(each) else each for each in faults]  # type: ignore[dict-item]
    document["probes"] = [{**each, "container": "shop-web-1"} if "container" in each else each for each in probes]  # type: ignore[dict-item, operator]
    return document


def _on_web(entry: Tree) -> bool:
    return isinstance(entry, dict) and "container" in entry and entry["on"] == "web"


def test_the_example_of_the_tests_keeps_to_the_schema() -> None:
    """So that the refusals below are about the change that was made."""
    assert complaints(whole()) == []


# What a schema cannot say: names that must exist, times that must fit, files that must be there, words within a limit.
BEYOND = re.compile(
    r"no (service|proxy|stage|probe|file)|no proxy stands|proxies before it|is called|outlasts|fight over|circle|"
    r"expected less than|there is no|a process, not a container|two |asked twice|unknown metric|highest level|"
    r"needs at least two|a stage called|budget\[|abort\[|limits\.errors|an empty one|above zero"
)


@pytest.mark.parametrize(("text", "message"), BAD_FILES, ids=[str(number) for number in range(len(BAD_FILES))])
def test_the_schema_refuses_what_the_loader_refuses(text: str, message: str) -> None:
    """Unknown keys, wrong types, wrong words and missing keys, in every section."""
    assert complaints(tree(text)) or BEYOND.search(message), message


@pytest.mark.parametrize(
    "text",
    [
        replaced("name: ladder\n", ""),
        replaced("latency: 200ms", "latency: fast"),
        replaced("latency: 200ms", "latency: 200ms, toxicity: 2"),
        replaced("latency: 200ms", "latency: 200ms, stream: sideways"),
        replaced("latency: 200ms", "latency: 200ms, rate: 1KB/s"),
        replaced("process: pause", "process: pause, toxic: down"),
        replaced("hold: 10s", "hold: 10"),
        replaced("users: 50,", "users: many,"),
        replaced("  process:\n", "  external: {a: h:1}\n  process:\n"),
        replaced("series: [db_pool_in_use]", "series: db_pool_in_use"),
        replaced("questions:", "ladder: {users: [1]}\nquestions:"),
        TEXT + "extra: 1\n",
    ],
)
def test_both_refuse(text: str) -> None:
    """A corpus of documents that neither accepts."""
    document = tree(text)
    assert complaints(document)
    with pytest.raises(BadInput):
        from_document(document, base_dir=".")


def keys(part: object) -> Iterator[str]:
    """Every key and every constant word that the schema knows."""
    if isinstance(part, dict):
        for key, value in part.items():
            if key == "properties":
                yield from value
            if key == "const":
                yield value
            if key == "enum":
                yield from (word for word in value if not word.startswith("SIG"))
            yield from keys(value)
    if isinstance(part, list):
        for value in part:
            yield from keys(value)


def test_every_key_and_word_of_the_schema_is_documented() -> None:
    """In docs/experiment.md or docs/traffic.md, as code."""
    code = set(re.findall(r"[\w.-]+", text := " ".join([*re.findall(r"`([^`\n]+)`", PAGE), *BLOCKS])))
    code |= set(re.findall(r"[\w.]+", text))
    assert sorted(set(keys(schema())) - code) == []


def test_every_metric_and_kind_is_documented() -> None:
    """Each in its table."""
    code = set(re.findall(r"`([^`\n]+)`", PAGE))
    assert sorted({*REQUEST_METRICS, *PROBE_METRICS, *(kind.name for kind in KINDS)} - code) == []
