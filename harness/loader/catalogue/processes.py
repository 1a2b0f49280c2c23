"""Faults on the processes of a process stack."""

from __future__ import annotations

from harness.loader.catalogue.kind import Kind
from harness.loader.catalogue.services import stoppable
from harness.loader.catalogue.stress import stress_cpu, stress_memory
from harness.loader.parameter import Param

PROCESSES = (
    *stoppable("process", "process"),
    stress_cpu("process", "beside the service"),
    stress_memory(
        "process",
        "beside the service",
        felt="a helper holds the memory",
        leaves="nothing",
        feels="works as long as the host has memory",
    ),
    Kind(
        driver="process",
        name="open-files",
        params=(
            Param(
                name="limit",
                unit="number",
                whole=True,
                minimum=1,
                maximum=1 << 20,
                required=True,
                doc="most files and connections that each process may have open",
            ),
        ),
        felt="the limit is read back from the kernel for each process of the service",
        undo="restores the limit of each process, and of those that were forked meanwhile",
        leaves="what the service did when it could not open a file",
        new_connection="connects (the kernel accepts), then hears nothing once the limit is met",
        held_connection="works; what opens files fails once the limit is met",
    ),
)
