"""The reach table: our traffic beside stock Locust, k6 and wrk, in one run on one machine, against the same nginx.

    python -m tests.bench.bench_peers [--quick] [--write] [--only script,declared,many,lag,two,open] [--json]

Clients run on the first core, nginx on the last; CPU time (user and system) is that of the processes that send, while
the load holds. Medians of rounds, peers in turn within each. Ours records everything (rows, histograms, due times).
`two` compares whole cores: a traffic process and an nginx worker that share one core, with two of each on two.
About ten minutes, `--quick` about two. `--write` puts the table into docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from harness.declared import Activity, DeclaredTraffic, Send
from harness.traffic.sizing.planned import described
from harness.traffic.sizing.selftest import self_test
from tests.bench import bench_scale, bench_traffic
from tests.bench.bench_arrivals import SLEEPER
from tests.bench.bench_fast import other, stock, stock_locust
from tests.bench.driven import Driven, Measured, cores, cpu_s, nginx, raise_file_limit, spec

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- reach -->", "<!-- end of reach -->"
GET = Send(method="GET", url="/", name="/")
DECLARED = DeclaredTraffic(activities=(Activity(name="page", weight=1, steps=(GET,)),))
K6_FLAT = """
import http from 'k6/http';
export const options = {{ vus: {users}, duration: '{hold}s', discardResponseBodies: true }};
export default function () {{ http.get('{url}/'); }}
"""
K6_RATE = """
import http from 'k6/http';
export const options = {{ discardResponseBodies: true, scenarios: {{ s: {{ executor: 'constant-arrival-rate',
  rate: {rate}, timeUnit: '1s', duration: '{hold}s', preAllocatedVUs: 100, maxVUs: 1000, gracefulStop: '1s' }} }} }};
export default function () {{ http.get('{url}/'); }}
"""
K6_MANY = """
import http from 'k6/http'; import {{ sleep }} from 'k6'; import exec from 'k6/execution';
export const options = {{ discardResponseBodies: true, scenarios: {{ s: {{ executor: 'ramping-vus', startVUs: 0,
  gracefulStop: '1s',
  stages: [{{ duration: '{ramp}s', target: {users} }}, {{ duration: '{hold}s', target: {users} }}] }} }},
  thresholds: {{ 'http_req_duration{{phase:hold}}': ['max>=0'] }}, summaryTrendStats: ['p(50)', 'p(99)', 'max'] }};
export default function () {{
  const phase = exec.instance.currentTestRunDuration > {settled}000 ? 'hold' : 'ramp';
  http.get('{url}/', {{ tags: {{ phase: phase }} }}); sleep({pacing}); }}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of the table. `hit`: whether the reach is reached, None where it cannot be told."""

    what: str
    ours: str
    peers: str
    reach: str
    hit: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class K6:
    """What a run of k6 came to: `cpu` a share of a core, and the greatest memory, while the load held."""

    metrics: dict[str, Any]
    cpu: float
    rss_mb: float

    @property
    def per_s(self) -> float:
        """Requests a second."""
        return float(self.metrics["http_reqs"]["rate"])

    @property
    def us_per_request(self) -> float:
        """CPU time."""
        return self.cpu / self.per_s * 1e6


@contextmanager
def on_client_core() -> Iterator[None]:
    """What is started in this block runs on the clients' core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores()[0])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def k6(script: str, warm_s: float, hold_s: float) -> K6:
    """One run, its CPU and memory from `warm_s` on, for `hold_s`."""
    with tempfile.TemporaryDirectory() as folder:
        file, summary = Path(folder, "s.js"), Path(folder, "summary.json")
        file.write_text(script)
        command = ["k6", "run", "--quiet", "--no-usage-report", "--summary-export", str(summary), str(file)]
        with on_client_core():
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            watched = psutil.Process(process.pid)
            time.sleep(warm_s)
            began, used, rss = time.monotonic(), cpu_s([watched]), 0
            while time.monotonic() < began + hold_s:
                rss = max(rss, watched.memory_info().rss)
                time.sleep(0.25)
            cpu = (cpu_s([watched]) - used) / (time.monotonic() - began)
            process.wait(timeout=60)
        finally:
            process.kill()
            process.wait(timeout=5)
        return K6(metrics=json.loads(summary.read_text())["metrics"], cpu=cpu, rss_mb=rss / 1e6)


