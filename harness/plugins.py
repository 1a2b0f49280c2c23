"""Fault drivers of other packages, found by entry point. This is the one place that looks for them.

A package names an object in the group `harness.faults`; the object is a `FaultPlugin`. One that cannot be loaded is
told by `harness doctor`, and when an experiment has faults that nobody here knows; it is in nobody's way otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Protocol

from harness.errors import BadInput, EnvironmentBroke
from harness.experiment import Experiment
from harness.faults import FaultDriver, NoFaults
from harness.healing.hand import Healer
from harness.loader import load as load_file
from harness.loader.catalogue import KINDS, Kind, index

__all__ = [
    "GROUP",
    "FaultPlugin",
    "Found",
    "Healer",
    "Site",
    "healer_of",
    "installed",
    "kinds",
    "load",
    "make",
    "plugin_of",
]

GROUP = "harness.faults"


class Site(Protocol):
    """What a plug-in may ask of the run that its driver is made for."""

    @property
    def run(self) -> str:
        """The name of the run, unique: to mark with it what is put in force."""

    @property
    def base_dir(self) -> Path:
        """The folder from which the experiment's files are found."""

    @property
    def log_dir(self) -> Path:
        """Where the run keeps logs."""

    def address(self, name: str) -> str:
        """Where a service or a proxy is, the empty string when nobody knows. Services are known once they are up."""

    def container(self, name: str) -> str:
        """The container of a service of a compose stack; any other name is a container's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultPlugin:
    """One driver: its name, which is the key in YAML too, what it can do, and how it is made.

    `healer` makes what the reaper and `harness heal` call, in a process where there is no run; None says that nothing
    of its faults can outlive the harness.
    """

    name: str
    kinds: tuple[Kind, ...]
    make: Callable[[Site], FaultDriver]
    healer: Callable[[], Healer] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What is installed: plug-ins with their package and its version, and why others cannot be used."""

    plugins: tuple[tuple[str, FaultPlugin], ...]
    broken: tuple[str, ...]


def installed() -> Found:
    """Look for plug-ins and import them."""
    found: list[tuple[str, FaultPlugin]] = []
    broken: list[str] = []
    for entry in entry_points(group=GROUP):
        try:
            plugin = _checked(entry.load())
        except (Exception, SystemExit) as error:  # noqa: BLE001 - other people's code: whatever it does, ours goes on
            broken.append(f"{_package(entry)}: the plug-in {entry.name} ({entry.value}) cannot be used: {_why(error)}")
        else:
            found.append((_package(entry), plugin))
    return Found(plugins=tuple(found), broken=tuple(broken))


def kinds() -> tuple[Kind, ...]:
    """The fault kinds of all plug-ins that can be used."""
    return tuple(kind for _, plugin in installed().plugins for kind in plugin.kinds)


def plugin_of(driver: str) -> FaultPlugin:
    """The plug-in of a driver that is not ours. Raises EnvironmentBroke."""
    found = installed()
    plugin = next((plugin for _, plugin in found.plugins if plugin.name == driver), None)
    if plugin is None:
        raise EnvironmentBroke(
            f"there is no fault driver {driver!r} here", hint=_hint(found) or "install the plug-in that offers it"
        )
    return plugin


def make(driver: str, site: Site) -> FaultDriver:
    """A plug-in's driver for a run. Raises EnvironmentBroke."""
    return plugin_of(driver).make(site)


def healer_of(driver: str) -> Healer:
    """What heals for a plug-in without a run. Raises EnvironmentBroke."""
    healer = plugin_of(driver).healer
    return NoFaults() if healer is None else healer()


def load(path: Path, *, overrides: Sequence[str] = (), seed: int | None = None) -> Experiment:
    """As `harness.loader.load`, with the kinds of plug-ins; what is wrong with a fault may be a plug-in that is."""
    found = installed()
    extra = [kind for _, plugin in found.plugins for kind in plugin.kinds]
    try:
        return load_file(path, overrides=overrides, seed=seed, extra_kinds=extra)
    except BadInput as error:
        if not found.broken or not any(problem.path.startswith("faults") for problem in error.problems):
            raise
        hint = "\n".join(filter(None, (error.hint, _hint(found))))
        raise BadInput(hint=hint, problems=error.problems) from error


def _checked(loaded: object) -> FaultPlugin:
    if not isinstance(loaded, FaultPlugin):
        raise TypeError(f"expected a harness.plugins.FaultPlugin, got {type(loaded).__name__}")
    index(loaded.kinds)
    if loaded.name in {kind.driver for kind in KINDS}:
        raise ValueError(f"the harness has a driver called {loaded.name} itself")
    strange = [kind.name for kind in loaded.kinds if kind.driver != loaded.name]
    if strange:
        raise ValueError(f"its kind {strange[0]} must have the driver {loaded.name!r}")
    return loaded


def _package(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else entry.module


def _why(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def _hint(found: Found) -> str:
    return "\n".join(found.broken)
