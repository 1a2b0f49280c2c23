"""Faults on containers."""

from __future__ import annotations

from harness.loader.catalogue.kind import Kind
from harness.loader.catalogue.packets import PACKETS
from harness.loader.catalogue.services import stoppable
from harness.loader.catalogue.stress import WORKERS, stress_cpu, stress_memory
from harness.loader.parameter import Param

CONTAINERS = (
    *stoppable("container", "container"),
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
    *PACKETS,
    stress_cpu("container", "in the container's cgroup"),
    stress_memory(
        "container",
        "in the container's cgroup, and starts the container if the kernel killed it",
        felt="a helper holds the memory, or the kernel has killed for it within the container",
        leaves="a process that was killed for memory is gone unless its container restarts it",
        feels="works until the container's limit is met",
    ),
    Kind(
        driver="container",
        name="stress-io",
        params=(WORKERS, Param(name="path", unit="text", default="/", doc="folder in the container to write in")),
        felt="the kernel counts bytes that the helpers wrote",
        undo="ends the helper processes in the container's cgroup",
        leaves="nothing; the files have no name",
        new_connection="answers late if it needs the disk",
        held_connection="answers late if it needs the disk",
    ),
    Kind(
        driver="container",
        name="fill-disk",
        params=(
            Param(name="path", unit="text", default="/tmp", doc="folder in the container to fill"),  # noqa: S108
            Param(name="size", unit="size", minimum=1, default="500MB", doc="how much is taken"),
        ),
        felt="the file is there and takes its blocks",
        undo="removes the file, also when the container runs no more",
        leaves="what the service did when its writes failed",
        new_connection="works until something has to be written",
        held_connection="works until something has to be written",
    ),
)
