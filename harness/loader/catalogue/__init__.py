"""Every kind of fault as data: its parameters, how it is felt, how it is undone, what it may leave behind.

One entry serves the loader (what may be written), the schema, the timeline (undo in words) and the docs. Parameters
are normalised to the driver's own units, so that a driver passes `Fault.params` on as they are. Third parties hand
further kinds to `loader.load(extra_kinds=...)`.
"""

from __future__ import annotations

from collections.abc import Iterable

from harness.loader.catalogue.calls import CALLS
from harness.loader.catalogue.containers import CONTAINERS
from harness.loader.catalogue.kind import COMMON_KEYS, Kind, index
from harness.loader.catalogue.processes import PROCESSES
from harness.loader.catalogue.toxics import TOXICS

__all__ = ["CALLS", "COMMON_KEYS", "CONTAINERS", "KINDS", "PROCESSES", "TOXICS", "Kind", "find", "index"]

KINDS: tuple[Kind, ...] = (*TOXICS, *CONTAINERS, *PROCESSES, *CALLS)


def find(driver: str, name: str, kinds: Iterable[Kind] = ()) -> Kind | None:
    """The kind of a loaded fault, among ours and `kinds`."""
    return next((kind for kind in (*KINDS, *kinds) if (kind.driver, kind.name) == (driver, name)), None)
