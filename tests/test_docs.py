"""The docs tell everything that there is, and nothing that there is not.

`python -m tests.test_docs` writes the generated part of docs/faults.md anew.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path

import pytest
import yaml
from scipy.special import stdtrit

from harness.cli import cli
from harness.errors import EXIT_MEANINGS
from harness.evidence import DEFECTS
from harness.evidence.defects import GUARDS
from harness.histogram import Histogram
from harness.journal import KINDS as EVENTS
from harness.journal import encode
from harness.judges import JUDGES
from harness.judges.intervals import BATCHES
from harness.loader import load
from harness.loader.catalogue import KINDS, Kind
from harness.loader.limits import PROBE_METRICS, REQUEST_METRICS
from harness.loader.parameter import Param
from harness.reports import REPORTS
from harness.result import JOURNAL, LOGS
from harness.rig import FAULTS
from harness.testing import synthetic_ladder
from tests.test_architecture import ROWS

ROOT = Path(__file__).parents[1]
FILES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
PAGES = {file.relative_to(ROOT).as_posix(): file for file in FILES}
TEXTS = {name: page.read_text(encoding="utf-8") for name, page in PAGES.items()}
BEGIN, END = "<!-- generated from harness/loader/catalogue by: python -m tests.test_docs -->", "<!-- end of"
WRITTEN_BY_INIT = {"scenarios/first.py", "scenarios/NAME.py", "experiments/first.yaml", "experiments/NAME.yaml"}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(language: str) -> list[tuple[str, str]]:
    """(page, text) of every fenced block in a language."""
    return [(name, found[2]) for name, text in TEXTS.items() for found in FENCE.finditer(text) if found[1] == language]


def section(page: str, heading: str) -> str:
    """What stands under a heading, up to the next one of any level."""
    found = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", TEXTS[page], re.DOTALL | re.MULTILINE)
    assert found, f"{page} has no heading {heading!r}"
    return found[1]


def row_of(page: str, first: str) -> list[str]:
    """The cells of the one table row that begins with `first`."""
    rows = [line for line in TEXTS[page].splitlines() if line.startswith(f"| {first} |")]
    assert len(rows) == 1, f"{page}: {len(rows)} rows begin with {first!r}"
    return [cell.strip() for cell in rows[0].strip("|").split("|")]


# The generated part of docs/faults.md


def written(param: Param) -> str:
    """How a person writes a parameter."""
    return " ".join(f"`{choice}`" for choice in param.choices) if param.choices else param.expected()


def journalled(param: Param) -> str:
    """The unit in which a parameter stands in the journal."""
    if param.unit == "duration":
        return {1_000_000: "ms", 1_000: "us"}[param.scale]
    units = {"size": "bytes", "rate": "KB/s", "share": "share", "flag": "true or false"}
    if param.unit == "number":
        return "cores" if param.name == "cpus" else "number"
    return units.get(param.unit, "word" if param.unit == "word" else "text")


def default_of(param: Param) -> str:
    """What holds when a parameter is left out."""
    if param.required:
        return "required"
    if param.required_unless_irreversible:
        return "required, unless `irreversible: accepted`"
    return f"`{param.default:g}`" if isinstance(param.default, float) else f"`{param.default}`" if param.default else ""


def fault_tables() -> str:
    """Every fault kind and parameter, a section for each key."""
    lines: list[str] = []
    for key in dict.fromkeys(kind.key for kind in KINDS):
        kinds = [kind for kind in KINDS if kind.key == key]
        lines += ["", f"## Kinds of `{key}:`", ""]
        lines += ["| kind | a new connection | a held connection | undone by | leaves |", "|---|---|---|---|---|"]
        lines += map(effect_row, kinds)
        lines += ["", "| parameter | of | written as | in the journal | default | what |", "|---|---|---|---|---|---|"]
        lines += parameter_rows(kinds)
    return "\n".join([*lines, ""])


def effect_row(kind: Kind) -> str:
    """What a client sees, and what healing does."""
    cells = (f"`{kind.name}`", kind.new_connection, kind.held_connection, kind.undo, kind.leaves)
    return f"| {' | '.join(cells)} |"


def parameter_rows(kinds: Iterable[Kind]) -> Iterator[str]:
    """One row for each parameter, however many kinds share it."""
    owners: dict[Param, list[str]] = {}
    for kind in kinds:
        for param in kind.params:
            owners.setdefault(param, []).append(f"`{kind.name}`")
    for param, names in owners.items():
        who = ", ".join(names) if len(names) < 4 else "all but `down`"
        cells = (f"`{param.name}`", who, written(param), journalled(param), default_of(param), param.doc)
        yield f"| {' | '.join(cells)} |"


def refreshed(text: str) -> str:
    """docs/faults.md with its generated part made anew."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{fault_tables()}\n{END}{rest.partition(END)[2]}"


