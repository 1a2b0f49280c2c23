"""The reaper: a small process of its own that heals when its run dies. `lease.py` is the run's end of it.

The run writes a line to the reaper's standard input every half second, and the reaper answers each. When the input
ends (the run is dead) or is silent for the length of the lease (the run hangs, or was stopped), the reaper makes sure
that the run is dead, heals what the ledger has open, writes that into the run's journal, and ends.
"""

BEAT = "beat"
RELEASE = "release"
READY = "ready"
ANSWER = "ok"
LEASE_NS = 5_000_000_000
"""How long the run may be silent."""
