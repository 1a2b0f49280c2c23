"""Who may import whom: read from the source, so that the house stays the house of docs/architecture.md."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "harness"

# A module imports only from lower rows; a name ending in "." stands for a package and all in it.
ROWS: tuple[tuple[str, ...], ...] = (
    ("errors", "units", "clock", "histogram", "version", "secrets"),
    ("experiment", "declared", "datafile"),
    ("loader.", "importing.", "plan", "journal", "ledger", "state"),
    ("timeline", "blast_radius", "evidence."),
    ("verdict",),
    ("clients.", "proxy."),
    ("judges.", "reports.", "stacks.", "traffic.", "faults.", "probes.", "links"),
    ("run.", "result"),
    ("testing.", "rig", "healing.", "opening", "locks", "generator", "plugins", "doctor", "starter"),
    ("reaper.",),
    ("conduct", "cli", "__main__", ""),
)
PURE = ("experiment", "declared", "plan", "verdict", "timeline", "blast_radius")
PURE_PACKAGES = ("evidence.", "judges.", "reports.", "importing.")
WORLDLY = {
    "socket",
    "subprocess",
    "threading",
    "time",
    "random",
    "docker",
    "requests",
    "locust",
    "gevent",
    "harness.run",
}
ONLY_IN = {
    "docker": ("clients/docker.py",),
    "locust": ("traffic/child/", "traffic/fast/", "traffic/sizing/null/"),
    "gevent": ("traffic/child/", "traffic/fast/"),
    "toxiproxy": ("clients/toxiproxy",),
}


@functools.cache
def modules() -> dict[str, Path]:
    """Dotted name below harness -> file."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path) -> set[str]:
    """Every module that a file imports, at the top or inside a function."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                found.add(submodule if submodule.removeprefix("harness.") in modules() else node.module)
    return found


def row(name: str) -> int:
    """The row of a module, or -1 when the table does not know it."""
    for number, names in enumerate(ROWS):
        if name in names or name.partition(".")[0] + "." in names:
            return number
    return -1


def at_the_top(name: str) -> bool:
    """Whether it stands in its row by itself. What heals is a package for its size only: it is of its row as before."""
    return "." not in name or name.startswith("healing.")


MODULES = modules()


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_only_from_its_own_package_or_lower_rows(name: str) -> None:
    """The table of rows is the law; an unknown module is a breach too."""
    assert row(name) >= 0, f"harness.{name} stands in no row of tests/test_architecture.py"
    for imported in imports(MODULES[name]):
        target = imported.removeprefix("harness").removeprefix(".")
        if not imported.startswith("harness") or target not in MODULES or target == "":
            continue
        if target.partition(".")[0] == name.partition(".")[0] and ("." in name or "." in target):
            continue
        same_row = row(target) == row(name) and at_the_top(name) and at_the_top(target)
        assert row(target) < row(name) or same_row, f"harness.{name} imports harness.{target} from a higher row"


@pytest.mark.parametrize("name", [n for n in MODULES if n in PURE or n.partition(".")[0] + "." in PURE_PACKAGES])
def test_what_is_pure_never_reaches_the_world(name: str) -> None:
    """Evidence, judges and reports are functions of files: no sockets, processes, clocks or dice."""
    if name == "reports.live":
        return  # it draws on a terminal while the run goes on
    assert not {module for module in imports(MODULES[name]) if module in WORLDLY or module.partition(".")[0] in WORLDLY}


@pytest.mark.parametrize("package", ONLY_IN)
def test_other_peoples_programs_have_one_door(package: str) -> None:
    """docker, locust, gevent and toxiproxy are imported where the architecture says, and nowhere else."""
    for path in MODULES.values():
        place = path.relative_to(ROOT).as_posix()
        if any(place.startswith(allowed) for allowed in ONLY_IN[package]):
            continue
        assert not [module for module in imports(path) if module.partition(".")[0] == package], place


def test_no_import_cycle() -> None:
    """Deferred imports counted."""
    graph = {
        name: {
            target
            for imported in imports(path)
            if (target := imported.removeprefix("harness.")) in MODULES and target != name and imported != "harness"
        }
        for name, path in MODULES.items()
    }
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail, name))
        if name not in done:
            for target in graph[name]:
                visit(target, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_files_and_functions_stay_small() -> None:
    """No module over 400 lines, no function over 60."""
    long = []
    for name, path in MODULES.items():
        text = path.read_text(encoding="utf-8")
        if text.count("\n") > 400:
            long.append(f"harness.{name}: {text.count(chr(10))} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                size = (node.end_lineno or 0) - node.lineno + 1
                if size > 60:
                    long.append(f"harness.{name}.{node.name}: {size} lines")
    assert not long


def test_the_map_names_every_module() -> None:
    """harness/__init__.py is the map: a module that is not on it cannot be found."""
    told = ast.get_docstring(ast.parse((ROOT / "__init__.py").read_text(encoding="utf-8"))) or ""
    words = set(told.replace("/", " ").split())
    assert not [name for name in MODULES if name and name.partition(".")[0] not in words | {"__main__"}]
