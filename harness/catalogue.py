"""Every kind of fault as data: its parameters, how it is felt, how it is undone, what it may leave behind.

One entry serves the loader (what may be written), the schema, the timeline (undo in words) and the docs. Parameters
are normalised to the driver's own units, so that a driver passes `Fault.params` on as they are. Third parties hand
further kinds to `loader.load(extra_kinds=...)`.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from harness.errors import EnvironmentBroke
from harness.experiment import Scalar
from harness.units import NS_PER_MS, NS_PER_US, duration_ns, percent_share, size_bytes

Unit = Literal["duration", "size", "rate", "share", "number", "word"]

# The keys of a fault in YAML that are the same for every kind; no parameter may be called like them.
COMMON_KEYS = ("name", "on", "during", "after", "for")
_KEY_OF_DRIVER = {"toxiproxy": "toxic"}
_LONGEST_WRITTEN = 40
_MOST = 2**53
_WRITTEN_SECOND = "/s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Param:
    """A parameter of a kind. `scale` is what one of the driver's units is: ns of a duration, bytes of a size or rate.

    A parameter that is not required has its default as a person would write it.
    """

    name: str
    unit: Unit
    doc: str
    required: bool = False
    default: str | int | float = ""
    choices: tuple[str, ...] = ()
    scale: int = 1
    minimum: float = 0
    maximum: float = _MOST

    def read(self, written: object) -> Scalar:
        """The value in the driver's units. Raises ValueError with what was expected and got."""
        if isinstance(written, str) and len(written) > _LONGEST_WRITTEN:
            raise ValueError(f"expected {self.expected()}, got a text of {len(written)} characters")
        if self.unit == "word":
            return self._word(written)
        if self.unit == "share":
            return self._bounded(_share(written), written)
        if self.unit == "number":
            return self._bounded(_number(written), written)
        base = duration_ns(written) if self.unit == "duration" else self._bytes(written)
        whole, rest = divmod(base, self.scale)
        if rest:
            raise ValueError(f"expected {self.expected()}, got {written!r}, which is no whole number of them")
        return int(self._bounded(whole, written))

    def expected(self) -> str:
        """What may be written, in words: 'a duration in whole milliseconds such as 200ms'."""
        if self.unit == "duration":
            return f"a duration in whole {_SCALE_WORDS[self.scale]} such as {_SCALE_EXAMPLES[self.scale]}"
        if self.unit == "rate":
            return "a rate in whole KB/s such as 100KB/s"
        if self.unit == "word" and self.choices:
            return f"one of {', '.join(self.choices)}"
        return _EXPECTED[self.unit]

    def _word(self, written: object) -> str:
        if not isinstance(written, str) or (not written and self.required):
            raise ValueError(f"expected {self.expected()}, got {written!r}")
        if not self.choices:
            return written
        word = written.upper().removeprefix("SIG") if self.name == "signal" else written
        if word not in self.choices:
            raise ValueError(f"expected {self.expected()}, got {written!r}{did_you_mean(word, self.choices)}")
        return word

    def _bytes(self, written: object) -> int:
        if self.unit == "size":
            return size_bytes(written)
        if not isinstance(written, str) or not written.endswith(_WRITTEN_SECOND):
            raise ValueError(f"expected {self.expected()}, got {written!r}")
        return size_bytes(written.removesuffix(_WRITTEN_SECOND).strip())

    def _bounded(self, value: float, written: object) -> float:
        if not self.minimum <= value <= self.maximum:
            low, high = f"at least {self.minimum:g}", f"at most {self.maximum:g}"
            word = low if value < self.minimum else high
            unit = f" {self._driver_unit()}" if self._driver_unit() else ""
            raise ValueError(f"expected {word}{unit}, got {written!r}")
        return value

    def _driver_unit(self) -> str:
        if self.unit == "duration":
            return {NS_PER_MS: "ms", NS_PER_US: "us"}.get(self.scale, "ns")
        return {"size": "bytes", "rate": "KB/s"}.get(self.unit, "")

    def schema(self) -> dict[str, object]:
        """The JSON Schema of what may be written."""
        about: dict[str, object] = {"description": self.doc}
        if not self.required and self.default != "":
            about["default"] = self.default
        if self.unit == "word" and self.name == "signal":
            about["type"] = "string"
            about["enum"] = [*self.choices, *(f"SIG{word}" for word in self.choices)]
        elif self.choices:
            about["enum"] = list(self.choices)
        else:
            about.update(_SCHEMAS[self.unit])
        if self.unit == "number":
            about["minimum"] = self.minimum
        return about


