"""How soon the command line answers, as whole processes: `--help`, `check`, and for scale the import of Locust alone.

    python tests/bench/bench_start.py [--rounds 7]

Medians over the rounds, in turn. Prints JSON (seconds).
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
COMMANDS = {
    "help_s": ("-m", "harness", "--help"),
    "check_s": ("-m", "harness", "check", "experiments/ladder.yaml"),
    "check_scenario_s": ("-m", "harness", "check", "--scenario", "experiments/ladder.yaml"),
    "import_locust_s": ("-c", "import locust"),
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    spent: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(rounds):
        for name, words in COMMANDS.items():
            begun = time.perf_counter()
            subprocess.run([sys.executable, *words], capture_output=True, timeout=60, check=True, cwd=ROOT)
            spent[name].append(time.perf_counter() - begun)
    json.dump({name: round(statistics.median(values), 3) for name, values in spent.items()}, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
