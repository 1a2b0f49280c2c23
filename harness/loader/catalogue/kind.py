"""A fault kind as data. See the package."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.errors import EnvironmentBroke
from harness.experiment import Scalar
from harness.loader.parameter import Param

# The keys of a fault in YAML that are the same for every kind; no parameter may be called like them.
COMMON_KEYS = ("name", "on", "mode", "during", "after", "for", "every", "times", "irreversible")
_KEY_OF_DRIVER = {"toxiproxy": "toxic"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A fault kind. The sentences are for the timeline and the docs.

    `felt` is the proof that it has its effect, `undo` what healing does, `leaves` what stays behind after that;
    `new_connection` and `held_connection` say what a client sees. `knob` is the thing that it turns: two faults on one
    knob of one target may not overlap, and knob "state" may not overlap with any other fault there. With `knob_param`
    the value of that parameter says which knob it is.
    """

    driver: str
    name: str
    params: tuple[Param, ...]
    felt: str
    undo: str
    leaves: str
    new_connection: str
    held_connection: str
    knob: str = ""
    knob_param: str = ""

    @property
    def key(self) -> str:
        """The key under which YAML names the kind: toxic, container, process, or the name of another driver."""
        return _KEY_OF_DRIVER.get(self.driver, self.driver)

    def knobs(self, params: Mapping[str, Scalar]) -> frozenset[str]:
        """What a fault of this kind with these parameters turns, one per direction for toxics."""
        knob = str(params.get(self.knob_param) or self.knob or self.name)
        stream = params.get("stream")
        streams = ("upstream", "downstream") if stream == "both" else (stream,)
        return frozenset(f"{knob}/{each}" if each else knob for each in streams)


def index(kinds: Iterable[Kind]) -> dict[tuple[str, str], Kind]:
    """Kinds by (key in YAML, name). Raises EnvironmentBroke when two drivers claim one name: a plug-in is wrong."""
    found: dict[tuple[str, str], Kind] = {}
    for kind in kinds:
        if (kind.key, kind.name) in found:
            raise EnvironmentBroke(f"fault kind {kind.key}: {kind.name} is offered twice", hint="remove one plug-in")
        taken = {param.name for param in kind.params} & {*COMMON_KEYS, kind.key}
        if taken:
            raise EnvironmentBroke(
                f"fault kind {kind.key}: {kind.name} has a parameter {min(taken)}, which every fault has",
                hint="rename the parameter in the plug-in",
            )
        found[kind.key, kind.name] = kind
    return found
