"""FastUser in the harness's own processes: every request is in the rows once, whatever came of it."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from harness import histogram
from harness.clock import SystemClock
from harness.journal import Exemplar, TrafficEnded, Trouble
from tests.contracts.test_traffic import Run, S, drive, locust
from tests.traffic.target import Target


@pytest.fixture(scope="module", params=["alone", "listened to"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Six users for three seconds with a time limit of one; the second time with a listener of the scenario."""
    with socket.socket() as nobody, pytest.MonkeyPatch.context() as patch, Target() as target:
        nobody.bind(("127.0.0.1", 0))
        patch.setenv("TEST_NOBODY_URL", f"http://127.0.0.1:{nobody.getsockname()[1]}")
        patch.setenv("TEST_LISTEN", "1" if request.param == "listened to" else "")
        clock, logs = SystemClock(), tmp_path_factory.mktemp("fast")
        events, began_ns = drive(locust("fast_user.py", clock, logs), clock, target.address, 6, 0, 3 * S)
        return Run(events, target.seen.copy(), logs, began_ns)


def failures(run: Run, endpoint: str) -> Counter[str]:
    """Failure classes of an endpoint."""
    found: Counter[str] = Counter()
    for row in run.rows:
        if row.endpoint == endpoint:
            found.update(row.failed)
    return found


def test_counts_equal_the_target_s_own(run: Run) -> None:
    """Each request that arrived was started in exactly one row."""
    arrived = Counter({name: count for name, count in run.seen.items() if not name.startswith("GET /never")})
    told = {
        "POST /login": run.started("POST /login"),
        "GET /logout": run.started("GET /logout"),
        "GET /items/1": run.started("GET /items/[id]"),
        "GET /judged": run.started("GET /judged"),
        "GET /status/404": run.started("GET forgiven") + run.started("GET unlucky /status/404"),
        "GET /renamed/7": run.started("GET /renamed/[id]"),
        "GET /raising": run.started("GET /raising"),
        "GET /unjudged": run.started("GET /unjudged"),
        "GET /status/503": run.started("GET unlucky /status/503"),
        "GET /drip": run.started("GET unlucky /drip"),
    }
    assert {name: arrived[name] for name in told} == told
    assert min(told.values()) > 0
    assert run.started("GET /renamed/7") == 0
    # A reset before any byte on a kept connection is asked again once, and is one request all the same.
    assert 0 < run.started("GET unlucky /reset") <= arrived["GET /reset"]


def test_everything_started_is_finished_or_lost(run: Run) -> None:
    """The request of the user that waits for ever is lost: it has a time limit of its own, beyond the drain."""
    balance: Counter[tuple[str, int]] = Counter()
    for row in run.rows:
        balance[row.endpoint, row.second] += row.started - row.finished - row.lost
    assert set(balance.values()) == {0}
    lost: Counter[str] = Counter()
    for row in run.rows:
        lost.update({row.endpoint: row.lost} if row.lost else {})
    assert lost["GET stuck"] == 1
    assert set(lost) <= {"GET stuck", "GET unlucky /never", "GET unlucky /drip"}  # these may be caught by the end
    assert [event.unanswered for event in run.of(TrafficEnded)] == [lost.total()]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("endpoint", "failure"),
    [
        ("GET unlucky /status/503", "5xx"),
        ("GET unlucky /status/404", "4xx"),
        ("GET unlucky /reset", "reset"),
        ("GET unlucky /never", "timeout"),
        ("GET unlucky refused", "connect"),
        ("GET /judged", "assertion"),
        ("GET /raising", "assertion"),
    ],
)
def test_failures_are_told_apart(run: Run, endpoint: str, failure: str) -> None:
    """By class, all of them, and in the histograms of failures."""
    finished = sum(row.finished for row in run.rows if row.endpoint == endpoint)
    assert failures(run, endpoint) == Counter({failure: finished})
    assert finished > 0
    texts = [row.service_failed for row in run.rows if row.endpoint == endpoint]
    assert histogram.decode(texts).total == finished


def test_what_the_scenario_calls_good_is_good(run: Run) -> None:
    """success() on a 404, a with-block that was never entered, a plain answer."""
    for endpoint in ("GET forgiven", "GET /unjudged", "GET /items/[id]", "POST /login"):
        assert failures(run, endpoint) == {}


def test_mistakes_of_the_scenario_are_told(run: Run) -> None:
    """Its exceptions as troubles, its words as exemplars."""
    assert any("ValueError" in event.message for event in run.of(Trouble))  # type: ignore[attr-defined]
    assert "not what we wanted" in {event.message for event in run.of(Exemplar)}  # type: ignore[attr-defined]


def test_listeners_hear_every_request_that_locust_would_tell(run: Run) -> None:
    """All but the raised, the unjudged and the lost, for which Locust itself fires no event."""
    said = [line for line in (run.logs / "traffic-worker-0.log").read_text().splitlines() if line.startswith("HEARD ")]
    finished = sum(row.finished for row in run.rows if row.endpoint not in {"GET /raising", "GET /unjudged"})
    assert said in ([], [f"HEARD {finished}"])
    assert "Traceback" not in "".join(
        line for line in (run.logs / "traffic-worker-0.log").read_text().splitlines() if "harness/traffic" in line
    )


def test_locust_alone_runs_it(tmp_path: Path) -> None:
    """Plain `locust -f scenarios/fast.py --headless`: Locust's own statistics are the target's count.

    Of what is read: the target answers no JSON, so that a checkout, which comes by chance, raises and is not counted.
    """
    root = Path(__file__).parents[3]
    command = [sys.executable, "-m", "locust", "-f", str(root / "scenarios" / "fast.py"), "--headless", "--json"]
    command += ["-u", "5", "-r", "5", "-t", "3s", "--exit-code-on-error", "0", "--stop-timeout", "5"]
    with Target() as target:
        command += ["-H", target.address]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path, check=False)
        assert done.returncode == 0, done.stderr
        entries = json.loads(done.stdout[done.stdout.index("[") :])
        counted = sum(entry["num_requests"] for entry in entries if entry["method"] == "GET")
        assert counted == sum(count for asked, count in target.seen.items() if asked.startswith("GET ")) > 0
