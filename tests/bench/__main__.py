"""`python -m tests.bench`: every benchmark, one after the other, and docs/benchmarks.md written from what they print.

Absolute figures belong to the machine named in the page; what carries over are the ratios, measured side by side in
one run. Needs nginx and wrk; toxiproxy-server and k6 are measured where they are on PATH.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "benchmarks.md"
LIMIT_S = 1200


def measured(script: str, *words: str) -> Any:
    """What a benchmark prints as JSON; its standard error passes through."""
    print(f"running {script} ...", file=sys.stderr)
    command = [sys.executable, "-m", f"tests.bench.{script.removesuffix('.py')}", *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=LIMIT_S, check=True, cwd=HERE.parents[1])
    return json.loads(done.stdout)


def flat(found: Any, name: str = "") -> list[tuple[str, str]]:
    """Nested figures as rows (dotted name, value)."""
    if isinstance(found, dict):
        return [row for key, value in found.items() for row in flat(value, f"{name}.{key}" if name else str(key))]
    text = f"{found:.4g}" if isinstance(found, float) else str(found)
    return [(name, text)]


def table(title: str, command: str, found: Any) -> str:
    """One benchmark as a Markdown section."""
    rows = "\n".join(f"| {name} | {value} |" for name, value in flat(found))
    return f"## {title}\n\n`{command}`\n\n| figure | value |\n|---|---|\n{rows}\n"


def main() -> None:
    """Run all and write the page below its hand-written head."""
    head = PAGE.read_text(encoding="utf-8").partition("<!-- measured -->")[0] if PAGE.exists() else "# Benchmarks\n\n"
    parts = [
        head + "<!-- measured -->\n",
        f"Measured on {os.cpu_count()} cores, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, load average before: {os.getloadavg()[0]:.1f}.\n",
        table("Start", "python tests/bench/bench_start.py", measured("bench_start.py")),
        table(
            "Verdict and reports", "python tests/bench/bench_reports.py --json", measured("bench_reports.py", "--json")
        ),
        table("Proxy", "python tests/bench/bench_proxy.py --json", measured("bench_proxy.py", "--json")),
        table("Fault edges", "python -m tests.bench.bench_edges", measured("bench_edges.py")),
        table("Traffic", "python tests/bench/bench_traffic.py", measured("bench_traffic.py")),
        table("Arrivals", "python -m tests.bench.bench_arrivals", measured("bench_arrivals.py")),
        table("FastUser", "python -m tests.bench.bench_fast", measured("bench_fast.py")),
    ]
    PAGE.write_text("\n".join(parts), encoding="utf-8")
    print(PAGE)


if __name__ == "__main__":
    main()
