"""The sections that limit the damage: what is read, what is refused, and harness.toml beside the experiment."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.experiment import BlastRadius, Targets
from harness.loader import from_document, load
from tests.documents import TEXT, built, problems, whole, write, wrong


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder with the scenario that the document names."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios/checkout.py").write_text("")
    return tmp_path


def test_the_sections_are_read_into_their_units() -> None:
    """Shares as fractions, times in nanoseconds, limits as everywhere."""
    experiment = built(
        targets={"names": ["db*", "payment"], "labels": ["env=test"], "addresses": ["10.0.0.0/8", "*.test"]},
        blast_radius={"faults_at_once": 2, "share_of_service": "50%", "total": "1m"},
        steady_state=["errors < 1% for 10s", "cpu < 80%"],
    )
    assert experiment.targets == (
        Targets(names=("db*", "payment"), labels=("env=test",), addresses=("10.0.0.0/8", "*.test")),
    )
    assert experiment.blast_radius == BlastRadius(faults_at_once=2, share_of_service=0.5, total_ns=60 * 10**9)
    assert [(limit.metric, limit.of) for limit in experiment.steady_state] == [("errors", ""), ("cpu", "api")]


def test_without_the_sections_nothing_is_limited() -> None:
    """The defaults."""
    experiment = built()
    assert (experiment.targets, experiment.blast_radius, experiment.steady_state) == ((), BlastRadius(), ())


@pytest.mark.parametrize(
    ("section", "value", "told"),
    [
        ("targets", {}, "targets: expected names, labels or addresses, got none of them"),
        ("targets", {"names": []}, "targets.names: expected at least one entry, got a list"),
        ("targets", {"name": ["db"]}, "targets.name: unknown key 'name'; did you mean names?"),
        ("targets", {"addresses": ["10.0.0.0/99"]}, "targets.addresses[0]: expected a range such as 10.0.0.0/8"),
        ("targets", {"addresses": ["10.0.0.1/8"]}, "has host bits set"),
        ("targets", {"addresses": ["http://web"]}, "targets.addresses[0]: expected a host, a pattern"),
        ("targets", {"addresses": ["web:80"]}, "targets.addresses[0]: expected a host without a port"),
        ("blast_radius", {"faults_at_once": 0}, "expected a whole number from 1 to 500, got 0"),
        ("blast_radius", {"share_of_service": 0.5}, "blast_radius.share_of_service: expected a text, got 0.5"),
        ("blast_radius", {"share_of_service": "0%"}, "expected a share above 0% and up to 100%, got 0%"),
        ("blast_radius", {"total": "0s"}, "blast_radius.total: expected a duration above zero"),
        ("blast_radius", [], "blast_radius: expected a mapping"),
        ("steady_state", "errors < 1%", "steady_state: expected a list"),
        ("steady_state", ["errors < 1% in stress"], "steady_state[0]: the steady state is looked at before"),
        ("abort", ["errors > 10% in level-500"], "abort[0]: abort limits are watched all the time, whatever the stage"),
        ("steady_state", ["memory of db < 1GB"], "steady_state[0]: "),
    ],
)
def test_what_is_wrong_in_a_section_is_told_with_its_place(section: str, value: object, told: str) -> None:
    """One message, by path."""
    said = wrong(**{section: value})
    assert len(said) == 1
    assert told in said[0]


def test_a_steady_state_that_has_no_time_to_hold_is_refused() -> None:
    """The first fault comes 65 s after the first stage: 64 s are left."""
    assert built(steady_state=["errors < 1% for 64s"]).steady_state
    (said,) = wrong(steady_state=["errors < 1% for 65s"])
    assert said == (
        "steady_state[0]: the first fault, slow-db, begins 1m05s after the first stage, so at most 1m04s can be looked"
        " at, a second being left for the last answers to arrive (shorten `for`, or let the fault come later)"
    )
    assert built(steady_state=["errors < 1% for 65s"], faults=[]).steady_state


def test_harness_toml_limits_too(folder: Path) -> None:
    """Beside the experiment and in the current folder, each once; judging an old run looks at neither."""
    (folder / "harness.toml").write_text('[targets]\nnames = ["db*"]\n')
    sub = folder / "sub"
    sub.mkdir()
    (sub / "harness.toml").write_text('targets.labels = ["env=test"]\n')
    (sub / "x.yaml").write_text(TEXT + "targets: {names: [payment]}\n")
    experiment = load(sub / "x.yaml")
    assert experiment.targets == (Targets(names=("payment",)), Targets(names=("db*",)), Targets(labels=("env=test",)))
    assert load(write(folder, TEXT)).targets == (Targets(names=("db*",)),)
    assert from_document(whole(), base_dir=".").targets == ()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "[targets]\nnames = ['db']\n\n[target]\n",
            "harness.toml:4 target: unknown key 'target'; did you mean targets?",
        ),
        ("# ours\n[targets]\nname = ['db']\n", "harness.toml:3 targets.name: unknown key 'name'; did you mean names?"),
        ("[targets]\nlabels = ['a b']\n", "harness.toml:2 targets.labels[0]: expected a label such as env=test"),
        ("[targets\n", "harness.toml: expected TOML: "),
        ("targets = 3\n", "harness.toml:1 targets: expected a mapping with the keys names, labels, addresses"),
    ],
)
def test_a_harness_toml_that_is_wrong_is_told_with_its_line(folder: Path, text: str, told: str) -> None:
    """A limit that is not understood is never left out."""
    (folder / "harness.toml").write_text(text)
    (said,) = problems(folder, TEXT)
    assert said.startswith(told)


def test_a_harness_toml_that_cannot_be_read_is_refused(folder: Path) -> None:
    """A folder of that name, say."""
    (folder / "harness.toml").mkdir()
    (said,) = problems(folder, TEXT)
    assert "harness.toml: cannot be read: Is a directory" in said
