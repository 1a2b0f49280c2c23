"""What stress faults on containers and processes have in common."""

from __future__ import annotations

from harness.loader.catalogue.kind import Kind
from harness.loader.parameter import Param

WORKERS = Param(
    name="workers", unit="number", whole=True, minimum=1, maximum=64, default=1, doc="how many helper processes"
)
LOAD = Param(
    name="load",
    unit="share",
    minimum=0.01,
    maximum=1.0,
    default=1.0,
    doc="share of the time that each worker keeps a core busy, such as 0.8 or 80%",
)
SIZE = Param(name="size", unit="size", minimum=1 << 20, required=True, doc="memory that is held, such as 200MB")


def stress_cpu(driver: str, where: str) -> Kind:
    """CPU stress of one driver."""
    return Kind(
        driver=driver,
        name="stress-cpu",
        params=(WORKERS, LOAD),
        felt="the helpers used the CPU time that was asked, or waited for it",
        undo=f"ends the helper processes {where}",
        leaves="nothing",
        new_connection="answers late under load",
        held_connection="answers late under load",
    )


def stress_memory(driver: str, where: str, *, felt: str, leaves: str, feels: str) -> Kind:
    """Memory stress of one driver."""
    return Kind(
        driver=driver,
        name="stress-memory",
        params=(SIZE,),
        felt=felt,
        undo=f"ends the helper process {where}",
        leaves=leaves,
        new_connection=feels,
        held_connection=feels,
    )
