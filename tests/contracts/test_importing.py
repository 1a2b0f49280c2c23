"""An imported session, really run: the target gets the calls that were recorded, with what it gave out this time."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from harness.clock import SystemClock
from harness.journal import Traffic
from harness.loader import load
from harness.starter import write_imported
from harness.traffic.locust import LocustTraffic
from tests.contracts.test_traffic import S, drive

DOCUMENTS = Path(__file__).parents[1] / "importing" / "documents"


class Shop(ThreadingHTTPServer):
    """Gives out another token and another order than those of the recording; `seen` is what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.seen: Counter[tuple[str, ...]] = Counter()
        self.address = f"http://127.0.0.1:{self.server_port}"


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Shop

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        """Nothing on the console of a test."""

    def _answer(self) -> None:
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        if self.headers.get("Content-Type", "").startswith("application/json"):
            sent = json.dumps(json.loads(sent), separators=(",", ":"))
        self.server.seen[self.command, self.path, self.headers.get("Authorization") or "", sent] += 1
        given = {
            "/api/login": {"user": {"access-token": "tok_of_today_42"}},
            "/api/orders": {"order": {"id": "ord-of-today-1"}},
        }
        answer = json.dumps(given.get(self.path, "ok")).encode()
        self.send_response(404 if self.path == "/missing" else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = _answer  # noqa: N815 - the names are the base class's


@pytest.fixture
def shop() -> Iterator[Shop]:
    """A shop that runs in threads of the test."""
    with Shop() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join(5)


def driven(document: str, shop: Shop, folder: Path, users: int) -> list[Traffic]:
    """The rows of three seconds of the traffic that comes of a document."""
    write_imported(DOCUMENTS / document, folder, "it", address=shop.address, all_methods=False, host="", assets=False)
    experiment = load(folder / "experiments/it.yaml")
    clock = SystemClock()
    driver = LocustTraffic(
        experiment.traffic,
        origin_ns=clock.origin_ns,
        seed=7,
        base_dir=Path(experiment.base_dir),
        log_dir=folder,
    )
    events, _ = drive(driver, clock, shop.address, users, 0, 3 * S)
    return [event for event in events if isinstance(event, Traffic)]


def test_a_recorded_session_is_sent_with_the_values_of_this_run(shop: Shop, tmp_path: Path) -> None:
    """Login with what the credentials file says; the token and the order of today, not those of the recording."""
    rows = driven("shop.har", shop, tmp_path, users=1)
    bearer = "Bearer tok_of_today_42"
    asked = list(shop.seen)
    assert asked[:5] == [
        ("GET", "/", "", ""),
        ("POST", "/api/login", "", '{"name":"ann","password":"change-me"}'),
        ("GET", "/api/products?status=available&page=2", bearer, ""),
        ("POST", "/api/orders", bearer, '{"sku":7,"note":"{{x}}","lines":[{"n":1}]}'),
        ("GET", "/api/orders/ord-of-today-1", bearer, ""),
    ]
    assert shop.seen["GET", "/api/orders/ord-of-today-1", bearer, ""] == 2
    assert "GET /api/orders/{{id}}" in {row.endpoint for row in rows}
    assert ("POST", "/feedback", "", "mark=5&text=fine+%26+good") in asked
    assert ("GET", "/missing", "", "") in asked
    assert not any(row.failed for row in rows)
    assert sum(row.started for row in rows) == sum(shop.seen.values())


def test_the_reads_of_an_api_are_sent_as_the_document_says(shop: Shop, tmp_path: Path) -> None:
    """Method, path, query and the credentials of the file; every answer is as expected."""
    rows = driven("petstore.yaml", shop, tmp_path, users=8)
    assert set(shop.seen) == {
        ("GET", "/v1/pets?limit=5&born=2024-01-31&tags=small&tags=not%20loud", "Bearer change-me", ""),
        ("GET", "/v1/pets/00000000-0000-4000-8000-000000000001", "", ""),
    }
    assert {row.endpoint for row in rows} == {"GET listPets", "GET getPet"}
    assert not any(row.failed for row in rows)
    assert sum(row.started for row in rows) == sum(shop.seen.values()) >= 8
