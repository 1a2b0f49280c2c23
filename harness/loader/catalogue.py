"""Every kind of fault as data: its parameters, how it is felt, how it is undone, what it may leave behind.

One entry serves the loader (what may be written), the schema, the timeline (undo in words) and the docs. Parameters
are normalised to the driver's own units, so that a driver passes `Fault.params` on as they are. Third parties hand
further kinds to `loader.load(extra_kinds=...)`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.errors import EnvironmentBroke
from harness.experiment import Scalar
from harness.loader.parameter import Param
from harness.units import NS_PER_MS, NS_PER_US

# The keys of a fault in YAML that are the same for every kind; no parameter may be called like them.
COMMON_KEYS = ("name", "on", "during", "after", "for")
_KEY_OF_DRIVER = {"toxiproxy": "toxic"}


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


def find(driver: str, name: str, kinds: Iterable[Kind] = ()) -> Kind | None:
    """The kind of a loaded fault, among ours and `kinds`."""
    return next((kind for kind in (*KINDS, *kinds) if (kind.driver, kind.name) == (driver, name)), None)


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


def _toxic(name: str, *params: Param, new: str, held: str, leaves: str = "nothing") -> Kind:
    return Kind(
        driver="toxiproxy",
        name=name,
        params=(*params, STREAM, TOXICITY),
        felt="the toxic is read back from the proxy, and bytes or connections met it meanwhile",
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
        new="connects at once, answers late",
        held="answers late from the next data on",
    ),
    _toxic(
        "bandwidth",
        Param(
            name="rate", unit="rate", scale=1000, minimum=1, required=True, doc="most bytes a second, such as 100KB/s"
        ),
        new="connects at once, large answers come slowly",
        held="large answers come slowly",
    ),
    _toxic(
        "slow_close",
        _ms("delay", "how long a close is held back", minimum=1, required=True),
        new="works; its close comes late",
        held="works; its close comes late",
    ),
    _toxic(
        "timeout",
        _ms("timeout", "the connection is closed after so long; 0s: never, it hangs until healed", default="0s"),
        new="connects, then hears nothing",
        held="hears nothing",
        leaves="connections that it hit are closed when it is removed",
    ),
    _toxic(
        "reset_peer",
        _ms("timeout", "the connection is reset after so long; 0s: at once", default="0s"),
        new="is reset",
        held="is closed, by a reset where the server can",
        leaves="connections that it hit are gone; clients connect anew",
    ),
    _toxic(
        "slicer",
        Param(name="average_size", unit="size", minimum=1, required=True, doc="mean size of a slice, such as 64B"),
        Param(name="size_variation", unit="size", default="0B", doc="slices are so much smaller or larger"),
        Param(name="delay", unit="duration", scale=NS_PER_US, default="0us", doc="pause between two slices"),
        new="answers arrive in slices",
        held="answers arrive in slices",
    ),
    _toxic(
        "limit_data",
        Param(name="bytes", unit="size", minimum=1, required=True, doc="the connection is closed after so many bytes"),
        new="is closed after the bytes",
        held="is closed after the bytes, counted from when the toxic came",
        leaves="connections that it hit are gone; clients connect anew",
    ),
    Kind(
        driver="toxiproxy",
        name="down",
        params=(),
        felt="the proxy is read back as disabled, and a connection to it is refused",
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
    starts = f"starts the {thing} again"
    gone = f"the {thing} does not run"
    return (
        _state(driver, "kill", SIGNAL, felt=gone, undo=starts, leaves=_RESTARTS, new="is refused", held="is closed"),
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
        params=(Param(name="network", unit="word", doc="name of the network; without it all of the container's"),),
        felt="the container is not on the network",
        undo="connects the container again, with its aliases and addresses",
        leaves="clients connect anew",
        new_connection="is refused at a published port; from another container finds no such host",
        held_connection="ends at a published port; from another container hears nothing",
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
