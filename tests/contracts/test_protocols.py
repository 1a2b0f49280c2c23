"""Scenarios of other protocols against the real servers: counts, failures, latency, and users side by side."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness import histogram
from harness.clients.toxiproxy import Toxiproxy
from harness.clients.toxiproxy_server import start_embedded
from harness.clock import Inbox, SystemClock
from harness.errors import BadInput
from harness.experiment import TrafficSpec
from harness.journal import Event, Exemplar, Traffic, Trouble
from harness.traffic import Load
from harness.traffic.locust import LocustTraffic
from harness.traffic.locust_check import check_scenario
from tests.contracts.test_traffic import collect
from tests.traffic.servers import ROOT, Echo, Health, Postgres, Redis, Server

S = 1_000_000_000
SCENARIOS = ROOT / "scenarios"
EVERY = [
    pytest.param(Postgres, marks=pytest.mark.needs("postgres")),
    pytest.param(Redis, marks=pytest.mark.needs("redis")),
    Echo,
    Health,
]


@pytest.fixture(params=EVERY, ids=lambda kind: kind.__name__)
def server(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Each real server, running, and the environment of its scenario."""
    made: Server = request.param(tmp_path)
    for name, value in {"PACING_S": "0.1", **made.env}.items():
        monkeypatch.setenv(name, value)
    try:
        made.start()
        yield made
    finally:
        made.close()


def run(server: Server, users: int, *steps: tuple[int, Callable[[], object]], port: int = 0) -> list[Event]:
    """The scenario as an experiment drives it, to `port` or straight to the server; after each wait (ns) do a step."""
    clock, inbox, events = SystemClock(), Inbox[Event](), list[Event]()
    spec = TrafficSpec(scenario=server.scenario, target="t", timeout_ns=5 * S)
    driver = LocustTraffic(spec, origin_ns=clock.origin_ns, seed=7, base_dir=SCENARIOS, log_dir=server.folder)
    driver.start(inbox, f"http://127.0.0.1:{port or server.port}")
    driver.set_load(Load(at_ns=clock.now(), level_from=0, level_to=users, ramp_ns=0))
    for wait_ns, step in steps:
        collect(clock, inbox, events, clock.now() + wait_ns)
        step()
    driver.stop(2 * S)
    collect(clock, inbox, events, 0)
    return events


def rows_of(events: list[Event]) -> list[Traffic]:
    """The traffic rows."""
    return [event for event in events if isinstance(event, Traffic)]


def tally(rows: list[Traffic], field: str) -> Counter[str]:
    """A count of the rows by endpoint."""
    counted: Counter[str] = Counter()
    for row in rows:
        counted[row.endpoint] += getattr(row, field)
    return +counted


def failures(rows: list[Traffic]) -> Counter[str]:
    """The failures of the rows by class."""
    failed: Counter[str] = Counter()
    for row in rows:
        failed.update(row.failed)
    return failed


