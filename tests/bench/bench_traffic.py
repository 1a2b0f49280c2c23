"""Our traffic beside stock Locust and k6: what the generator adds, how straight its ramp is, how true its percentiles.

    python tests/bench/bench_traffic.py [--users 5000] [--pacing 5] [--ramp 10] [--hold 15] [--only steady,ramp,...]

All three send the same paced load to the same idle nginx (one worker, `return 200`), one after the other. On an idle
target whatever latency is seen is the generator's own. Ours tells it from the due time, which includes its own
lateness; the others can only tell the service time. CPU and memory are of the process that sends (ours and stock: the
worker), sampled twice a second from outside. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from harness import histogram
from harness.clock import Inbox, SystemClock
from harness.experiment import TrafficSpec
from harness.histogram import Histogram
from harness.journal import Event, Generator, Traffic
from harness.traffic import Load
from harness.traffic.locust import LocustTraffic
from harness.traffic.recorder import Recorder

S = 1_000_000_000
HERE = Path(__file__).resolve().parent
SCENARIO = HERE / "scenarios" / "paced_users.py"
NGINX = """
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;
worker_rlimit_nofile 40000;
events {{ worker_connections 30000; multi_accept on; }}
http {{ access_log off; keepalive_requests 100000000; keepalive_timeout 600; client_body_temp_path {folder};
  proxy_temp_path {folder}; fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
  server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ return 200 "{body}"; }} }} }}
"""
K6 = """
import http from 'k6/http'; import {{ sleep }} from 'k6';
export const options = {{ scenarios: {{ s: {{ executor: 'ramping-vus', startVUs: 0, gracefulStop: '1s',
  stages: [{{ duration: '{ramp}s', target: {users} }}, {{ duration: '{hold}s', target: {users} }}] }} }},
  summaryTrendStats: ['p(50)', 'p(95)', 'p(99)', 'max'] }};
export default function () {{ http.get('{url}/'); sleep({pacing}); }}
"""
STOCK_PERCENTILES = """
import json, sys
from locust.stats import RequestStats
stats = RequestStats()
for us in json.load(open(sys.argv[1])): stats.log_request("GET", "/", us / 1000, 0)
print(json.dumps([stats.total.get_response_time_percentile(p) * 1000 for p in (0.5, 0.95, 0.99, 0.999)]))
"""


@contextmanager
def nginx() -> Iterator[str]:
    """An idle web server; its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "nginx.conf")
        config.write_text(NGINX.format(folder=folder, port=port, body="x" * 102))
        binary = shutil.which("nginx") or "/usr/sbin/nginx"
        process = subprocess.Popen([binary, "-p", folder, "-c", str(config)], stderr=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 5
            while socket.socket().connect_ex(("127.0.0.1", port)) and time.monotonic() < deadline:
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=5)


class Watch(threading.Thread):
    """CPU share and greatest memory of a process, while the load holds."""

    def __init__(self, pid: int, after_s: float, for_s: float) -> None:
        super().__init__(daemon=True)
        self.process = psutil.Process(pid)
        self.after_s, self.for_s = after_s, for_s
        self.cpu = self.rss_mb = 0.0
        self.start()

    def run(self) -> None:
        try:
            time.sleep(self.after_s)
            began, used = time.monotonic(), sum(self.process.cpu_times()[:2])
            while time.monotonic() < began + self.for_s:
                self.rss_mb = max(self.rss_mb, self.process.memory_info().rss / 1e6)
                self.cpu = (sum(self.process.cpu_times()[:2]) - used) / (time.monotonic() - began + 1e-9)
                time.sleep(0.5)
        except psutil.Error:
            return

    def facts(self) -> dict[str, float]:
        self.join(timeout=self.after_s + self.for_s + 5)
        return {"cpu": round(self.cpu, 3), "rss_mb": round(self.rss_mb, 1)}


def percentiles_ms(texts: list[str]) -> dict[str, float]:
    merged = histogram.decode(texts)
    return {
        f"p{share * 100:g}_ms": round((merged.percentile_us(share) or 0) / 1000, 3)
        for share in (0.5, 0.95, 0.99, 0.999)
    }


