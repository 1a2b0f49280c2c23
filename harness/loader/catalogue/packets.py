"""Faults in a container's own network namespace."""

from __future__ import annotations

from harness.loader.catalogue.kind import Kind
from harness.loader.parameter import Param
from harness.units import NS_PER_MS

_SHAPED = "removes our queueing discipline; the kernel's own comes back"
_FILTERED = "removes our chain from the container's packet filter"

PACKETS = (
    Kind(
        driver="container",
        name="partition",
        params=(
            Param(name="from", unit="word", required=True, doc="service or container that it can no longer reach"),
        ),
        felt="packets between the two were stopped, by the kernel's counters",
        undo=_FILTERED,
        leaves="nothing",
        new_connection="between the two hangs; all others work",
        held_connection="between the two hears nothing, and goes on afterwards",
    ),
    Kind(
        driver="container",
        name="loss",
        params=(
            Param(
                name="share",
                unit="share",
                minimum=0.0001,
                maximum=1.0,
                required=True,
                doc="share of packets that is lost, in each direction by itself, such as 10%",
            ),
            Param(
                name="port",
                unit="number",
                whole=True,
                default=0,
                maximum=65535,
                doc="only packets from or to this port, TCP or UDP; without it all but loopback",
            ),
        ),
        felt="packets were dropped, by the kernel's counters",
        undo=_FILTERED,
        leaves="nothing",
        new_connection="connects late when its first packet is lost (after 1 s, 3 s, ...)",
        held_connection="answers late, by at least 200 ms for each loss",
    ),
    Kind(
        driver="container",
        name="dns",
        params=(
            Param(
                name="answer",
                unit="word",
                default="refuse",
                choices=("refuse", "drop"),
                doc="refuse: looking up a name fails at once; drop: it hangs for the resolver's time limit",
            ),
        ),
        felt="questions, or answers to them, were stopped, by the kernel's counters",
        undo=_FILTERED,
        leaves="names that the service has cached as unknown",
        new_connection="by the container to a name fails; to an address works",
        held_connection="works",
    ),
    Kind(
        driver="container",
        name="rate",
        params=(
            Param(
                name="rate",
                unit="rate",
                scale=1000,
                minimum=1,
                required=True,
                doc="most bytes a second that leave each interface of the container, such as 1MB/s",
            ),
        ),
        felt="packets were held back or dropped at the rate, by the kernel's counters",
        undo=_SHAPED,
        leaves="nothing",
        new_connection="large answers come slowly",
        held_connection="large answers come slowly",
        knob="shaping",
    ),
    Kind(
        driver="container",
        name="delay",
        params=(
            Param(
                name="delay",
                unit="duration",
                scale=NS_PER_MS,
                minimum=1,
                required=True,
                doc="added to each packet that leaves the container",
            ),
            Param(
                name="jitter",
                unit="duration",
                scale=NS_PER_MS,
                default="0ms",
                doc="each delay is drawn from delay - jitter to delay + jitter; packets may overtake each other",
            ),
        ),
        felt="packets passed the delay, by the kernel's counters",
        undo=_SHAPED,
        leaves="nothing",
        new_connection="connects late and answers late",
        held_connection="answers late",
        knob="shaping",
    ),
)
