"""Whether this machine has room for the users of an experiment: open files, and the addresses that they come from.

Looked at before anything runs: each of these would else show in the middle of a ramp, as requests that failed.
"""

from __future__ import annotations

import math
import socket

from harness.errors import BadInput
from harness.experiment import Experiment
from harness.traffic.sizing.files import FILES_KEPT, files_at_most
from harness.traffic.sizing.processes import decide, target_is_here

LOOPBACK_ADDRESSES = 250
"""To a target on loopback users connect from 127.0.0.1, 127.0.0.2 and so on; see traffic/fast/sources.py."""
Shortage = tuple[str, str]
"""What this machine is short of, and what to do about it."""


def shortages(experiment: Experiment, files: int | None = None) -> tuple[Shortage, ...]:
    """Of what there is too little here; of other hosts nothing is known. `files`: of a process, default as it is."""
    if experiment.traffic.workers is not None:
        return ()
    foreign = [address for address in experiment.traffic.source_addresses if not _is_ours(address)]
    found = [
        (f"traffic.source_addresses: {address} is no address of this machine", f"ip address add {address} dev ...")
        for address in foreign
    ]
    most = files_at_most() if files is None else files
    lacking = _files_lacking(users_of(experiment), decide(experiment).number, most)
    return (*found, lacking) if lacking else tuple(found)


def _files_lacking(users: int, processes: int, most: int) -> Shortage | None:
    needed = math.ceil(users / processes) + FILES_KEPT
    if needed <= most:
        return None
    plural = "process" if processes == 1 else "processes"
    enough = math.ceil(users / max(1, most - FILES_KEPT))
    remedy = (
        f"raise the hard limit (as root: ulimit -n {needed}; systemd: LimitNOFILE={needed}; "
        f"docker run --ulimit nofile={needed}), use {enough} processes (traffic: processes), "
        "or plan fewer users (with a rate: traffic: max_users)"
    )
    said = f"{users:,} users in {processes} traffic {plural} need {needed:,} open files each, of {most:,} allowed here"
    return said, remedy


def require_room(experiment: Experiment) -> None:
    """Raises BadInput where this machine is short of something."""
    found = shortages(experiment)
    if found:
        raise BadInput("; ".join(what for what, _ in found), hint="; ".join(remedy for _, remedy in found))


def users_of(experiment: Experiment) -> int:
    """The most users that there will be at once: a rate's pool may grow to `max_users`."""
    if experiment.unit == "rate":
        return experiment.traffic.max_users
    return int(max((stage.peak for stage in experiment.stages), default=0))


def addresses_used(experiment: Experiment) -> int:
    """From how many addresses FastUsers connect: those given, or as many as are needed to a target on loopback."""
    given = len(experiment.traffic.source_addresses)
    if given or not target_is_here(experiment, ()):
        return max(1, given)
    return LOOPBACK_ADDRESSES


def _is_ours(address: str) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True
