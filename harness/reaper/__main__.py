"""`python -m harness.reaper`: see the package. Started by its run; nobody else has a reason to."""

from __future__ import annotations

import argparse
import os
import select
import signal
import sys
import time
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import BinaryIO

from harness.clients.poll import poll
from harness.clients.process import started_at
from harness.healing.drivers import healer_of
from harness.healing.hand import Hand, alive, alone, finish, left_by_hand
from harness.ledger import Account, Opened, parse, read_if_there
from harness.reaper import ANSWER, BEAT, READY, RELEASE
from harness.units import NS_PER_S

HEAL_LIMIT_NS = 120 * NS_PER_S
FENCE_NS = 5 * NS_PER_S
ALONE_NS = 15 * NS_PER_S
"""How long to wait for somebody else who heals: a person who has typed `harness heal`."""
LOOK_EVERY_NS = NS_PER_S // 2
CGROUPS = Path("/proc/self/cgroup")
MOUNT = Path("/sys/fs/cgroup")


def main() -> int:
    """Hold the lease until it is released or lapses; then heal. Returns 0, or 5 when something is left."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--ledger", type=Path, required=True)
    parser.add_argument("--lease-ns", type=int, required=True)
    parser.add_argument("drivers", nargs="*")
    given = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # whatever ends the run's session must not end us
    os.chdir("/")
    leave_cgroups()
    for driver in given.drivers:
        healer_of(driver)  # imported now: in need, the disk may be full or the installation gone
    with given.ledger.open("rb") as ledger:  # kept: somebody may remove it while a fault is in force
        opened = parse(ledger.read(), given.ledger).opened
        if opened is None:
            print("the ledger has no head", file=sys.stderr)
            return 4
        _say(READY)
        began_ns = time.monotonic_ns()
        end = held(given.lease_ns)
        return 0 if end is End.RELEASED else reap(given.ledger, opened, end, began_ns, ledger)


class End(Enum):
    """How a lease ends: the run is over, dead, or silent for too long."""

    RELEASED = "released"
    DIED = "died"
    HUNG = "hung, so it was ended"


def held(lease_ns: int) -> End:
    """Answer beats until the lease is released, has lapsed, or nobody can renew it any more.

    Time in which we did not run ourselves (stopped, frozen with the whole job, no processor) is no silence of the run.
    """
    until_ns = time.monotonic_ns() + lease_ns
    heard = b""
    while True:
        asked_ns = time.monotonic_ns()
        wait_ns = max(0, min(LOOK_EVERY_NS, until_ns - asked_ns))
        readable = select.select([0], [], [], wait_ns / NS_PER_S)[0]
        overslept_ns = time.monotonic_ns() - asked_ns - wait_ns
        if overslept_ns > LOOK_EVERY_NS:
            until_ns += overslept_ns
        if not readable:  # what was said while we slept is heard first
            if time.monotonic_ns() >= until_ns:
                return End.HUNG
            continue
        said = os.read(0, 4096)
        if not said:
            return End.DIED
        *lines, heard = (heard + said).split(b"\n")
        for line in lines:
            if line.decode(errors="replace") == RELEASE:
                return End.RELEASED
            if line.decode(errors="replace") == BEAT:
                until_ns = time.monotonic_ns() + lease_ns
                _say(ANSWER)


def reap(path: Path, opened: Opened, end: End, began_ns: int, ledger: BinaryIO) -> int:
    """Make sure that the run is dead, heal, tell the journal."""
    lapsed_ns = time.monotonic_ns()
    fence(opened)
    with alone(path, ALONE_NS):
        account = _account(path, ledger)
        healing = Hand(account, healer_of, by="reaper").heal(HEAL_LIMIT_NS)
        took_s = (time.monotonic_ns() - lapsed_ns) / NS_PER_S
        why = (
            f"the harness {end.value}; its reaper healed {len(healing.healed)} of {len(account.open)} in {took_s:.1f} s"
        )
        lines = (why, *left_by_hand(account, healing), *finish(account, healing, why))
    for line in lines:
        print(line, file=sys.stderr)
    print(f"watched for {(lapsed_ns - began_ns) / NS_PER_S:.1f} s", file=sys.stderr)
    return 5 if healing.failed else 0


def _account(path: Path, ledger: BinaryIO) -> Account:
    """What the ledger says; of one that was removed, what it said last. Its run would have written that it closed."""
    account = read_if_there(path)
    if account is None:
        ledger.seek(0)
        account = parse(ledger.read(), path)
    return account


def fence(opened: Opened) -> None:
    """End a run that is still there but silent: once we heal, it must not put anything in force any more."""
    if not alive(opened):
        return
    with suppress(ProcessLookupError):
        os.kill(opened.pid, signal.SIGKILL)
    poll(lambda: started_at(opened.pid) != opened.pid_started, FENCE_NS)


def leave_cgroups(cgroups: Path = CGROUPS, mount: Path = MOUNT) -> None:
    """Move to the root of every control group hierarchy, where permitted: a job's group is killed as a whole."""
    with suppress(OSError):
        for line in cgroups.read_text().splitlines():
            _, controllers, place = line.split(":", 2)
            name = controllers.removeprefix("name=")
            for root in (mount / name,) if name else (mount, mount / "unified"):
                procs = root / "cgroup.procs"
                with suppress(OSError):
                    if place != "/" and procs.exists():
                        procs.write_text(str(os.getpid()))


def _say(word: str) -> None:
    with suppress(OSError):
        os.write(1, f"{word}\n".encode())


if __name__ == "__main__":
    sys.exit(main())
