"""The embedded proxy beside toxiproxy-server: CPU for each request, and how soon a toxic is felt.

    python tests/bench/bench_proxy.py [--json] [--rounds 3] [--seconds 5]

Load is `wrk` with keep-alive against nginx (`return 200`) on loopback; proxies take turns within each round, so
that a busy machine is unfair to both alike. CPU is user and system time of the proxy's process, all threads, over
the requests that wrk counted. The machine's cores are shared with wrk and nginx, so requests/s say little and CPU
for each request is the figure to compare; medians over the rounds.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

from harness.clients.toxiproxy import Toxiproxy
from harness.clients.toxiproxy_server import ServerProcess, start_embedded, start_server

CONNECTIONS = (50, 1000)
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
NGINX = """
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 8192; multi_accept on; }}
http {{ access_log off; keepalive_requests 100000000; client_body_temp_path {folder}; proxy_temp_path {folder};
  fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
  server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ return 200 "ok"; }} }} }}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def nginx() -> Iterator[int]:
    """An idle web server; its port."""
    binary = shutil.which("nginx") or "/usr/sbin/nginx"
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        config = Path(folder, "nginx.conf")
        config.write_text(NGINX.format(folder=folder, port=port))
        process = subprocess.Popen([binary, "-p", folder, "-c", str(config)], stderr=subprocess.DEVNULL)
        try:
            wait_for_port(port)
            yield port
        finally:
            process.terminate()
            process.wait(10)


def wait_for_port(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if time.monotonic() > deadline:
            sys.exit(f"nothing listens on port {port}")
        time.sleep(0.05)


def cpu_s(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def load(address: str, pid: int, connections: int, seconds: int) -> dict[str, float]:
    """One run of wrk; requests/s, P50 and CPU microseconds of `pid` for each request."""
    before = cpu_s(pid)
    out = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", f"http://{address}/"],
        capture_output=True, text=True, timeout=seconds + 30, check=True,
    ).stdout  # fmt: skip
    used = cpu_s(pid) - before
    requests = int(re.search(r"(\d+) requests in", out)[1])
    errors = re.search(r"Socket errors: (.*)", out)
    p50, unit = re.search(r"50%\s+([\d.]+)(us|ms|s)", out).groups()
    return {
        "requests_per_s": round(requests / seconds),
        "cpu_us_per_request": round(used / requests * 1e6, 2),
        "cpu_share": round(used / seconds, 2),
        "p50_ms": round(float(p50) * {"us": 1e-3, "ms": 1, "s": 1e3}[unit], 2),
        "errors": 0 if errors is None else sum(map(int, re.findall(r"\d+", errors[1]))),
        "rss_mb": round(psutil.Process(pid).memory_info().rss / 1e6),
    }


def probe_s(connection: socket.socket) -> float:
    started = time.monotonic()
    connection.sendall(REQUEST)
    data = b""
    while not data.endswith(b"ok"):
        data += connection.recv(4096)
    return time.monotonic() - started


def felt_ms(client: Toxiproxy, name: str, listen: str) -> float:
    """From asking for 5 ms of latency to the end of the first slow exchange on a held connection, less the 5 ms.

    The prober sends one request after the other, in another process than the proxy, while the toxic is asked for.
    """
    host, _, port = listen.rpartition(":")
    with socket.create_connection((host, int(port)), 10) as connection:
        probe_s(connection)
        asked = time.monotonic()
        client._calls.text(
            "post", f"/proxies/{name}/toxics", {"name": "t", "type": "latency", "attributes": {"latency": 5}}
        )
        while probe_s(connection) < 0.005:
            pass
        felt = time.monotonic()
    client.remove_toxic(name, "t")
    return (felt - asked) * 1000 - 5


def felt_under_load(client: Toxiproxy, name: str, listen: str, times: int) -> list[float]:
    """The same, many times, while 50 connections are busy."""
    wrk = subprocess.Popen(["wrk", "-t1", "-c50", "-d60s", f"http://{listen}/"], stdout=subprocess.DEVNULL)
    try:
        return [felt_ms(client, name, listen) for _ in range(times)]
    finally:
        wrk.terminate()
        wrk.wait(10)


def measure(rounds: int, seconds: int) -> dict[str, dict[str, dict[str, float]]]:
    with ExitStack() as stack:
        port = stack.enter_context(nginx())
        servers: dict[str, ServerProcess] = {"embedded": start_embedded(seed=1)}
        if shutil.which("toxiproxy-server"):
            servers["toxiproxy-server"] = start_server()
        for server in servers.values():
            stack.callback(server.stop)
        links = {
            kind: Toxiproxy(server.address).create_proxy("harness-bench", "127.0.0.1:0", f"127.0.0.1:{port}")
            for kind, server in servers.items()
        }
        report: dict[str, dict[str, dict[str, float]]] = {kind: {} for kind in servers}
        for connections in CONNECTIONS:
            runs: dict[str, list[dict[str, float]]] = {kind: [] for kind in servers}
            for _ in range(rounds):
                for kind, server in servers.items():
                    runs[kind].append(load(links[kind].listen, server.pid, connections, seconds))
            for kind, found in runs.items():
                report[kind][f"{connections} connections"] = {
                    key: statistics.median(run[key] for run in found) for key in found[0]
                }
        for kind, server in servers.items():
            client = Toxiproxy(server.address)
            idle = [felt_ms(client, "harness-bench", links[kind].listen) for _ in range(20)]
            busy = felt_under_load(client, "harness-bench", links[kind].listen, 20)
            report[kind]["toxic asked to felt, ms"] = {
                "idle_median": round(statistics.median(idle), 2),
                "idle_worst": round(max(idle), 2),
                "busy_median": round(statistics.median(busy), 2),
                "busy_worst": round(max(busy), 2),
            }
        return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5)
    options = parser.parse_args()
    report = measure(options.rounds, options.seconds)
    if options.json:
        print(json.dumps(report, indent=1))
        return
    for kind, parts in report.items():
        for part, figures in parts.items():
            print(f"{kind:18}{part:26}" + "  ".join(f"{key} {value}" for key, value in figures.items()))


if __name__ == "__main__":
    main()