class Bench:
    """The rows, each measured when asked for; what one of them learns of our capacity, others use."""

    def __init__(self, url: str, args: argparse.Namespace) -> None:
        self.url, self.args = url, args
        self.has_k6, self.has_wrk = shutil.which("k6") is not None, shutil.which("wrk") is not None
        self.capacity = 0.0

    def rounds(self, measured: dict[str, Callable[[], float]], rounds: int | None = None) -> dict[str, float]:
        """The median of each, all in turn in every round."""
        found: dict[str, list[float]] = {name: [] for name in measured}
        for _ in range(rounds or self.args.rounds):
            for name, measure in measured.items():
                found[name].append(measure())
                say(f"{name}: {found[name][-1]:.4g}")
        return {name: statistics.median(all_) for name, all_ in found.items()}

    def flat_out(self) -> Measured:
        """Fifty FastUsers that ask without a pause."""
        with Driven(self.url, spec()) as run:
            run.load(self.args.users)
            return run.measure(self.args.hold)

    def at_rate(self, per_s: float, **terms: Any) -> Measured:
        """Arrivals at a rate."""
        with Driven(self.url, spec(max_users=2000, **terms)) as run:
            run.load(per_s, unit="rate")
            return run.measure(self.args.hold)

    def core_carries(self) -> float:
        """Requests a second at which FastUser uses a core up."""
        if not self.capacity:
            self.capacity = statistics.median(1e6 / self.flat_out().us_per_request for _ in range(self.args.rounds))
        return self.capacity

    def script(self) -> list[Row]:
        """A scripted user that records everything."""
        users, hold, url = self.args.users, self.args.hold, self.url
        measured = {
            "FastUser": lambda: self.flat_out().us_per_request,
            "FastHttpUser, stock Locust": lambda: float(stock(lambda: stock_locust(url, users, hold))),
        }
        if self.has_k6:
            script = K6_FLAT.format(url=url, users=users, hold=round(hold + 2))
            measured["k6"] = lambda: k6(script, 1.5, hold).us_per_request
        if self.has_wrk:
            wrk = ["wrk", "-t1", f"-c{users}", f"-d{round(hold)}", url + "/"]
            measured["wrk"] = lambda: other(wrk, r"(\d+) requests in")
        found = self.rounds(measured)
        ours = found.pop("FastUser")
        self.capacity = 1e6 / ours
        return [row("CPU per request, scripted user, recording everything", ours, "us", found, 45)]

    def declared(self) -> list[Row]:
        """Declared users, open loop: at 10,000/s, and where the core is nearly used up, beside k6."""
        hold, limit = self.args.hold, round(0.75 * self.core_carries(), -2)
        ours: dict[float, Measured] = {}
        theirs: dict[float, K6] = {}

        def of_ours(per_s: float) -> float:
            ours[per_s] = self.at_rate(per_s, scenario="", declared=DECLARED)
            return ours[per_s].us_per_request

        def of_k6(per_s: float) -> float:
            script = K6_RATE.format(url=self.url, rate=round(per_s), hold=round(hold + 2))
            theirs[per_s] = k6(script, 1.5, hold)
            return theirs[per_s].us_per_request

        rates = (1000.0, 10_000.0, limit)
        measured = {f"ours {per_s:.0f}": partial(of_ours, per_s) for per_s in rates}
        if self.has_k6:
            measured |= {f"k6 {per_s:.0f}": partial(of_k6, per_s) for per_s in rates[:2]}
        found = self.rounds(measured)
        peers = {
            f"k6 at {rate:,.0f}/s ({run.per_s:,.0f}/s sent)": found[f"k6 {rate:.0f}"] for rate, run in theirs.items()
        }
        peers["ours at 1,000/s"] = found["ours 1000"]
        what = "the same, declarative open loop at {:,.0f}/s ({:,.0f}/s sent, {:.0%} of a core)"
        return [
            row(what.format(rate, ours[rate].per_s, ours[rate].cpu), found[f"ours {rate:.0f}"], "us", peers, 35)
            for rate in rates[1:]
        ]

    def many(self) -> list[Row]:
        """Five thousand users that ask once in five seconds: what the generator itself adds, and its memory."""
        quick = self.args.quick
        terms = {"users": 5000, "pacing": 5, "ramp": 5 if quick else 10, "hold": 10 if quick else 20}
        args = argparse.Namespace(**terms)
        settled_s, hold_s = args.ramp + args.pacing + 1, args.hold - args.pacing - 2
        facts: dict[str, list[float]] = {}

        def keep(name: str, p99_ms: float, rss_mb: float) -> None:
            facts.setdefault(name, []).append(p99_ms)
            facts.setdefault(name + " MB", []).append(rss_mb)
            say(f"{name}: P99 {p99_ms:.2f} ms, {rss_mb:.0f} MB")

        for _ in range(min(2, self.args.rounds)):
            os.environ["PACING_S"] = str(args.pacing)
            with Driven(self.url, spec("many_users.py")) as run:
                run.load(args.users, args.ramp)
                seen = run.measure(hold_s, settled_s)
                keep("ours from due", seen.latency_ms(0.99), max(row.rss_bytes for row in seen.own) / 1e6)
                keep("ours service", seen.latency_ms(0.99, "service_ok"), 0)
            if self.has_k6:
                found = k6(K6_MANY.format(url=self.url, settled=settled_s, **terms), settled_s, hold_s)
                keep("k6", found.metrics["http_req_duration{phase:hold}"]["p(99)"], found.rss_mb)
            with on_client_core():
                old = bench_traffic.steady_stock(self.url, args)
            keep("stock Locust", old["service"]["p99_ms"], old["rss_mb"])
        found = {name: statistics.median(values) for name, values in facts.items()}
        ours, theirs = found["ours from due"], found.get("k6")
        memory = {"k6": found["k6 MB"]} if self.has_k6 else {}
        peers = {"our service time": found["ours service"], **({"k6": theirs} if theirs else {})}
        peers["stock Locust"] = found["stock Locust"]
        return [
            row("5,000 users, 1,000 req/s: P99 that the generator adds (from due)", ours, "ms", peers, theirs),
            row(
                "the same: memory", found["ours from due MB"], "MB", {**memory, "stock": found["stock Locust MB"]}, 200
            ),
        ]

    def lag(self) -> list[Row]:
        """How late what is due begins."""
        with tempfile.TemporaryDirectory() as logs:
            test = self_test("FastUser", 1, log_dir=Path(logs))
        say(described(test))
        half = max(100.0, round(test.per_s / 2, -2))
        asleep: list[float] = []

        def ours() -> float:
            with on_client_core():
                sleeper = subprocess.Popen([sys.executable, "-c", SLEEPER], stdout=subprocess.PIPE, text=True)
            with sleeper:
                late_ms = self.at_rate(half).start_lag_ms(0.99)
                sleeper.terminate()
                asleep.append(json.loads(sleeper.communicate(timeout=5)[0])["late_p99_ms"])
            return late_ms

        found = self.rounds({"ours": ours})
        what = f"due-to-start lag P99 at half of what the self-test measured ({half:,.0f}/s)"
        return [row(what, found["ours"], "ms", {"a process that only sleeps, same core": statistics.median(asleep)}, 2)]

    def two(self) -> list[Row]:
        """Two processes against one."""
        first, last = cores()
        if first == last:
            return [Row(what="two processes against one", ours="needs two cores", peers="", reach=">= 1.8 x", hit=None)]
        notes: dict[str, list[float]] = {}

        def per_s(processes: int, ours_on: set[int], theirs_on: set[int], name: str) -> float:
            with (
                nginx(processes, on=theirs_on) as (url, servers),
                Driven(url, spec(processes=processes), ours_on) as run,
            ):
                run.load(self.args.users)
                before, began = cpu_s(servers), time.monotonic()
                seen = run.measure(self.args.hold)
                share = (cpu_s(servers) - before) / (time.monotonic() - began)
            notes.setdefault(name, []).append(seen.us_per_request)
            notes.setdefault(name + " nginx", []).append(share)
            return seen.per_s

        both = first | last
        found = self.rounds(
            {
                "one core": lambda: per_s(1, first, first, "one"),
                "two cores": lambda: per_s(2, both, both, "two"),
                "one process, nginx beside": lambda: per_s(1, first, last, "beside"),
            }
        )
        middle = {name: statistics.median(values) for name, values in notes.items()}
        ratio = found["two cores"] / found["one core"]
        peers = (
            f"{found['two cores']:,.0f}/s with two, {found['one core']:,.0f}/s with one; {middle['two']:.1f} and "
            f"{middle['one']:.1f} us per request; nginx takes {middle['two nginx']:.2f} of the two cores and "
            f"{middle['one nginx']:.2f} of the one; one process with nginx on the other core: "
            f"{found['one process, nginx beside']:,.0f}/s"
        )
        what = "two processes and nginx on two cores against one and nginx on one"
        return [Row(what=what, ours=f"{ratio:.2f} x", peers=peers, reach=">= 1.8 x", hit=ratio >= 1.8)]

    def open(self) -> list[Row]:
        """Twenty thousand open connections."""
        users = 20_000 if not self.args.quick else 5_000
        args = argparse.Namespace(users=users, per_s=max(1000.0, users / 10), hold=3.0)
        found = bench_scale.closed(args)
        say(json.dumps(found))
        connected = found["connections"]
        ours, peers = found["kb_per_user"], {}
        if self.has_k6:
            terms = {"users": 2000, "ramp": 4, "hold": 8, "pacing": 2, "settled": 6}
            peers["k6, 2,000 VUs"] = k6(K6_MANY.format(url=self.url, **terms), 6, 4).rss_mb * 1000 / 2000
        what = f"open connections {connected:,} in {found['processes']} process(es): memory of a user"
        line = row(what, ours, "KB", peers, 20)
        if connected < users or found["failed"]:
            return [
                Row(
                    what=what,
                    ours=line.ours,
                    peers=f"only {connected} of {users} connected",
                    reach=line.reach,
                    hit=False,
                )
            ]
        return [line]


