"""The scenario and what it needs, as one archive that may be unpacked on another machine.

What goes: the scenario's folder with its modules and small data (`SHIPPED`), and files that the experiment names.
What never goes: hidden files, virtual environments, caches, results, links. What is unpacked stays in its folder.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from harness.errors import BadInput

SHIPPED = frozenset(
    {".py", ".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".txt", ".yaml", ".yml", ".xml", ".proto", ".graphql", ".sql"}
)
_LEFT_OUT = frozenset({"__pycache__", "results", "node_modules", "venv", "env", "build", "dist", "site-packages"})
MOST_BYTES = 64 << 20
MOST_FILES = 5_000
_HINT = "keep the scenario in a folder of its own, with only what it needs beside it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipment:
    """An archive, and where in it the scenario and the experiment's own folder are (relative, with slashes)."""

    archive: bytes
    files: int
    scenario: str
    base: str


def pack(scenario: Path | None, base_dir: Path, named: Iterable[Path] = ()) -> Shipment:
    """The archive of a scenario's folder and of files that are named. Raises BadInput: too much, or not there."""
    base_dir = base_dir.resolve()
    asked = [path.resolve() for path in named]
    for path in asked:
        if not path.is_file():
            raise BadInput(f"{path}: no such file", hint="the workers need it: the experiment names it")
    folder = scenario.resolve().parent if scenario is not None else base_dir
    beside = _beside(folder) if scenario is not None else ()
    root = Path(os.path.commonpath([base_dir, folder, *(path.parent for path in asked)]))
    files = dict.fromkeys([*([scenario.resolve()] if scenario is not None else []), *beside, *asked])
    return Shipment(
        archive=_archive(root, files, folder),
        files=len(files),
        scenario=scenario.resolve().relative_to(root).as_posix() if scenario is not None else "",
        base=base_dir.relative_to(root).as_posix(),
    )


def _beside(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if _goes(Path(place) / name))
        for name in sorted(names):
            path = Path(place) / name
            if path.suffix.lower() in SHIPPED and not name.startswith(".") and path.is_file() and not path.is_symlink():
                yield path


def _goes(folder: Path) -> bool:
    hidden = folder.name.startswith(".") or folder.name in _LEFT_OUT
    return not (hidden or folder.is_symlink() or (folder / "pyvenv.cfg").exists())


def _archive(root: Path, files: Iterable[Path], folder: Path) -> bytes:
    buffer = io.BytesIO()
    total = 0
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for number, path in enumerate(files, start=1):
            total += path.stat().st_size
            if total > MOST_BYTES or number > MOST_FILES:
                raise BadInput(
                    f"{folder}: too much to send to the workers: more than {MOST_BYTES >> 20} MB or {MOST_FILES} files",
                    hint=_HINT,
                )
            member = tarfile.TarInfo(path.relative_to(root).as_posix())
            content = path.read_bytes()
            member.size, member.mode = len(content), 0o600
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def unpack(archive: bytes, into: Path) -> None:
    """Write the files into a folder. Raises ValueError for whatever would not stay there, and for anything but files.

    Each member is looked at by hand: extraction filters (PEP 706) are not in every Python 3.11.
    """
    total = 0
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as members:
            for number, member in enumerate(members, start=1):
                total += member.size
                if total > MOST_BYTES or number > MOST_FILES:
                    raise ValueError("more files or bytes than a harness sends")
                content = members.extractfile(member) if member.isreg() and not member.issparse() else None
                if content is None:
                    raise ValueError(f"{member.name!r:.100} is no plain file")
                path = into / _inside(member.name)
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                with path.open("xb") as file:
                    file.write(content.read())
    except (tarfile.TarError, OSError) as error:
        raise ValueError(f"the archive cannot be unpacked: {error}") from error


def inside(folder: Path, name: str) -> Path:
    """The place of a relative name in a folder. Raises ValueError when it would not be in there."""
    return folder / _inside(name)


def _inside(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
        raise ValueError(f"{name!r:.100} would not stay in its folder")
    return path
