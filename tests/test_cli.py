"""The command line as a person meets it: exit codes, one clear error, nothing heavy for --help."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import EXIT_MEANINGS, ExitCode
from harness.journal import Writer
from harness.result import RunFolder
from harness.testing import synthetic_ladder

ROOT = Path(__file__).parents[1]


def harness(*words: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    command = [sys.executable, "-m", "harness", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=cwd)


def test_help_names_every_exit_code() -> None:
    """The table is where people look for it."""
    done = harness("--help")
    assert done.returncode == 0
    said = " ".join(done.stdout.split())
    for code, meaning in EXIT_MEANINGS.items():
        assert f"{code.value} {meaning}" in said


@pytest.mark.parametrize(
    "words",
    [["--help"], ["run", "--help"], ["check", "experiments/smoke.yaml"], ["check", "experiments/declared.yaml"]],
)
def test_nothing_heavy_is_imported_where_nothing_heavy_is_done(words: list[str]) -> None:
    """No Locust, matplotlib, scipy, numpy or docker for help and check."""
    code = (
        "import sys; sys.argv = ['harness', *sys.argv[1:]]\n"
        "from harness.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'locust', 'gevent', 'matplotlib', 'scipy', 'numpy', 'docker'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=60, check=False, cwd=ROOT
    )
    assert done.stderr.strip() == "[]"


def test_check_tells_what_declared_traffic_will_send() -> None:
    """Shares, data with their rows and expected requests, without a process that reads a locustfile."""
    done = harness("check", "experiments/declared.yaml")
    assert done.returncode == 0
    said = " ".join(done.stdout.split())
    assert "traffic declared to front requests 33.3% GET list, 50% GET product, 16.7% buy (2 requests)" in said
    assert "data wanted: experiments/products.jsonl (10 rows), random, one per iteration" in said
    assert "iterations about 1,200, 1,400 requests, poisson arrivals" in said
    assert "--scenario" not in said


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["run"], "Missing argument"),
        (["nope"], "No such command"),
        (["run", "none.yaml"], "none.yaml"),
        (["judge", "none"], "no run of that name"),
        (["check", "experiments/smoke.yaml", "--set", "nope=1"], "nope"),
        (["init", "ftp://x"], "expected an address"),
        (["init"], "init: expected URL or --from FILE"),
        (["init", "http://127.0.0.1:1", "--assets"], "init: expected --from FILE"),
        (["init", "--from", "none.har"], "none.har: cannot read the document"),
    ],
)
def test_bad_arguments_are_one_clear_error_and_exit_code_3(words: list[str], expected: str) -> None:
    """Never a traceback."""
    done = harness(*words)
    assert done.returncode == ExitCode.BAD_INPUT
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


def test_check_prints_the_timelines_of_good_files_and_all_problems_of_bad_ones(tmp_path: Path) -> None:
    """One bad file does not hide the others."""
    bad = tmp_path / "bad.yaml"
    bad.write_text("name: x\nstages: 3\n", encoding="utf-8")
    done = harness("check", "experiments/smoke.yaml", str(bad))
    assert done.returncode == ExitCode.BAD_INPUT
    assert "total time" in done.stdout
    assert done.stderr.count("error: ") >= 2


@pytest.mark.parametrize("file", sorted(path.name for path in (ROOT / "experiments").glob("*.yaml")))
def test_every_experiment_of_ours_passes_check(file: str) -> None:
    """CI loads and plans each."""
    done = harness("check", f"experiments/{file}")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A finished run's folder with nothing but its journal."""
    folder = RunFolder(tmp_path_factory.mktemp("results") / "ladder" / "2026-01-01T00-00-00Z-0000")
    folder.path.mkdir(parents=True)
    writer = Writer.create(folder.journal)
    for event in synthetic_ladder(hold_s=12, ramp_s=2, warmup_s=2):
        writer.append(event)
    writer.close()
    return folder


def test_judge_rebuilds_the_verdict_byte_for_byte_from_the_journal_alone(finished: RunFolder) -> None:
    """Twice the same bytes, and the exit code is in them."""
    first = harness("judge", str(finished.path))
    verdict = (finished.path / "verdict.json").read_bytes()
    second = harness("judge", str(finished.path), "--json")
    assert (finished.path / "verdict.json").read_bytes() == verdict == second.stdout.encode()
    assert first.returncode == second.returncode == json.loads(verdict)["exit_code"] == ExitCode.FAIL


def test_judge_leaves_pictures_and_pages_as_they_are(finished: RunFolder) -> None:
    """Judging an old run again must not cost it its report."""
    page = finished.path / "report.html"
    page.write_text("drawn earlier", encoding="utf-8")
    harness("judge", str(finished.path))
    assert page.read_text(encoding="utf-8") == "drawn earlier"


def test_report_writes_every_artefact(finished: RunFolder) -> None:
    """Plots, page, Markdown, JUnit, JSON."""
    harness("report", str(finished.path))
    names = {path.relative_to(finished.path).as_posix() for path in finished.path.rglob("*") if path.is_file()}
    assert {"evidence.json", "verdict.json", "report.md", "report.html", "junit.xml"} <= names
    assert {"plots/latency.png", "plots/latency.svg", "plots/ladder.png"} <= names


def test_init_writes_an_experiment_that_check_accepts_and_overwrites_nothing(tmp_path: Path) -> None:
    """The five-minute path: init, then check."""
    done = harness("init", "http://127.0.0.1:8088/shop?x=1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "harness check" in done.stdout
    checked = harness("check", "experiments/first.yaml", cwd=tmp_path)
    assert checked.returncode == 0, checked.stderr
    again = harness("init", "http://127.0.0.1:8088", cwd=tmp_path)
    assert again.returncode == ExitCode.BAD_INPUT
    assert "is there already" in again.stderr


def test_doctor_looks_at_everything_and_says_what_to_do() -> None:
    """Each line begins with its mark."""
    done = harness("doctor")
    assert done.returncode == 0
    for what in ("Python", "cores", "open files", "clock", "Locust", "Toxiproxy", "Docker", "Compose"):
        assert what in done.stdout


def test_list_shows_runs_with_their_outcome(finished: RunFolder) -> None:
    """After judging, the word is there."""
    harness("judge", str(finished.path))
    done = harness("list", "--output", str(finished.path.parents[1]))
    assert done.stdout.split() == ["fail", "ladder", finished.run]
