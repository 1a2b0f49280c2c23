"""How exactly a fault's edges are known: the time from asking to confirmed, of inject and of heal, for each kind.

    python -m tests.bench.bench_edges [--rounds 15]

That span is what a journal stamps on each edge (`FaultInjected.asked_ns` to `at_ns`), and by which a plot's band can be
wrong. On real containers, a real toxiproxy-server and the embedded one. Prints JSON (ms: median, 95th percentile).
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from harness.clients.toxiproxy import Toxiproxy
from harness.clients.toxiproxy_server import start_embedded
from harness.experiment import Fault
from harness.faults import FaultDriver
from harness.faults.command import CommandFaults
from harness.faults.container import ContainerFaults
from harness.faults.toxiproxy import ToxiproxyFaults
from harness.loader import from_document
from tests.chaos.__main__ import image
from tests.chaos.kinds import every_kind, fault
from tests.chaos.targets import Target, slots
from tests.chaos.trial import WHEN


def loaded(driver: str, kind: str, target: Target) -> Fault:
    """The fault as an experiment would have it."""
    document = {
        "name": "edges",
        "why": "Edges are known.",
        "stack": {"external": {"web": target.web}},
        "proxies": {target.link: {"upstream": "web"}},
        "traffic": {"scenario": "visitor.py", "target": "web", "timeout": "2s"},
        "stages": [{"name": "steady", "role": "steady", "users": 1, "hold": "8s"}],
        "faults": [{**fault(driver, kind, target), **WHEN}],
    }
    return from_document(document, base_dir=str(target.folder)).faults[0]


def spans_ms(driver: FaultDriver, wanted: Fault, rounds: int) -> dict[str, dict[str, float]]:
    """Asked to confirmed, of both edges."""
    inject: list[float] = []
    heal: list[float] = []
    for _ in range(rounds):
        before = driver.before(wanted)
        inject.append(timed_ms(lambda seen=before: driver.inject(wanted, seen)))  # type: ignore[misc]
        heal.append(timed_ms(lambda seen=before: driver.heal(wanted, seen)))  # type: ignore[misc]
    return {"inject_ms": spread(inject), "heal_ms": spread(heal)}


def timed_ms(call: Callable[[], object]) -> float:
    """How long a call takes."""
    begun = time.perf_counter()
    call()
    return (time.perf_counter() - begun) * 1e3


def spread(values: list[float]) -> dict[str, float]:
    """Median and 95th percentile."""
    return {"p50": round(statistics.median(values), 1), "p95": round(statistics.quantiles(values, n=20)[-1], 1)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    found: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as root, slots(range(1), Path(root), image()) as (target,):
        embedded = start_embedded(seed=1)
        servers = {"toxiproxy-server": Toxiproxy(target.toxiproxy), "embedded": Toxiproxy(embedded.address)}
        try:
            for name, server in servers.items():
                server.create_proxy(target.link, "127.0.0.1:0", target.web)
                toxics = ToxiproxyFaults(server, run="edges", proxy_of=lambda proxy: proxy)
                found[name] = {
                    kind: spans_ms(toxics, loaded(driver, kind, target), rounds)
                    for driver, kind in every_kind()
                    if driver == "toxiproxy"
                }
        finally:
            embedded.stop()
        drivers: dict[str, FaultDriver] = {
            "container": ContainerFaults(lambda name: name, seed=1),
            "command": CommandFaults(cwd=root),
        }
        for name, one in drivers.items():
            kinds = [kind for driver, kind in every_kind() if driver == name]
            found[name] = {kind: spans_ms(one, loaded(name, kind, target), rounds) for kind in kinds}
    json.dump(found, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