def test_a_server_that_stops_gives_failures_and_comes_back(server: Server) -> None:
    """Down for a second: failures of the connection, no exception of the scenario, and good answers afterwards."""
    events = run(server, 8, (S, server.stop), (S, server.start), (5 * S // 2, str))
    rows = rows_of(events)
    failed = failures(rows)
    assert failed.keys() <= {"connect", "reset"}, [event for event in events if isinstance(event, Exemplar)]
    assert failed["connect"] > 0
    assert [event for event in events if isinstance(event, Trouble)] == []
    assert tally(rows, "started") == tally(rows, "finished")
    end = [row for row in rows if row.second == max(row.second for row in rows) - 1]
    assert failures(end) == Counter()
    assert sum(tally(end, "finished").values()) >= 40


@contextmanager
def slow_way(server: Server, latency_ms: int) -> Iterator[int]:
    """A port of the embedded proxy, which answers that much later."""
    process = start_embedded(seed=7)
    try:
        client = Toxiproxy(process.address)
        proxy = client.create_proxy("link", "127.0.0.1:0", f"127.0.0.1:{server.port}")
        client.add_toxic(
            "link", "late", "latency", stream="downstream", attributes={"latency": latency_ms, "jitter": 0}
        )
        yield int(proxy.listen.rpartition(":")[2])
    finally:
        process.stop()


def test_counts_are_the_server_s_own_and_users_wait_side_by_side(server: Server) -> None:
    """Behind a toxic of 300 ms, 20 users: an answer takes that, and not the 6 s of one after the other; each
    request is in the rows once, finished and well, and the server has seen as many."""
    with slow_way(server, 300) as port:
        events = run(server, 20, (3 * S, str), port=port)
    rows = rows_of(events)
    assert [event for event in events if isinstance(event, Exemplar | Trouble)] == []
    assert tally(rows, "started") == tally(rows, "finished") == server.counts()
    service = histogram.decode([row.service_ok for row in rows if "CONNECT" not in row.endpoint])
    assert service.total >= 40
    assert (service.percentile_us(0.01) or 0) > 295_000
    assert (service.percentile_us(0.5) or 0) < 1_000_000


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> list[Event]:
    """Two users in blocks of `measure` that end in every way, with a time limit of 1 s, cut off without a drain."""
    clock, inbox, events = SystemClock(), Inbox[Event](), list[Event]()
    spec = TrafficSpec(scenario="measured.py", target="t", timeout_ns=S)
    folder = Path(__file__).parents[1] / "traffic" / "scenarios"
    logs = tmp_path_factory.mktemp("measured")
    driver = LocustTraffic(spec, origin_ns=clock.origin_ns, seed=7, base_dir=folder, log_dir=logs)
    driver.start(inbox, "http://127.0.0.1:9")
    driver.set_load(Load(at_ns=clock.now(), level_from=0, level_to=3, ramp_ns=0))
    collect(clock, inbox, events, clock.now() + 5 * S // 2)
    driver.stop(0)
    collect(clock, inbox, events, 0)
    return events


@pytest.mark.parametrize(
    ("endpoint", "failure"),
    [
        ("OWN good", ""),
        ("OWN after", ""),
        ("OWN wrong", "assertion"),
        ("OWN raised", "connect"),
        ("OWN impatient", "timeout"),
    ],
)
def test_a_measured_block_counts_by_how_it_ended(measured: list[Event], endpoint: str, failure: str) -> None:
    """Once each: good, renamed, judged by the scenario, raised, given up by a limit of the scenario's own."""
    rows = [row for row in rows_of(measured) if row.endpoint == endpoint]
    finished = sum(row.finished for row in rows)
    lost = sum(row.lost for row in rows)  # one may be in flight when the run ends
    assert finished + lost == sum(row.started for row in rows)
    assert finished >= 6
    assert lost <= 1
    assert failures(rows) == Counter({failure: finished} if failure else {})


def test_a_measured_block_is_under_the_time_limit_and_lost_at_the_end(measured: list[Event]) -> None:
    """What is never answered fails after a second; the last one was in flight when the run ended, and is lost."""
    rows = [row for row in rows_of(measured) if row.endpoint == "OWN late"]
    service = histogram.decode([row.service_failed for row in rows])
    assert (failures(rows), tally(rows, "lost")) == (Counter({"timeout": 2}), Counter({"OWN late": 1}))
    assert 990_000 < (service.percentile_us(1.0) or 0) < 1_300_000
    assert {row.endpoint for row in rows_of(measured)} & {"OWN before", "OWN not a request"} == set()
    assert [event for event in measured if isinstance(event, Trouble)] == []


@pytest.mark.parametrize(
    ("scenario", "module", "package"),
    [
        (Postgres.scenario, "psycopg", "'psycopg[binary]'"),
        (Redis.scenario, "redis", "redis"),
        (Echo.scenario, "websocket", "websocket-client"),
        (Health.scenario, "grpc", "grpcio"),
    ],
)
def test_a_missing_package_is_named_with_what_installs_it(
    scenario: str, module: str, package: str, tmp_path: Path
) -> None:
    """Before any load; the name on PyPI, not that of the import."""
    (tmp_path / scenario).write_text((SCENARIOS / scenario).read_text())
    (tmp_path / f"{module}.py").write_text(f"raise ModuleNotFoundError('No module named {module}', name='{module}')\n")
    with pytest.raises(BadInput, match=module) as refused:
        check_scenario(TrafficSpec(scenario=scenario, target="t", timeout_ns=S), tmp_path)
    assert str(refused.value.hint).endswith(f"-m pip install {package}")


def test_a_scenario_runs_under_bare_locust(server: Server) -> None:
    """Locust itself, without the harness, runs the file and exits 0, which means that no request failed."""
    words = ["--headless", "-H", f"tcp://127.0.0.1:{server.port}", "-u", "4", "-r", "4", "-t", "2s", "--only-summary"]
    command = [sys.executable, "-m", "locust", "-f", f"scenarios/{server.scenario}", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert sum(server.counts().values()) >= 4
    assert "Traceback" not in done.stderr
