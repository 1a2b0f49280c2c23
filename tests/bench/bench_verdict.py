"""Verdict and reports from a one-hour journal with ten endpoints; and how soon the command line answers.

    python tests/bench/bench_verdict.py [--hours 1] [--rounds 3]

The journal is invented (500 requests a second over ten endpoints, a ladder of four levels, seeded) and written to
disk; then `harness judge` and the plots are timed as a user would meet them: whole processes and their parts, medians
of several rounds. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from harness.journal import Writer, read
from harness.testing import JournalBuilder

ROOT = Path(__file__).parents[2]
USERS = (100, 500, 1000, 5000)
ENDPOINTS = tuple(f"GET /service/{number}" for number in range(10))
PER_S = 50


def document(hold_s: int) -> dict[str, object]:
    """A ladder of an hour."""
    stages = [{"name": f"level-{users}", "role": "stress", "users": users, "hold": f"{hold_s}s"} for users in USERS]
    return {
        "name": "hour",
        "why": "An hour can be judged in a second.",
        "stack": {"process": {"api": {"command": "api"}}},
        "traffic": {"scenario": "s.py", "target": "api"},
        "stages": stages,
        "probes": [{"process": "api"}],
        "questions": ["budget", "breaking_point"],
    }


def write_journal(path: Path, hours: float) -> None:
    """The invented hour on disk."""
    hold_s = int(hours * 3600) // len(USERS)
    builder = JournalBuilder(document(hold_s))
    dice = np.random.default_rng(5)
    for users in USERS:
        start, end = builder.stage(f"level-{users}", "stress", users, ramp_s=0, hold_s=hold_s)
        for second in range(int(start), int(end)):
            for endpoint in ENDPOINTS:
                builder.traffic(second, endpoint, dice.lognormal(10, 0.65, PER_S))
            builder.generator(second, users, PER_S * len(ENDPOINTS))
            builder.reading(second, "process", "api", {"cpu": 0.3, "memory": 0.2, "rss_bytes": 1e8})
    writer = Writer.create(path)
    for event in builder.events():
        writer.append(event)
    writer.close()


def timed(what: Callable[[], object], rounds: int) -> float:
    """Median seconds of a call."""
    spent = []
    for _ in range(rounds):
        begun = time.perf_counter()
        what()
        spent.append(time.perf_counter() - begun)
    return statistics.median(spent)


def command_s(*words: str, rounds: int) -> float:
    """Median seconds of a whole `harness` process."""
    command = [sys.executable, "-m", "harness", *words]
    return timed(lambda: subprocess.run(command, capture_output=True, timeout=120, check=False, cwd=ROOT), rounds)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    from harness.evidence.measure import measure
    from harness.judges import judge
    from harness.reports.plots import plots

    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "hour" / "2026-01-01T00-00-00Z-0000"
        run.mkdir(parents=True)
        journal = run / "journal.jsonl"
        write_journal(journal, args.hours)
        evidence = measure(read(journal))
        verdict = judge(evidence)
        found = {
            "journal_lines": sum(1 for _ in journal.open(encoding="utf-8")),
            "journal_mb": round(journal.stat().st_size / 1e6, 1),
            "read_and_measure_s": timed(lambda: measure(read(journal)), args.rounds),
            "judge_s": timed(lambda: judge(evidence), args.rounds),
            "plots_s": timed(lambda: list(plots(verdict, evidence)), args.rounds),
            "command_judge_s": command_s("judge", str(run), rounds=args.rounds),
            "command_report_s": command_s("report", str(run), rounds=1),
            "command_help_s": command_s("--help", rounds=max(5, args.rounds)),
            "command_check_s": command_s("check", "experiments/ladder.yaml", rounds=max(5, args.rounds)),
        }
    found["verdict_s"] = found["read_and_measure_s"] + found["judge_s"]
    json.dump({key: round(value, 3) for key, value in found.items()}, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