def row(what: str, ours: float, unit: str, peers: dict[str, float], reach: float | None) -> Row:
    """A line whose reach is a number that ours shall not be above."""
    shown = "; ".join(f"{name} {value:,.4g} {unit}" for name, value in peers.items())
    wanted = f"<= {reach:,.4g} {unit}" if reach is not None else "k6's"
    return Row(
        what=what, ours=f"{ours:,.4g} {unit}", peers=shown, reach=wanted, hit=None if reach is None else ours <= reach
    )


def say(line: str) -> None:
    """Progress, with the load of the machine."""
    print(f"[{os.getloadavg()[0]:5.2f}] {line}", file=sys.stderr, flush=True)


def table(rows: list[Row], began_load: float) -> str:
    """Markdown."""
    verdict = {True: "hit", False: "missed", None: "not told"}
    lines = "\n".join(f"| {row.what} | {row.ours} | {row.peers} | {row.reach} | {verdict[row.hit]} |" for row in rows)
    return (
        f"{BEGIN}\n\n`python -m tests.bench.bench_peers --write`; {os.cpu_count()} cores, load average "
        f"{began_load:.1f} before and {os.getloadavg()[0]:.1f} after (the benchmark's own included).\n\n"
        f"| what | ours | peers, same run | reach | |\n|---|---|---|---|---|\n{lines}\n\n{END}"
    )


def write(text: str) -> None:
    """Put the table where it stands in the page. Raises ValueError when the page has no place for it."""
    page = PAGE.read_text(encoding="utf-8")
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE} has no {BEGIN} ... {END}")
    PAGE.write_text(before + text + after, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=50)
    parser.add_argument("--hold", type=float)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--write", action="store_true", help="into docs/benchmarks.md")
    parser.add_argument("--json", action="store_true", help="JSON instead of Markdown")
    parser.add_argument("--only", default="script,declared,many,lag,two,open")
    args = parser.parse_args()
    args.hold = args.hold or (2.0 if args.quick else 4.0)
    args.rounds = args.rounds or (1 if args.quick else 3)
    raise_file_limit()
    load, rows = os.getloadavg()[0], []
    with nginx() as (url, _):
        bench = Bench(url, args)
        for name in args.only.split(","):
            say(f"{name} ...")
            rows += getattr(bench, name)()
    text = table(rows, load)
    if args.write:
        write(text)
    print(
        json.dumps([{name: getattr(row, name) for name in Row.__slots__} for row in rows], indent=2)
        if args.json
        else text
    )


if __name__ == "__main__":
    main()