_SCALE_WORDS = {NS_PER_MS: "milliseconds", NS_PER_US: "microseconds"}
_SCALE_EXAMPLES = {NS_PER_MS: "200ms", NS_PER_US: "500us"}
_EXPECTED = {
    "size": "a size such as 64MB or 512KiB",
    "share": "a share from 0 to 1 or a percentage such as 30%",
    "number": "a number such as 0.5",
    "word": "a word",
}
_SCHEMAS: Mapping[str, Mapping[str, object]] = {
    "duration": {"type": "string", "pattern": r"^(\d+(\.\d+)?\s*(ns|us|ms|min|s|m|h)\s*)+$"},
    "size": {"type": "string", "pattern": r"^\d+(\.\d+)?\s*[KkMmGg]?[Ii]?[Bb]$"},
    "rate": {"type": "string", "pattern": r"^\d+(\.\d+)?\s*[KkMmGg]?[Ii]?[Bb]\s*/s$"},
    "share": {
        "anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, {"type": "string", "pattern": r"^\d+(\.\d+)?\s*%$"}]
    },
    "number": {"type": "number"},
    "word": {"type": "string"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A fault kind. The sentences are for the timeline and the docs.

    `felt` is the proof that it has its effect, `undo` what healing does, `leaves` what stays behind after that;
    `new_connection` and `held_connection` say what a client sees. `knob` is the thing that it turns: two faults on one
    knob of one target may not overlap, and knob "state" may not overlap with any other fault there.
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

    @property
    def key(self) -> str:
        """The key under which YAML names the kind: toxic, container, process, or the name of another driver."""
        return _KEY_OF_DRIVER.get(self.driver, self.driver)

    def knobs(self, params: Mapping[str, Scalar]) -> frozenset[str]:
        """What a fault of this kind with these parameters turns, one per direction for toxics."""
        knob = self.knob or self.name
        stream = params.get("stream")
        streams = ("upstream", "downstream") if stream == "both" else (stream,)
        return frozenset(f"{knob}/{each}" if each else knob for each in streams)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """'; did you mean latency?' when something known is near, else nothing."""
    near = difflib.get_close_matches(word[:_LONGEST_WRITTEN], list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""


def index(kinds: Iterable[Kind]) -> dict[tuple[str, str], Kind]:
    """Kinds by (key in YAML, name). Raises EnvironmentBroke when two drivers claim one name: a plug-in is wrong."""
    found: dict[tuple[str, str], Kind] = {}
    for kind in kinds:
        if (kind.key, kind.name) in found:
            raise EnvironmentBroke(f"fault kind {kind.key}: {kind.name} is offered twice", hint="remove one plug-in")
        taken = {param.name for param in kind.params} & {*COMMON_KEYS, kind.key}
        if taken:
            raise EnvironmentBroke(
                f"fault kind {kind.key}: {kind.name} has a parameter called {min(taken)}, which every fault has already",
                hint="rename the parameter in the plug-in",
            )
        found[kind.key, kind.name] = kind
    return found


def find(driver: str, name: str, kinds: Iterable[Kind] = ()) -> Kind | None:
    """The kind of a loaded fault, among ours and `kinds`."""
    return next((kind for kind in (*KINDS, *kinds) if (kind.driver, kind.name) == (driver, name)), None)


def _number(written: object) -> float:
    if isinstance(written, bool) or not isinstance(written, int | float) or not math.isfinite(written):
        raise ValueError(f"expected {_EXPECTED['number']}, got {written!r}")
    return float(written)


def _share(written: object) -> float:
    if isinstance(written, str):
        return percent_share(written)
    if isinstance(written, bool) or not isinstance(written, int | float) or not math.isfinite(written):
        raise ValueError(f"expected {_EXPECTED['share']}, got {written!r}")
    return float(written)


STREAM = Param(
    name="stream",
    unit="word",
    default="downstream",
    choices=("upstream", "downstream", "both"),
    doc="direction: upstream is client to service, downstream is service to client",
)
TOXICITY = Param(
    name="toxicity",
    unit="share",
    default=1.0,
    minimum=0.0001,
    maximum=1.0,
    doc="share of connections that are hit, such as 0.3 or 30%; drawn once for each connection, not for each request",
)
SIGNAL = Param(
    name="signal",
    unit="word",
    default="KILL",
    choices=("KILL", "TERM", "INT", "HUP", "QUIT", "ABRT", "USR1", "USR2"),
    doc="signal that is sent, with or without SIG",
)


def _toxic(name: str, *params: Param, felt: str, new: str, held: str, leaves: str = "nothing") -> Kind:
    return Kind(
        driver="toxiproxy",
        name=name,
        params=(*params, STREAM, TOXICITY),
        felt=felt,
        undo="removes the toxic",
        leaves=leaves,
        new_connection=new,
        held_connection=held,
    )


def _ms(name: str, doc: str, *, minimum: int = 0, default: str = "", required: bool = False) -> Param:
    return Param(
        name=name, unit="duration", scale=NS_PER_MS, doc=doc, minimum=minimum, default=default, required=required
    )


TOXICS = (
    _toxic(
        "latency",
        _ms("latency", "added to each piece of data", minimum=1, required=True),
        _ms("jitter", "each delay is drawn from latency - jitter to latency + jitter", default="0ms"),
        felt="an exchange through the proxy takes longer by the latency",
        new="connects at once, answers late",
        held="answers late from the next data on",
    ),
    _toxic(
        "bandwidth",
        Param(
            name="rate", unit="rate", scale=1000, minimum=1, required=True, doc="most bytes a second, such as 100KB/s"
        ),
        felt="data through the proxy comes no faster than the rate",
        new="connects at once, large answers come slowly",
        held="large answers come slowly",
    ),
    _toxic(
        "slow_close",
        _ms("delay", "how long a close is held back", minimum=1, required=True),
        felt="the close of a connection comes late by the delay",
        new="works; its close comes late",
        held="works; its close comes late",
    ),
    _toxic(
        "timeout",
        _ms("timeout", "the connection is closed after so long; 0s: never, it hangs until healed", default="0s"),
        felt="no data comes through",
        new="connects, then hears nothing",
        held="hears nothing",
        leaves="connections that it hit are closed when it is removed",
    ),
    _toxic(
        "reset_peer",
        _ms("timeout", "the connection is reset after so long; 0s: at once", default="0s"),
        felt="a connection through the proxy ends by a reset",
        new="is reset",
        held="is closed, by a reset where the server can",
        leaves="connections that it hit are gone; clients connect anew",
    ),
    _toxic(
        "slicer",
        Param(name="average_size", unit="size", minimum=1, required=True, doc="mean size of a slice, such as 64B"),
        Param(name="size_variation", unit="size", default="0B", doc="slices are so much smaller or larger"),
        Param(name="delay", unit="duration", scale=NS_PER_US, default="0us", doc="pause between two slices"),
        felt="data arrives in small pieces",
        new="answers arrive in slices",
        held="answers arrive in slices",
    ),
    _toxic(
        "limit_data",
        Param(name="bytes", unit="size", minimum=1, required=True, doc="the connection is closed after so many bytes"),
        felt="a connection through the proxy ends after the bytes",
        new="is closed after the bytes",
        held="is closed after the bytes, counted from when the toxic came",
        leaves="connections that it hit are gone; clients connect anew",
    ),
    Kind(
        driver="toxiproxy",
        name="down",
        params=(),
        felt="a connection to the proxy is refused",
        undo="enables the proxy",
        leaves="all connections were closed; clients connect anew",
        new_connection="is refused",
        held_connection="is closed",
        knob="state",
    ),
)

_RESTARTS = "what the service kept in memory is gone; clients connect anew"


def _state(driver: str, name: str, *params: Param, felt: str, undo: str, leaves: str, new: str, held: str) -> Kind:
    return Kind(
        driver=driver,
        name=name,
        params=params,
        felt=felt,
        undo=undo,
        leaves=leaves,
        new_connection=new,
        held_connection=held,
        knob="state",
    )


def _stoppable(driver: str, thing: str) -> tuple[Kind, ...]:
    starts = f"starts the {thing} again, and waits until it runs"
    gone = f"the {thing} does not run"
    return (
        _state(driver, "kill", SIGNAL, felt=gone, undo=starts, leaves=_RESTARTS, new="is refused", held="is reset"),
        _state(driver, "stop", felt=gone, undo=starts, leaves=_RESTARTS, new="is refused", held="is closed"),
        _state(
            driver,
            "restart",
            felt=f"the {thing} has a new start time",
            undo=f"waits until the {thing} runs",
            leaves=_RESTARTS,
            new="is refused until it runs again",
            held="is closed",
        ),
        _state(
            driver,
            "pause",
            felt=f"the {thing} is frozen",
            undo=f"lets the {thing} go on",
            leaves="requests that waited are answered late, all at once",
            new="connects (the kernel accepts), then hears nothing",
            held="hears nothing",
        ),
    )


CONTAINERS = (
    *_stoppable("container", "container"),
    Kind(
        driver="container",
        name="disconnect",
        params=(Param(name="network", unit="word", doc="name of the network; without it the container's only one"),),
        felt="the container is not on the network",
        undo="connects the container again, with its aliases and addresses",
        leaves="clients connect anew",
        new_connection="finds no such host, or hears nothing",
        held_connection="hears nothing",
        knob="network",
    ),
    Kind(
        driver="container",
        name="cpu",
        params=(
            Param(
                name="cpus",
                unit="number",
                minimum=0.01,
                maximum=1024,
                required=True,
                doc="most CPU time, in cores: 0.1",
            ),
        ),
        felt="the container's quota is the one asked for, and throttling grows under load",
        undo="restores the CPU quota that was there before",
        leaves="nothing",
        new_connection="answers late under load",
        held_connection="answers late under load",
        knob="cpu",
    ),
    Kind(
        driver="container",
        name="memory",
        params=(
            Param(
                name="limit",
                unit="size",
                minimum=6 << 20,
                required=True,
                doc="most memory, at least 6MiB; above it the kernel kills a process of the container",
            ),
        ),
        felt="the container's limit is the one asked for",
        undo="restores the memory limit that was there before",
        leaves="a process that was killed for memory is gone unless its container restarts it",
        new_connection="works until the limit is met",
        held_connection="works until the limit is met",
        knob="memory",
    ),
)

PROCESSES = _stoppable("process", "process")

KINDS: tuple[Kind, ...] = (*TOXICS, *CONTAINERS, *PROCESSES)