def drive(
    url: str, args: argparse.Namespace, users: int, ramp_s: float, hold_s: float
) -> tuple[list[Event], int, int, Any]:
    """Our driver through one ramp and hold: events, when the load began, when it was stopped, the watch."""
    clock = SystemClock()
    spec = TrafficSpec(scenario=str(SCENARIO), target="t", timeout_ns=10 * S)
    inbox: Inbox[Event] = Inbox()
    events: list[Event] = []
    with tempfile.TemporaryDirectory() as logs:
        driver = LocustTraffic(spec, origin_ns=clock.origin_ns, seed=1, base_dir=HERE, log_dir=Path(logs))
        began = time.monotonic()
        driver.start(inbox, url)
        print(f"ours: started in {time.monotonic() - began:.2f} s", file=sys.stderr)
        watch = Watch(driver._children[1].process.pid, ramp_s + args.pacing, hold_s - args.pacing)
        at_ns = clock.now()
        driver.set_load(Load(at_ns=at_ns, level_from=0, level_to=users, ramp_ns=round(ramp_s * S)))
        end_ns = at_ns + round((ramp_s + hold_s) * S)
        while (event := clock.wait(inbox, end_ns)) is not None:
            events.append(event)
        driver.stop(2 * S)
        while (event := clock.wait(inbox, 0)) is not None:
            events.append(event)
    return events, at_ns, end_ns, watch


def steady_ours(url: str, args: argparse.Namespace) -> dict[str, Any]:
    events, at_ns, end_ns, watch = drive(url, args, args.users, args.ramp, args.hold)
    first, last = int(at_ns / S + args.ramp + args.pacing) + 1, end_ns // S
    rows = [event for event in events if isinstance(event, Traffic) and first <= event.second < last]
    own = [event for event in events if isinstance(event, Generator) and first <= event.second < last]
    lag = histogram.decode([event.lag for event in own])
    return {
        "requests_per_s": round(sum(row.finished for row in rows) / max(1, last - first), 1),
        "service": percentiles_ms([row.service_ok for row in rows]),
        "due": percentiles_ms([row.due_ok for row in rows]),
        "due_count": sum(row.due for row in own),
        "begun_count": sum(row.begun for row in own),
        "loop_lag": {
            f"p{share * 100:g}_ms": round((lag.percentile_us(share) or 0) / 1000, 3) for share in (0.5, 0.99, 1.0)
        },
        **watch.facts(),
    }


def steady_stock(url: str, args: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, "-m", "locust", "-f", str(SCENARIO), "--headless", "-u", str(args.users)]
    command += [
        "-r",
        str(args.users / args.ramp),
        "-t",
        f"{args.ramp + args.hold:g}s",
        "-H",
        url,
        "--json",
        "--reset-stats",
    ]
    env = {**os.environ, "PACING_S": str(args.pacing)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env, text=True) as process:
        watch = Watch(process.pid, args.ramp + args.pacing, args.hold - args.pacing)
        output, _ = process.communicate(timeout=args.ramp + args.hold + 60)
    counts: dict[float, int] = {}
    for entry in json.loads(output[output.index("[") :]):
        for ms, count in entry["response_times"].items():
            counts[float(ms)] = counts.get(float(ms), 0) + count
    total, shown = sum(counts.values()), {}
    for share in (0.5, 0.95, 0.99, 0.999):
        seen = 0
        for ms in sorted(counts):
            seen += counts[ms]
            if seen >= share * total:
                shown[f"p{share * 100:g}_ms"] = ms
                break
    return {"requests_per_s": round(total / args.hold, 1), "service": shown, **watch.facts()}


