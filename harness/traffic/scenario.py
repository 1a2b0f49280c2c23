"""Reading a locustfile, in a child process: its user classes, or the one thing wrong with it, with file and line."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_HINT_IMPORT = "the scenario must import without error; try: python {path}"
_HINT_MODULE = "install it into the harness's Python: {python} -m pip install {name}"
_PACKAGES = {
    "grpc": "grpcio", "grpc_health": "grpcio-health-checking", "psycopg": "'psycopg[binary]'",
    "websocket": "websocket-client",
}  # fmt: skip
"""What to install, where that is not called as the import."""
_HINT_CLASS = "add a class such as: class Visitor(HttpUser) with at least one @task"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The user classes of a locustfile by name, and how many LoadTestShape classes it has."""

    classes: tuple[Any, ...]
    shapes: int


class ScenarioError(Exception):
    """The scenario cannot be used: `where` is file:line when it is known."""

    def __init__(self, message: str, *, where: str, hint: str) -> None:
        super().__init__(message)
        self.where = where
        self.hint = hint


def load(path: Path, loader: Callable[[str], tuple[dict[str, Any], list[Any]]]) -> Loaded:
    """Import the locustfile with Locust's own `loader`. Raises ScenarioError for whatever it does wrong."""
    try:
        classes, shapes = loader(str(path))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # sys.exit() and the like in a scenario are its errors too
        raise _import_error(path, error) from error
    usable = tuple(found for found in classes.values() if found.weight > 0 or found.fixed_count > 0)
    if not usable:
        raise ScenarioError("the scenario has no user class to run", where=str(path), hint=_HINT_CLASS)
    names = [found.__name__ for found in usable]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise ScenarioError(
            f"two user classes are called {doubled[0]}", where=str(path), hint="give each user class its own name"
        )
    return Loaded(classes=usable, shapes=len(shapes))


def _import_error(path: Path, error: BaseException) -> ScenarioError:
    hint = _HINT_IMPORT.format(path=path)
    if isinstance(error, ModuleNotFoundError) and error.name:
        module = error.name.partition(".")[0]
        hint = _HINT_MODULE.format(python=sys.executable, name=_PACKAGES.get(module, module))
    if isinstance(error, SyntaxError):
        place = f"{error.filename}:{error.lineno}"
        return ScenarioError(f"{type(error).__name__}: {error.msg}", where=place, hint=hint)
    said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return ScenarioError(f"importing the scenario raised {said}", where=_place(path, error), hint=hint)


def _place(path: Path, error: BaseException) -> str:
    """file:line of the deepest frame in the scenario's own folder, else of the scenario."""
    folder = path.resolve().parent
    frames = traceback.extract_tb(error.__traceback__)
    for frame in reversed(frames):
        source = Path(frame.filename)
        if source.is_absolute() and source.resolve().is_relative_to(folder) and "site-packages" not in source.parts:
            return f"{source}:{frame.lineno}"
    return str(path)
