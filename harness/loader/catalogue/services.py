"""What containers and processes have in common: kill, stop, restart, pause."""

from __future__ import annotations

from harness.loader.catalogue.kind import Kind
from harness.loader.parameter import Param

SIGNALS = (
    *("KILL", "TERM", "INT", "HUP", "QUIT", "ABRT", "USR1", "USR2", "ALRM", "BUS", "CHLD", "FPE", "ILL", "IO", "PIPE"),
    *("PROF", "PWR", "RTMAX", "RTMIN", "SEGV", "STKFLT", "SYS", "TRAP", "URG", "VTALRM", "WINCH", "XCPU", "XFSZ"),
)
"""Every signal of Linux but those that freeze a process or let it go on: that is `pause`, and nothing undoes a STOP."""
SIGNAL = Param(
    name="signal",
    unit="word",
    default="KILL",
    choices=SIGNALS,
    doc="signal that is sent and must end it, with or without SIG, or its number",
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


def stoppable(driver: str, thing: str) -> tuple[Kind, ...]:
    """Kill, stop, restart and pause of one driver."""
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
