"""Who can take back what, from the ledger alone: the drivers again, made without the run that they served."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from harness.healing.hand import Healer


def _container() -> Healer:
    from harness.faults.container import ContainerFaults

    return ContainerFaults(lambda name: name)


def _toxiproxy() -> Healer:
    from harness.faults.toxiproxy import healer

    return healer()


def _process() -> Healer:
    from harness.faults.process import healer

    return healer()


def _command() -> Healer:
    from harness.faults.command import healer

    return healer()


def _http() -> Healer:
    from harness.faults.http import healer

    return healer()


def _compose() -> Healer:
    from harness.stacks.compose import healer

    return healer()


def _links() -> Healer:
    from harness.links import healer

    return healer()


HEALERS: Mapping[str, Callable[[], Healer]] = {
    "container": _container,
    "toxiproxy": _toxiproxy,
    "process": _process,
    "command": _command,
    "http": _http,
    "compose": _compose,
    "links": _links,
}


def healer_of(driver: str) -> Healer:
    """The healer of a driver, a plug-in's too. Raises EnvironmentBroke for one that nobody here knows."""
    make = HEALERS.get(driver)
    if make is None:
        from harness import plugins

        return plugins.healer_of(driver)
    return make()
