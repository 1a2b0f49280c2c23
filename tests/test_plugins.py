"""Fault drivers of other packages: the example package installed and used, and packages that are broken."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from harness import plugins
from harness.doctor import examine
from harness.errors import BadInput, EnvironmentBroke
from harness.evidence.measure import measure
from harness.experiment import Fault
from harness.healing.drivers import healer_of
from harness.healing.hand import Hand
from harness.journal import RunStarted
from harness.ledger import Intended, Ledger, Opened, Undo, read
from harness.loader import schema
from harness.plan import plan
from harness.timeline import timeline
from harness.units import NS_PER_S
from tests.documents import TEXT

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "docs/examples/harness-flag-file"
FAULT = '  - {name: no-cache, flag_file: set, on: api, file: flags.env, flag: cache, to: "off", during: level-500}\n'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the example package is installed into, from nothing but what is here."""
    source, target = tmp_path_factory.mktemp("source") / "package", tmp_path_factory.mktemp("installed")
    shutil.copytree(EXAMPLE, source)
    offline = ["--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check"]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", *offline, "--target", str(target), str(source)]
    subprocess.run(pip, check=True, timeout=100)
    return target


@pytest.fixture
def example(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[plugins.FaultPlugin]:
    """The example's plug-in, as the harness finds it."""
    monkeypatch.syspath_prepend(str(folder))
    yield plugins.plugin_of("flag_file")
    sys.modules.pop("harness_flag_file", None)


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    """An experiment with a fault of the example, and its flags."""
    (tmp_path / "flags.env").write_text("# flags\ncache=on\nsearch=on\n")
    path = tmp_path / "experiment.yaml"
    path.write_text(TEXT.partition("faults:\n")[0] + "faults:\n" + FAULT)
    return path


def offer(folder: Path, name: str, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install by hand a package whose module `<name>_module` has this code, and offers PLUGIN."""
    (folder / f"{name}_module.py").write_text(code)
    about = folder / f"{name}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[{plugins.GROUP}]\n{name} = {name}_module:PLUGIN\n")
    monkeypatch.syspath_prepend(str(folder))


def harness(folder: Path, tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The command, with the folder's packages installed."""
    env = {**os.environ, "PYTHONPATH": str(folder), "HARNESS_STATE": str(tmp_path / "state")}
    command = [sys.executable, "-m", "harness", *words]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False)


class TestExample:
    """The package under docs/examples, from installation to healing."""

    def test_check_knows_its_kind(self, folder: Path, experiment: Path, tmp_path: Path) -> None:
        """Its key in YAML, its parameters, and its undo in the timeline; without it the key is unknown."""
        done = harness(folder, tmp_path, "check", str(experiment))
        assert (done.returncode, done.stderr) == (0, "")
        assert "! no-cache  set" in done.stdout
        assert "flag_file set: puts back the value that was there" in done.stdout
        alone = harness(tmp_path, tmp_path, "check", str(experiment))
        assert alone.returncode == 3
        assert "expected one of the keys toxic, container, process, command, http" in alone.stderr

    def test_it_is_listed(self, folder: Path, tmp_path: Path) -> None:
        """With what is felt."""
        rows = [line.split(maxsplit=2) for line in harness(folder, tmp_path, "list", "--faults").stdout.splitlines()]
        assert ["flag_file", "set", "the flag has the value in the file"] in rows

    def test_a_fault_from_its_check_to_its_healing_without_a_run(
        self, example: plugins.FaultPlugin, experiment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Injected by the run's driver, healed from the ledger as the reaper does it."""
        monkeypatch.setenv("HARNESS_STATE", str(tmp_path / "state"))
        monkeypatch.chdir(ROOT)
        (fault,) = plugins.load(experiment).faults
        driver = plugins.make("flag_file", cast(plugins.Site, Place(tmp_path)))
        driver.check(fault)
        before = driver.before(fault)
        ledger = Ledger.create(opened(tmp_path))
        undo = Undo(name=fault.name, driver=fault.driver, kind="set", on="api", params=fault.params, before=before)
        ledger.append(Intended(undo=undo))
        driver.inject(fault, before)
        assert (tmp_path / "flags.env").read_text() == "# flags\ncache=off\nsearch=on\n"
        healing = Hand(read(ledger.path), healer_of, by="heal").heal(NS_PER_S)
        assert (healing.healed, dict(healing.failed)) == (("no-cache",), {})
        assert (tmp_path / "flags.env").read_text() == "# flags\ncache=on\nsearch=on\n"

    def test_what_to_type_works(self, example: plugins.FaultPlugin, experiment: Path, tmp_path: Path) -> None:
        """For a flag that was there, and one that was not."""
        driver = example.make(cast(plugins.Site, Place(tmp_path)))
        was = (tmp_path / "flags.env").read_text()
        for flag in ("cache", "new"):
            wanted = Fault(
                name="f",
                driver="flag_file",
                kind="set",
                on="api",
                stage="s",
                after_ns=0,
                hold_ns=1,
                params={"file": "flags.env", "flag": flag, "to": "off"},
            )
            before = driver.before(wanted)
            driver.inject(wanted, before)
            assert (tmp_path / "flags.env").read_text() != was
            subprocess.run(["sh", "-c", getattr(driver, "by_hand")(wanted, before)], check=True, timeout=10)  # noqa: B009
            assert (tmp_path / "flags.env").read_text() == was

    def test_its_runs_are_judged_and_its_schema_told(
        self, example: plugins.FaultPlugin, experiment: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """From a journal, and for editors."""
        monkeypatch.chdir(ROOT)
        loaded = plugins.load(experiment)
        header = RunStarted(
            at_ns=0,
            schema=1,
            run="r",
            wall="",
            seed=1,
            plan_ns=1,
            document=loaded.document,
            base_dir="",
            facts={},  # type: ignore[arg-type]
        )
        assert measure([header], plugins.kinds()).experiment.faults[0].driver == "flag_file"
        assert '"flag_file"' in str(schema(plugins.kinds())).replace("'", '"')
        assert "flag_file set: puts back the value that was there" in timeline(
            loaded, plan(loaded), kinds=plugins.kinds()
        )


class TestBroken:
    """A package that is wrong is named where it matters, and in nobody's way elsewhere."""

    @pytest.mark.parametrize(
        ("code", "why"),
        [
            ("import not_there", "ModuleNotFoundError: No module named 'not_there'"),
            ("import sys; sys.exit('no licence')", "SystemExit: no licence"),
            ("PLUGIN = 5", "TypeError: expected a harness.plugins.FaultPlugin, got int"),
            (
                "from harness.plugins import FaultPlugin\n"
                "PLUGIN = FaultPlugin(name='http', kinds=(), make=None, healer=None)",
                "ValueError: the harness has a driver called http itself",
            ),
            (
                "from dataclasses import replace\nfrom harness.loader.catalogue import KINDS\n"
                "from harness.plugins import FaultPlugin\n"
                "PLUGIN = FaultPlugin(name='x', kinds=KINDS[:1], make=None, healer=None)",
                "ValueError: its kind latency must have the driver 'x'",
            ),
        ],
    )
    def test_is_told_when_its_faults_are_needed(
        self, tmp_path: Path, experiment: Path, monkeypatch: pytest.MonkeyPatch, code: str, why: str
    ) -> None:
        """By `check`, by the rig, by healing and by doctor; an experiment without such a fault is none the worse."""
        offer(tmp_path, "broken", code, monkeypatch)
        monkeypatch.chdir(ROOT)
        try:
            words = f"broken 1.0: the plug-in broken (broken_module:PLUGIN) cannot be used: {why}"
            with pytest.raises(BadInput) as refusal:
                plugins.load(experiment)
            assert refusal.value.hint.splitlines()[-1] == words
            with pytest.raises(EnvironmentBroke) as broke:
                healer_of("flag_file")
            assert (str(broke.value), broke.value.hint) == ("there is no fault driver 'flag_file' here", words)
            finding = next(found for found in examine() if found.what == "fault plug-ins")
            assert (finding.well, finding.advice) == (False, words)
            experiment.write_text(TEXT)
            assert plugins.load(experiment).name == "ladder"
        finally:
            sys.modules.pop("broken_module", None)

    def test_two_that_offer_one_kind_are_refused(
        self, tmp_path: Path, experiment: Path, example: plugins.FaultPlugin, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nobody could say which one is meant."""
        offer(tmp_path, "twin", "from harness_flag_file import PLUGIN", monkeypatch)
        monkeypatch.chdir(ROOT)
        with pytest.raises(EnvironmentBroke, match="flag_file: set is offered twice"):
            plugins.load(experiment)
        sys.modules.pop("twin_module", None)


class Place:
    """A site that is only a folder."""

    def __init__(self, base_dir: Path) -> None:
        self.run = "r1"
        self.base_dir = self.log_dir = base_dir


def opened(folder: Path) -> Opened:
    """The head of the ledger of a run that has died."""
    return Opened(
        schema=1,
        run="r1",
        experiment="e",
        folder=str(folder / "gone"),
        user="u",
        wall="",
        pid=1,
        pid_started=0.0,
        boot="b",
        origin_ns=0,
    )
