"""Faults on links: Toxiproxy's toxics by their own names, and `down`."""

from __future__ import annotations

from harness.loader.catalogue.kind import Kind
from harness.loader.parameter import Param
from harness.units import NS_PER_MS, NS_PER_US

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
