"""Verdict and reports from an hour's journal with ten endpoints.

    python tests/bench/bench_reports.py [--json] [--rounds 3]

The journal is invented (harness/testing), written to disk and read back, as `harness judge` does. Each round is a
fresh process, so imports count; medians over the rounds. "verdict" is measure and judge without reading the file.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness.journal import encode, read
from harness.testing import ShopModel, synthetic_ladder

ENDPOINTS = tuple(f"GET /thing/{number}" for number in range(10))
LIMITS_S = {"verdict": 1.0, "plots": 15.0}


def write_journal(path: Path) -> int:
    """An hour: four levels of 870 s after ramps of 30 s; the number of its lines."""
    events = synthetic_ladder(hold_s=870, ramp_s=30, model=ShopModel(endpoints=ENDPOINTS))
    path.write_text("".join(encode(event) + "\n" for event in events), encoding="utf-8")
    return len(events)


def one_round(path: Path) -> dict[str, float]:
    """Seconds of each phase in this process."""
    marks = [("", time.perf_counter())]

    def mark(name: str) -> None:
        marks.append((name, time.perf_counter()))

    events = list(read(path))
    mark("read")
    from harness.evidence.measure import measure
    from harness.judges import judge

    mark("imports")
    evidence = measure(events)
    verdict = judge(evidence)
    mark("verdict")
    from harness.reports import render
    from harness.reports.plots import pictures

    mark("imports of matplotlib")
    list(pictures(verdict, evidence))
    mark("plots")
    list(render(verdict, evidence, plots=False))
    mark("texts")
    return {name: at - before for (_, before), (name, at) in itertools.pairwise(marks)}


def main() -> None:
    """Run the rounds and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--journal", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.journal:
        print(json.dumps(one_round(options.journal)))
        return
    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder, "journal.jsonl")
        lines = write_journal(journal)
        command = [sys.executable, __file__, "--journal", str(journal)]
        rounds = [
            json.loads(subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout)
            for _ in range(options.rounds)
        ]
    medians = {phase: statistics.median(one[phase] for one in rounds) for phase in rounds[0]}
    if options.json:
        print(json.dumps({"lines": lines, "seconds": medians}))
        return
    print(f"an hour, {len(ENDPOINTS)} endpoints, {lines:,} lines of journal; median of {options.rounds} rounds")
    for phase, seconds in medians.items():
        reach = f"   (reach: {LIMITS_S[phase]:g} s)" if phase in LIMITS_S else ""
        print(f"{phase:<22} {seconds:6.2f} s{reach}")


if __name__ == "__main__":
    main()