def steady_k6(url: str, args: argparse.Namespace) -> dict[str, Any]:
    if shutil.which("k6") is None:
        return {"missing": "k6 is not on PATH"}
    with tempfile.TemporaryDirectory() as folder:
        script, summary = Path(folder, "s.js"), Path(folder, "summary.json")
        script.write_text(K6.format(url=url, users=args.users, ramp=args.ramp, hold=args.hold, pacing=args.pacing))
        command = ["k6", "run", "--quiet", "--no-usage-report", "--summary-export", str(summary), str(script)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            watch = Watch(process.pid, args.ramp + args.pacing, args.hold - args.pacing)
            process.wait(timeout=args.ramp + args.hold + 60)
        metrics = json.loads(summary.read_text())["metrics"]
        trend = metrics["http_req_duration"]
        service = {f"p{name[2:-1]}_ms": round(value, 3) for name, value in trend.items() if name.startswith("p(")}
        return {"requests": metrics["http_reqs"]["count"], "service": service, "note": "ramp included", **watch.facts()}


def deviation(came_ns: list[int], at_ns: int, rate: float, users: int) -> float:
    """The furthest that the number of users was from the line, just before and just after each of them came."""
    worst = 0.0
    for number, instant in enumerate(sorted(came_ns)):
        line = min(users, (instant - at_ns) / S * rate)
        worst = max(worst, abs(number - line), abs(number + 1 - line))
    return round(worst, 1)


def ramp(url: str, args: argparse.Namespace) -> dict[str, Any]:
    users, rate = args.ramp_users, 500.0
    result: dict[str, Any] = {"users": users, "rate_per_s": rate}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["RAMP_FILE"] = str(Path(folder, "ours.json"))
        clock_offset = time.monotonic_ns()
        events, at_ns, _, _ = drive(url, args, users, users / rate, 2)
        # drive() makes its clock right after clock_offset was read; the difference is well under a user's 2 ms
        del events
        came = json.loads(Path(os.environ["RAMP_FILE"]).read_text())
        result["ours_worst_users"] = deviation(came, clock_offset + at_ns, rate, users)
        os.environ["RAMP_FILE"] = str(Path(folder, "stock.json"))
        command = [sys.executable, "-m", "locust", "-f", str(SCENARIO), "--headless", "-u", str(users), "-r", str(rate)]
        command += ["-t", f"{users / rate + 2:g}s", "-H", url, "--only-summary"]
        subprocess.run(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False, timeout=users / rate + 60
        )
        came = json.loads(Path(os.environ["RAMP_FILE"]).read_text())
        result["stock_worst_users"] = deviation(came, min(came), rate, users)
        del os.environ["RAMP_FILE"]
    return result


def truth() -> dict[str, Any]:
    """Percentiles of 200,000 lognormal latencies (median 20 ms): the worst relative error against nearest rank."""
    drawn = random.Random(1)
    samples = [max(1, int(drawn.lognormvariate(9.9, 0.8))) for _ in range(200_000)]
    kept = Histogram()
    for us in samples:
        kept.record(us)
    ordered = sorted(samples)
    exact = [ordered[max(0, math.ceil(share * len(ordered)) - 1)] for share in (0.5, 0.95, 0.99, 0.999)]
    ours = [kept.percentile_us(share) or 0 for share in (0.5, 0.95, 0.99, 0.999)]
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(samples, file)
        file.flush()
        done = subprocess.run(
            [sys.executable, "-c", STOCK_PERCENTILES, file.name], capture_output=True, text=True, check=True
        )
    stock = json.loads(done.stdout.splitlines()[-1])
    return {
        "ours_worst_percent": round(max(abs(a - b) / b for a, b in zip(ours, exact, strict=True)) * 100, 3),
        "stock_worst_percent": round(max(abs(a - b) / b for a, b in zip(stock, exact, strict=True)) * 100, 3),
    }


def books(requests: int) -> dict[str, Any]:
    """Memory and time of the books over a million requests on ten endpoints, a thousand requests to a second."""
    process, drawn = psutil.Process(), random.Random(1)
    recorder = Recorder(0, exemplars=100)
    names = [f"GET /{number}" for number in range(10)]
    latencies = [int(drawn.lognormvariate(9.9, 0.8)) for _ in range(10_000)]
    rss: list[int] = []
    rows = 0
    began = time.process_time()
    for number in range(requests):
        at_ns = number * 1_000_000
        name = names[number % 10]
        recorder.close(recorder.open(name, at_ns, 0), name, latencies[number % 10_000])
        if number % 1000 == 0:
            rows += sum(1 for _ in recorder.rows(at_ns // S, at_ns))
        if number in (requests // 10, requests - 1):
            rss.append(process.memory_info().rss)
    spent = time.process_time() - began
    return {
        "us_per_request": round(spent / requests * 1e6, 2),
        "rows": rows,
        "growth_mb": round((rss[1] - rss[0]) / 1e6, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=5000)
    parser.add_argument("--pacing", type=float, default=5.0)
    parser.add_argument("--ramp", type=float, default=10.0)
    parser.add_argument("--hold", type=float, default=20.0)
    parser.add_argument("--ramp-users", type=int, default=5000)
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--only", default="ours,stock,k6,ramp,truth,books")
    args = parser.parse_args()
    os.environ["PACING_S"] = str(args.pacing)
    wanted = args.only.split(",")
    with nginx() as url:
        parts = {
            "ours": lambda: steady_ours(url, args),
            "stock": lambda: steady_stock(url, args),
            "k6": lambda: steady_k6(url, args),
            "ramp": lambda: ramp(url, args),
            "truth": truth,
            "books": lambda: books(args.requests),
        }
        print(json.dumps({name: parts[name]() for name in wanted}, indent=2))


if __name__ == "__main__":
    main()