def test_the_generated_part_of_the_faults_page_is_current() -> None:
    """What the catalogue says is what the page says."""
    assert TEXTS["docs/faults.md"] == refreshed(TEXTS["docs/faults.md"]), "run: python -m tests.test_docs"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.key}-{kind.name}")
def test_a_fault_kind_and_its_parameters_are_told(kind: Kind) -> None:
    """On the page of faults and on that of the experiment file."""
    table = section("docs/faults.md", f"Kinds of `{kind.key}:`")
    assert f"| `{kind.name}` |" in table
    for param in kind.params:
        assert f"| `{param.name}` |" in table
        assert f"`{param.name}`" in TEXTS["docs/experiment.md"]


def test_every_fault_driver_has_its_chapter() -> None:
    """A driver of the rig without a kind, or a kind without a driver, would be told wrongly."""
    assert {kind.driver for kind in KINDS} == set(FAULTS)
    assert all(f"(`{kind.key}:`)" in TEXTS["docs/faults.md"] for kind in KINDS)


# Commands, options, exit codes, environment


@pytest.mark.parametrize("name", cli.commands)
def test_a_command_and_its_options_are_told(name: str) -> None:
    """The command in the README, each of its options in docs/README.md."""
    assert f"| `harness {name}" in TEXTS["README.md"]
    rows = TEXTS["docs/README.md"].splitlines()
    start = next(number for number, line in enumerate(rows) if re.match(rf"\| `{name}[` ]", line))
    end = next((n for n in range(start + 1, len(rows)) if not rows[n].startswith("| |")), len(rows))
    told = "\n".join(rows[start:end])
    for param in cli.commands[name].params:
        for option in param.opts:
            assert not option.startswith("--") or option in told, f"docs/README.md: {name} {option}"


def test_commands_in_the_docs_exist() -> None:
    """Each `harness ...` line of a shell block names a command and options that there are."""
    seen = 0
    for page, text in blocks("sh"):
        for line in text.splitlines():
            words = shlex.split(line, comments=True)
            if words and words[0].endswith("harness"):
                seen += 1
                options = {option for param in cli.commands[words[1]].params for option in param.opts}
                assert {word for word in words if word.startswith("-")} <= options, f"{page}: {line}"
    assert seen >= 3


@pytest.mark.parametrize("code", EXIT_MEANINGS)
def test_an_exit_code_is_told(code: int) -> None:
    """In the README in the words of errors.py, and in the page for CI."""
    assert row_of("README.md", str(int(code)))[1] == EXIT_MEANINGS[code]
    assert len(row_of("docs/ci.md", str(int(code)))) == 2


