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
from queue import SimpleQueue

from tests.chaos.kinds import every_kind
from tests.chaos.table import as_text, write
from tests.chaos.targets import IMAGE_CANDIDATES, Target, ask, slots
from tests.chaos.trial import WAYS, Outcome, Trial, draw, try_out

PARALLEL = 4


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
    rng = random.Random(given.seed)
    trials = [draw(number, kinds, tuple(given.ways), rng) for number in range(given.trials)]
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


def perform(trials: list[Trial], root: Path, parallel: int, seconds: float) -> list[Outcome]:
    """Each trial in a free slot; what is begun within `seconds`."""
    deadline = time.monotonic() + seconds
    free: SimpleQueue[Target] = SimpleQueue()

    def one(trial: Trial) -> Outcome | None:
        if time.monotonic() > deadline:
            return None
        target = free.get()
        outcome = try_out(trial, target)
        if outcome.residue:  # its slot is no measure for others any more
            print(f"RESIDUE {trial}: {outcome.residue}", flush=True)
        else:
            free.put(target)
        if outcome.refused:
            print(f"REFUSED {trial}: {outcome.refused}", flush=True)
        return outcome

    with slots(parallel, root, image()) as targets:
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
