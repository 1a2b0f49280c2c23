"""`python -m tests.chaos`: many trials beside each other, and a table of what became of them."""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Empty, SimpleQueue

from tests.chaos.kinds import every_kind
from tests.chaos.table import as_text, write
from tests.chaos.targets import IMAGE_CANDIDATES, Target, ask, slots
from tests.chaos.trial import WAYS, Outcome, Trial, draw, try_out

PARALLEL = 4
WAIT_S = 120.0
"""No trial takes longer."""


def main() -> int:
    """Run the trials; 1 when anything was left or refused."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--ways", nargs="*", default=list(WAYS))
    parser.add_argument("--kinds", nargs="*", default=[], help="driver/kind; all without")
    parser.add_argument("--seconds", type=float, default=3600, help="begin no trial after so long")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--parallel", type=int, default=PARALLEL)
    parser.add_argument("--write", action="store_true", help="write the table into docs/reliability.md")
    given = parser.parse_args()
    kinds = tuple(kind for kind in every_kind() if not given.kinds or "/".join(kind) in given.kinds)
    trials = drawn(given.seed, given.trials, kinds, tuple(given.ways))
    print(f"{len(trials)} trials, seed {given.seed}, {given.parallel} at a time", flush=True)
    root = Path(tempfile.mkdtemp(prefix="harness-chaos-"))
    outcomes = perform(trials, root, given.parallel, given.seconds)
    bad = [one for one in outcomes if one.healed_s is None]
    print(as_text(outcomes))
    if given.write:
        write(outcomes, given.seed)
    if bad:
        print(f"kept to look at: {root}")
        return 1
    shutil.rmtree(root)
    return 0


def drawn(seed: int, count: int, kinds: tuple[tuple[str, str], ...], ways: tuple[str, ...] = WAYS) -> list[Trial]:
    """The trials of a seed: of all kinds, in an order of its own, so that a few trials meet any of them."""
    rng = random.Random(seed)
    order = tuple(rng.sample(kinds, len(kinds)))
    return [draw(number, order, ways, rng) for number in range(count)]


def perform(trials: list[Trial], root: Path, parallel: int, seconds: float, first: int = 0) -> list[Outcome]:
    """Each trial in a free slot; what is begun within `seconds`. Slots are numbered from `first`."""
    deadline = time.monotonic() + seconds
    free: SimpleQueue[Target] = SimpleQueue()

    def one(trial: Trial) -> Outcome | None:
        try:
            target = free.get(timeout=max(0.0, min(WAIT_S, deadline - time.monotonic())))
        except Empty:  # the time is over, or every slot has been spoilt
            return None
        outcome = try_out(trial, target)
        if outcome.residue:  # its slot is no measure for others any more
            print(f"RESIDUE {trial}: {outcome.residue}", flush=True)
        else:
            free.put(target)
        if outcome.refused:
            print(f"REFUSED {trial}: {outcome.refused}", flush=True)
        return outcome

    with slots(range(first, first + parallel), root, image()) as targets:
        for target in targets:
            free.put(target)
        with ThreadPoolExecutor(parallel) as pool:
            return [outcome for outcome in pool.map(one, trials) if outcome is not None]


def image() -> str:
    """An image with a shell that is here already."""
    here = ask("docker", "images", "--format", "{{.Repository}}:{{.Tag}}").split()
    return next(name for name in IMAGE_CANDIDATES if name in here)


if __name__ == "__main__":
    sys.exit(main())
