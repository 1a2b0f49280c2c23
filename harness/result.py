"""A run's folder: `results/<experiment>/<run>/`, written in phases, each file whole or not there.

experiment.yaml plan.json header.json     before anything is touched
journal.jsonl logs/                       the truth; everything below can be rebuilt from it
evidence.json verdict.json report.*  ...  after judging
"""

from __future__ import annotations

import json
import os
import platform
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from harness.errors import BadInput, EnvironmentBroke
from harness.journal import Json
from harness.secrets import is_secret_name, mask_text
from harness.version import VERSION

JOURNAL = "journal.jsonl"
LOGS = "logs"
LATEST = "latest"
_PACKAGES = ("locust", "docker", "toxiproxy-python", "matplotlib", "numpy", "scipy", "psutil")


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A run's place on disk."""

    path: Path

    @property
    def journal(self) -> Path:
        """The journal's file."""
        return self.path / JOURNAL

    @property
    def logs(self) -> Path:
        """Where services and traffic processes leave their output."""
        return self.path / LOGS

    @property
    def run(self) -> str:
        """The run's name."""
        return self.path.name

    def write(self, name: str, content: bytes) -> None:
        """Write a file whole: to a temporary name, then renamed. Raises EnvironmentBroke (disk full, say)."""
        target = self.path / name
        partial = target.with_name(f".{target.name}.partial")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(content)
            partial.replace(target)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise EnvironmentBroke(f"{target}: cannot be written: {error.strerror}") from error

    def mask_logs(self) -> None:
        """Hide secrets in what services and scenarios have printed. A log that cannot be rewritten stays as it is."""
        for log in self.logs.glob("*.log"):
            partial = log.with_name(f".{log.name}.partial")
            try:
                with (
                    log.open(encoding="utf-8", errors="surrogateescape", newline="\n") as old,
                    partial.open("w", encoding="utf-8", errors="surrogateescape", newline="\n") as new,
                ):
                    new.writelines(map(mask_text, old))
                partial.replace(log)
            except OSError:
                partial.unlink(missing_ok=True)

    def make_latest(self) -> None:
        """Let `latest` point at this run. Raises EnvironmentBroke."""
        link = self.path.parent / f".{LATEST}.{self.run}"
        try:
            link.symlink_to(self.run)
            link.replace(self.path.parent / LATEST)
        except OSError as error:
            raise EnvironmentBroke(f"{link}: cannot be made: {error.strerror}") from error

    def discard(self) -> None:
        """Remove the folder of a run that never began."""
        shutil.rmtree(self.path, ignore_errors=True)


def create(root: Path, experiment: str, started: datetime) -> RunFolder:
    """A new folder for a run. Raises EnvironmentBroke when it cannot be made."""
    run = f"{started:%Y-%m-%dT%H-%M-%SZ}-{secrets.token_hex(2)}"
    folder = root / experiment / run
    try:
        (folder / LOGS).mkdir(parents=True)
    except OSError as error:
        raise EnvironmentBroke(
            f"{folder}: cannot be made: {error.strerror}", hint="give another folder with --output"
        ) from error
    return RunFolder(folder)


def find(name: str, root: Path) -> RunFolder:
    """The run that a person means: a folder, a journal, a run's name, or an experiment's name (its latest run)."""
    given = Path(name)
    candidates = [given, given.parent if given.name == JOURNAL else given, root / name, root / name / LATEST]
    candidates += sorted(root.glob(f"*/{name}")) if "/" not in name else []
    for candidate in candidates:
        if (candidate / JOURNAL).is_file():
            return RunFolder(candidate.resolve())
    raise BadInput(f"{name}: no run of that name", hint=f"give a run's folder; `harness list` shows those in {root}")


def runs(root: Path) -> Iterator[RunFolder]:
    """Every run below `root`, oldest first."""
    for journal in sorted(root.glob(f"*/*/{JOURNAL}"), key=lambda path: path.parent.name):
        if not journal.parent.is_symlink():
            yield RunFolder(journal.parent)


def outcome_of(folder: RunFolder) -> str:
    """The word of a run's verdict.json, "dirty" for one that left something on its target, or "unjudged"."""
    try:
        document = json.loads((folder.path / "verdict.json").read_bytes())
    except (OSError, ValueError):
        return "unjudged"
    if not isinstance(document, dict):
        return "unjudged"
    return "dirty" if document.get("dirty") else str(document.get("outcome", "unjudged"))


def provenance(argv: list[str], base_dir: Path) -> dict[str, Json]:
    """Where a result comes from: versions, host, command line and the state of the git checkout."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    packages: dict[str, Json] = {"harness": VERSION, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            packages[name] = None
    return {
        "argv": [_without_secret(word) for word in argv],
        "versions": packages,
        "host": {
            "system": platform.system(),
            "kernel": platform.release(),
            "machine": platform.machine(),
            "cores": os.cpu_count(),
            "memory_bytes": memory,
        },
        "git": _git_state(base_dir),
        "pid": os.getpid(),
        "pid_started": psutil.Process().create_time(),
    }


def _without_secret(word: str) -> str:
    """A word of the command line; `--set stack...PASSWORD=x` keeps its path and loses its value."""
    path, equals, _ = word.partition("=")
    return f"{path}=***" if equals and is_secret_name(path.rpartition(".")[2]) else mask_text(word)


def _git_state(folder: Path) -> dict[str, Json]:
    def ask(*words: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=5, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    commit = ask("rev-parse", "HEAD")
    if commit is None:
        return {}
    return {"commit": commit, "dirty": bool(ask("status", "--porcelain", "--untracked-files=no"))}


def as_json(document: Mapping[str, object]) -> bytes:
    """A document as indented JSON with a final newline."""
    return (json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
