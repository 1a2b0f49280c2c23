"""The sections of an experiment file as read, before anything is known to fit together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.experiment import Limit, ProbeSpec, Proxy, Question, Stack, Stage, TrafficSpec
from harness.loader.faults import Written
from harness.loader.problems import did_you_mean
from harness.loader.sections import Placed


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """The sections as read. `services` is None when nobody knows them (a compose file that is not looked at).

    `named` holds, by section, every name that was written, also of entries that could not be read; `partial` the
    sections of which something could not be read: what misses a part of them may only be a consequence.
    """

    stack: Stack | None
    services: frozenset[str] | None
    proxies: tuple[Placed[Proxy], ...]
    traffic: TrafficSpec | None
    stages: tuple[Placed[Stage], ...]
    faults: tuple[Placed[Written], ...]
    probes: tuple[Placed[ProbeSpec], ...]
    budget: tuple[Placed[Limit], ...]
    abort: tuple[Placed[Limit], ...]
    steady_state: tuple[Placed[Limit], ...]
    questions: tuple[Placed[Question], ...]
    seed: int
    named: Mapping[str, frozenset[str]]
    partial: frozenset[str] = frozenset()

    @property
    def links(self) -> frozenset[str] | None:
        """Names of services and proxies: everything that has an address. None when services are unknown."""
        return None if self.services is None else self.services | self.named["proxies"]

    def scoped(self, name: str) -> bool:
        """Whether a limit `in name` has any time to be looked at."""
        return name in self.named["stages"] | self.named["faults"] | {stage.value.role for stage in self.stages}


def no_such(what: str, name: str, known: Iterable[str]) -> str:
    """The message for a name that refers to nothing."""
    names = sorted(known)
    listed = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return f"no {what} is called {name}{did_you_mean(name, names)} (there are: {listed or 'none'})"