def test_every_environment_variable_is_told() -> None:
    """What the harness, its suite, its scenarios and the shop read from the environment."""
    read = set()
    for path in (*ROOT.glob("harness/**/*.py"), *ROOT.glob("scenarios/*.py"), ROOT / "tests/conftest.py"):
        read |= set(re.findall(r'environ(?:\.get\(|\[)"(\w+)"', path.read_text(encoding="utf-8")))
    for path in (ROOT / "Makefile", *ROOT.glob("fixtures/shop/*.sh")):
        read |= set(re.findall(r"\bHARNESS_[A-Z_]+\b", path.read_text(encoding="utf-8")))
    assert read >= {"CI", "HARNESS_REQUIRE", "PACING_S"}
    assert not {name for name in read - {"PATH", "PYTHONPATH"} if f"`{name}`" not in TEXTS["docs/README.md"]}


def test_make_targets_are_told_and_exist() -> None:
    """Each target of the Makefile is in the README or the page for contributors, and no other is named."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    command = re.compile(r"(?:`|^|\w )make ([a-z-]+)(?=`|$|  )", re.MULTILINE)
    named = {found for text in TEXTS.values() for found in command.findall(text)}
    assert named == targets


# Verdicts


@pytest.mark.parametrize("kind", DEFECTS)
def test_a_defect_and_what_it_blocks_are_told(kind: str) -> None:
    """A row with what may stand of a FAIL, as the guards have it."""
    assert row_of("docs/verdicts.md", kind)[2] == ("may stand" if GUARDS[kind][1] else "blocked")


def test_every_metric_is_told() -> None:
    """Each word that a limit may begin with stands in the page of the experiment file."""
    told = TEXTS["docs/experiment.md"]
    assert not [metric for metric in (*REQUEST_METRICS, *PROBE_METRICS) if f"`{metric}`" not in told]
    verdicts = section("docs/verdicts.md", "Other limits")
    assert not [metric for metric in REQUEST_METRICS if f"`{metric}`" not in verdicts]


@pytest.mark.parametrize("kind", JUDGES)
def test_a_question_is_told(kind: str) -> None:
    """Each question that a judge answers."""
    assert f"`{kind}`" in section("docs/experiment.md", "questions")


def test_the_least_numbers_of_requests_are_those_of_the_intervals() -> None:
    """The table is arithmetic: ln 0.05 / ln(1 - share), and the floor or the exact bound that the judges use."""

    def numbers(first: str) -> list[int]:
        return [int(cell.replace(",", "")) for cell in row_of("docs/verdicts.md", first)[1:]]

    def theory(share: float) -> int:
        return math.ceil(math.log(0.05) / math.log1p(-share))

    def floor(share: float, batches: int) -> int:
        return math.ceil(float(stdtrit(batches - 1, 0.975)) ** 2 * (1 - share) / share)

    for first, share in (("P95", 0.05), ("P99", 0.01), ("P99.9", 0.001)):
        assert numbers(first) == [theory(share), floor(share, BATCHES[0]), floor(share, BATCHES[-1])]
    for first, share in (("errors < 1 %", 0.01), ("errors < 0.5 %", 0.005)):
        exact = math.ceil(math.log(0.025) / math.log1p(-share))
        assert numbers(first) == [theory(share), exact, exact]


# The journal


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_and_its_fields_are_told(name: str) -> None:
    """A chapter for each kind, with a row for each field and no row for another."""
    chapter = section("docs/journal.md", name)
    rows = re.findall(r"^\| `(\w+)` \|", chapter, re.MULTILINE)
    assert rows == [spec.name for spec in fields(EVENTS[name]) if spec.name != "at_ns"]


def test_the_worked_example_of_a_histogram_is_right() -> None:
    """The page's text is what the page's latencies encode to."""
    histogram = Histogram()
    for us in (1000, 1000, 123_456):
        histogram.record(us)
    assert f"```text\n{histogram.encode()}\n```" in TEXTS["docs/journal.md"]
    assert histogram.counts == {1000: 2, 8073: 1}
    assert histogram.percentile_us(1.0) == 123_487.5


def test_the_example_that_reads_a_journal_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On an invented journal it prints as many answers as there were."""
    events = list(synthetic_ladder())
    (tmp_path / "journal.jsonl").write_text("".join(f"{encode(event)}\n" for event in events), encoding="utf-8")
    (code,) = (code for page, code in blocks("python") if page == "docs/journal.md")
    code = code.replace("results/smoke/latest/journal.jsonl", str(tmp_path / "journal.jsonl"))
    exec(compile(code, "docs/journal.md", "exec"), {})
    answered = sum(event.finished for event in events if isinstance(event, EVENTS["Traffic"]))
    assert capsys.readouterr().out.startswith(f"{answered} answers, ")


# Architecture


def test_the_map_for_contributors_names_what_there_is() -> None:
    """Every module of the harness is in the map, and every path that the docs name exists."""
    told = section("docs/architecture.md", "The map")
    for path in sorted((ROOT / "harness").iterdir()):
        name = f"{path.name}/" if (path / "__init__.py").is_file() else path.name
        if (name.endswith("/") or path.suffix == ".py") and not name.startswith("__"):
            assert f"{name}`" in told, name
    for page in TEXTS.values():
        for named in re.findall(r"`((?:harness|tests|fixtures|experiments|scenarios)/[\w./-]+)`", page):
            assert (ROOT / named).exists() or named in WRITTEN_BY_INIT, named


def test_every_file_of_a_run_is_told() -> None:
    """The reports, and what a run's folder has before them."""
    told = section("docs/README.md", "A run's folder")
    assert not [name for name in (*REPORTS, JOURNAL, f"{LOGS}/", "plan.json", "header.json") if f"`{name}`" not in told]


def test_the_rows_of_imports_are_those_that_are_enforced() -> None:
    """The drawing in docs/architecture.md and the table of tests/test_architecture.py agree."""
    drawn: dict[int, set[str]] = {}
    for line in section("docs/architecture.md", "Who may import whom").splitlines():
        if row := re.match(r"(\d+) +", line):
            names = re.split(r"\s{3,}", line[row.end() :])[0].replace("|", " ").split()
            drawn[int(row[1])] = {name.rstrip("/") for name in names}
    assert drawn == {number: {name.rstrip(".") for name in names} - {""} for number, names in enumerate(ROWS)}


# Every page


@pytest.mark.parametrize("page", TEXTS)
def test_links_and_images_lead_somewhere(page: str) -> None:
    """Relative links exist, and so do the headings that they name."""
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", TEXTS[page])):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        path = (PAGES[page].parent / file).resolve() if file else PAGES[page]
        assert path.exists(), f"{page}: {target}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in slugs, f"{page}: {target}"


@pytest.mark.parametrize("page", TEXTS)
def test_no_line_names_a_place_of_one_machine(page: str) -> None:
    """Nobody else has these folders."""
    assert not re.findall(r".*(?:/work/|/tmp/|/root\b|/home/|\.\./shared).*", TEXTS[page])


@pytest.mark.parametrize(("page", "text"), blocks("yaml"))
def test_yaml_in_the_docs_is_an_experiment_or_a_fragment_that_parses(
    page: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A block with a hypothesis is a whole experiment and loads; any other is a mapping."""
    tree = yaml.safe_load(text)
    assert isinstance(tree, dict)
    if "why" in tree:
        monkeypatch.chdir(ROOT)
        (tmp_path / "experiment.yaml").write_text(text, encoding="utf-8")
        assert load(tmp_path / "experiment.yaml").name == tree["name"], page


def test_images_are_small_and_used() -> None:
    """Each below 200 KB, and shown by a page."""
    for image in (ROOT / "docs/images").iterdir():
        assert image.stat().st_size < 200_000
        assert any(f"images/{image.name})" in text for text in TEXTS.values())


if __name__ == "__main__":
    faults = ROOT / "docs/faults.md"
    faults.write_text(refreshed(faults.read_text(encoding="utf-8")), encoding="utf-8")
