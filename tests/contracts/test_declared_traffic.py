"""Declared traffic against a real server: what arrives, what is counted, and what is told when data or steps fail."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from harness.clock import Inbox, SystemClock
from harness.experiment import TrafficSpec, WorkersSpec
from harness.journal import Event, Exemplar, Generator, Traffic, Trouble
from harness.loader.problems import Problems
from harness.loader.traffic import check_declared, read_traffic
from harness.traffic import Load
from harness.traffic.hosts.gate import Gate
from harness.traffic.hosts.shipment import Shipment, pack
from harness.traffic.hosts.token import about_this
from harness.traffic.locust import LocustTraffic
from harness.traffic.locust_check import check_scenario
from tests.contracts.test_hosts import TOKEN, Worker
from tests.contracts.test_traffic import collect, drive
from tests.traffic.target import Target

S = 1_000_000_000
USERS = 12


@dataclass
class Asked:
    """A request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Shop:
    """A server in a thread that gives each name a token, each item a price, and remembers everything it was asked."""

    asked: list[Asked] = field(default_factory=list)
    address: str = ""

    def __enter__(self) -> Shop:
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)
        self._thread.start()
        assert self._ready.wait(5)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(5)

    async def _serve(self) -> None:
        self._over = asyncio.Event()
        server = await asyncio.start_server(self._client, "127.0.0.1", 0, backlog=256)
        self.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        await self._over.wait()
        server.close()
        for client in asyncio.all_tasks() - {asyncio.current_task()}:
            client.cancel()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
            while True:
                first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                method, path, _ = first.split(" ")
                self.asked.append(Asked(method, path, headers, body))
                page = json.dumps(self._page(path, body)).encode()
                writer.write(
                    b"HTTP/1.1 200 OK\r\nSet-Cookie: sid=c1\r\nContent-Length: %d\r\n\r\n%b" % (len(page), page)
                )
        writer.close()

    def _page(self, path: str, body: bytes) -> dict[str, Any]:
        if path == "/login":
            return {"token": f"t-{json.loads(body)['name']}"}
        return {"items": [{"price": 100 + int(path.rpartition("/")[2])}]} if path.startswith("/p/") else {"ok": True}


def spec(**keys: Any) -> TrafficSpec:
    """Declared traffic as it is written, with a time limit of a second."""
    problems = Problems(where="test")
    read = read_traffic({"target": "t", "timeout": "1s", **keys}, ("traffic",), problems)
    assert read is not None
    check_declared(read, (), problems)
    assert problems.found == []
    return read


def run(traffic: TrafficSpec, address: str, folder: Path, *, users: int = USERS, hold_ns: int = 2 * S) -> list[Event]:
    """The users at once, held; what the driver reported."""
    clock = SystemClock()
    driver = LocustTraffic(traffic, origin_ns=clock.origin_ns, seed=7, base_dir=folder, log_dir=folder)
    return drive(driver, clock, address, users=users, ramp_ns=0, hold_ns=hold_ns)[0]


def rows(events: list[Event]) -> dict[str, Counter[str]]:
    """By endpoint: how many were started, and failed by class."""
    found: dict[str, Counter[str]] = {}
    for event in events:
        if isinstance(event, Traffic):
            counted = found.setdefault(event.endpoint, Counter())
            counted["started"] += event.started
            counted["unfinished"] += event.started - event.finished
            counted.update(event.failed)
    return {name: +counted for name, counted in found.items()}


def troubles(events: list[Event]) -> list[str]:
    """What was told."""
    return [event.message for event in events if isinstance(event, Trouble)]


@dataclass
class Visit:
    """A run of the whole thing, and what the shop saw of it."""

    events: list[Event]
    asked: list[Asked]

    def of(self, start: str) -> list[Asked]:
        """Requests whose method and path begin so."""
        return [one for one in self.asked if f"{one.method} {one.path}".startswith(start)]


@pytest.fixture(scope="module")
def visit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visit]:
    """Login, extraction, a sequence and a CSV, on two processes."""
    folder = tmp_path_factory.mktemp("declared")
    (folder / "users.csv").write_text("name,item\n" + "".join(f"user {n},{n}\n" for n in range(USERS)))
    (folder / "body.bin").write_bytes(b"\x00{{x}}")
    price = {"price": {"json": "items[0].price"}, "sid": {"cookie": "sid"}}
    traffic = spec(
        processes=2,
        pace="250ms",
        headers={"Authorization": "Bearer {{token}}", "X-All": "yes"},
        data={"user": {"file": "users.csv", "at_end": "stop"}},
        login=[{"post": "/login", "json": {"name": "{{user.name}}"}, "extract": {"token": {"json": "token"}}}],
        requests=[
            {"name": "list", "get": "/list", "query": {"for": "{{user.name}}", "n": "{{seq}}"}},
            {
                "name": "buy",
                "steps": [
                    {"get": "/p/{{user.item}}", "extract": price},
                    {"wait": "5ms..20ms"},
                    {"post": "/cart", "json": {"price": "{{price}}", "note": "for {{price}}", "sid": "{{sid}}"}},
                    {
                        "put": "/form",
                        "form": {"name": "{{user.name}}", "id": "{{uuid}}"},
                        "expect": {"json": {"ok": True}},
                    },
                ],
            },
            {"name": "file", "weight": 0, "post": "/never", "body": "x"},
            {"name": "upload", "post": "/upload", "body_file": "body.bin"},
        ],
    )
    with Shop() as shop:
        events = run(traffic, shop.address, folder)
    yield Visit(events, shop.asked)


class TestAWholeVisit:
    """What two processes with twelve users and twelve rows did."""

    def test_the_shop_sees_each_row_exactly_once(self, visit: Visit) -> None:
        """Each user logs in once, as somebody else."""
        names = [json.loads(one.body)["name"] for one in visit.of("POST /login")]
        assert sorted(names) == sorted(f"user {number}" for number in range(USERS))

    def test_what_was_extracted_is_sent_by_the_user_for_whom_it_was(self, visit: Visit) -> None:
        """The token of the login in every header, the price of its item in its cart, with its type."""
        for one in visit.of("GET /list"):
            name = dict(parse_qsl(one.path.partition("?")[2]))["for"]
            assert one.headers["authorization"] == f"Bearer t-{name}"
            assert one.headers["cookie"] == "sid=c1"
        carts = [json.loads(one.body) for one in visit.of("POST /cart")]
        assert {cart["price"] for cart in carts} == {100 + number for number in range(USERS)}
        assert all(cart == {"price": cart["price"], "note": f"for {cart['price']}", "sid": "c1"} for cart in carts)
        assert all(
            "authorization" not in one.headers and one.headers["x-all"] == "yes" for one in visit.of("POST /login")
        )

    def test_bodies_arrive_as_they_were_declared(self, visit: Visit) -> None:
        """A form, and a file byte for byte; a weight of 0 is never done."""
        forms = [dict(parse_qsl(one.body.decode())) for one in visit.of("PUT /form")]
        assert {form["name"] for form in forms} == {f"user {number}" for number in range(USERS)}
        assert len({form["id"] for form in forms}) == len(forms)
        assert {one.headers["content-type"] for one in visit.of("PUT /form")} == {"application/x-www-form-urlencoded"}
        assert {one.body for one in visit.of("POST /upload")} == {b"\x00{{x}}"}
        assert visit.of("POST /never") == []

    def test_numbers_of_iterations_are_nobody_elses(self, visit: Visit) -> None:
        """Over both processes."""
        numbers = [dict(parse_qsl(one.path.partition("?")[2]))["n"] for one in visit.of("GET /list")]
        assert len(set(numbers)) == len(numbers) > USERS

    def test_the_books_say_what_the_shop_saw(self, visit: Visit) -> None:
        """By the names that were declared; nothing failed, nothing is missing, nothing is told."""
        seen = Counter(f"{one.method} {one.path.partition('?')[0]}" for one in visit.asked)
        items = sum(count for name, count in seen.items() if name.startswith("GET /p/"))
        assert rows(visit.events) == {
            "POST /login": {"started": USERS},
            "GET list": {"started": seen["GET /list"]},
            "GET /p/{{user.item}}": {"started": items},
            "POST /cart": {"started": seen["POST /cart"]},
            "PUT /form": {"started": seen["PUT /form"]},
            "POST upload": {"started": seen["POST /upload"]},
        }
        assert troubles(visit.events) == []
        assert seen["POST /upload"] == pytest.approx(seen["GET /list"], abs=USERS)


def test_failures_are_classed_and_end_their_iteration(tmp_path: Path) -> None:
    """By status, expectation and extraction; what comes after them is not sent, and that is told with numbers."""
    after = {"get": "/after"}
    traffic = spec(
        pace="200ms",
        requests=[
            {"name": "gone", "get": "/status/404"},
            {"name": "wanted", "get": "/status/404", "expect": {"status": [200, 404]}},
            {"name": "teapot", "get": "/ok", "expect": {"status": 418}},
            {"name": "body", "get": "/ok", "expect": {"body": "perfect"}},
            {"name": "steps", "steps": [{"get": "/no", "name": "id", "extract": {"id": {"regex": "id=(.)"}}}, after]},
        ],
    )
    with Target() as target:
        events = run(traffic, target.address, tmp_path, users=5)
        seen = target.seen
    found = rows(events)
    assert {name: counted - Counter(started=counted["started"]) for name, counted in found.items()} == {
        "GET gone": {"4xx": found["GET gone"]["started"]},
        "GET wanted": {},
        "GET teapot": {"assertion": found["GET teapot"]["started"]},
        "GET body": {"assertion": found["GET body"]["started"]},
        "GET id": {"assertion": found["GET id"]["started"]},
    }
    assert seen["GET /after"] == 0
    count = found["GET id"]["started"]
    assert count == seen["GET /no"] >= 5
    assert {event.message for event in events if isinstance(event, Exemplar) and event.failure == "assertion"} == {
        "expected status 418, got 200",
        "expected a body with 'perfect', got 'ok'",
        "step id: nothing found for id at regex id=(.)",
    }
    why = "step id: nothing found for id at regex id=(.)"
    assert troubles(events) == [
        f"steps: when step id fails, the rest is left out; the first time: {why}",
        f"steps: {count} iterations ended at step id, which failed",
    ]


def test_a_login_that_fails_is_tried_again(tmp_path: Path) -> None:
    """Each iteration tries it once, and sends nothing else."""
    login = [{"post": "/status/503"}]
    with Target() as target:
        events = run(spec(pace="250ms", login=login, requests=[{"get": "/"}]), target.address, tmp_path, users=2)
        seen = target.seen
    assert list(seen) == ["POST /status/503"]
    assert seen["POST /status/503"] > 4
    first, last = troubles(events)
    assert first.startswith("login: when step /status/503 fails, the user tries again in its next iteration; the first")
    assert last == f"login: {seen['POST /status/503']} iterations ended at step /status/503, which failed"


def test_data_that_runs_out_is_told_and_the_load_falls_short_in_sight(tmp_path: Path) -> None:
    """Four users and two rows: two work, two stop; the rows about the generator say both."""
    (tmp_path / "users.csv").write_text("name\nann\nbob\n")
    data = {"user": {"file": "users.csv", "at_end": "stop"}}
    with Target() as target:
        traffic = spec(pace="200ms", data=data, requests=[{"get": "/{{user.name}}"}])
        events = run(traffic, target.address, tmp_path, users=4, hold_ns=2 * S)
        seen = target.seen
    assert set(seen) == {"GET /ann", "GET /bob"}
    assert troubles(events) == ["users.csv ran out after 2 rows"]
    generators = [event for event in events if isinstance(event, Generator)]
    assert sum(event.raised for event in generators) == 2
    assert max(event.users for event in generators[-2:]) == 2


def test_arrivals_that_find_no_row_are_counted_as_ended_by_the_scenario(tmp_path: Path) -> None:
    """In the open model they keep coming: three of them send, the others are seen to have been left out."""
    (tmp_path / "items.jsonl").write_text('{"id": 1}\n{"id": 2}\n{"id": 3}\n')
    data = {"item": {"file": "items.jsonl", "per": "iteration", "at_end": "stop"}}
    traffic = spec(arrivals="uniform", max_users=20, data=data, requests=[{"get": "/{{item.id}}"}])
    clock, inbox = SystemClock(), Inbox[Event]()
    driver = LocustTraffic(traffic, origin_ns=clock.origin_ns, seed=7, base_dir=tmp_path, log_dir=tmp_path)
    events: list[Event] = []
    with Target() as target:
        driver.start(inbox, target.address)
        began_ns = clock.now()
        driver.set_load(Load(at_ns=began_ns, level_from=20, level_to=20, ramp_ns=0, unit="rate"))
        collect(clock, inbox, events, began_ns + 2 * S)
        driver.stop(S)
        collect(clock, inbox, events, 0)
        assert dict(target.seen) == {"GET /1": 1, "GET /2": 1, "GET /3": 1}
    assert troubles(events) == ["items.jsonl ran out after 3 rows"]
    generators = [event for event in events if isinstance(event, Generator)]
    assert sum(event.raised for event in generators) == sum(event.begun for event in generators) - 3 > 30


def test_workers_elsewhere_get_the_data_and_their_own_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that joined: the files travel with the experiment, and each row still goes to one user only.

    What was packed is taken away here: elsewhere it would not be there either.
    """

    def pack_and_hide(*words: Any) -> Shipment:
        packed = pack(*words)
        (tmp_path / "data").rename(tmp_path / "hidden")
        (tmp_path / "body.bin").unlink()
        return packed

    monkeypatch.setattr("harness.traffic.locust.pack", pack_and_hide)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "users.csv").write_text("name\n" + "".join(f"u{number}\n" for number in range(6)))
    (tmp_path / "body.bin").write_bytes(b"\x01")
    with socket.create_server(("127.0.0.1", 0)) as free:
        where = f"127.0.0.1:{free.getsockname()[1]}"
    workers = WorkersSpec(expect=2, bind=where, join_within_ns=20 * S)
    declared = spec(
        pace="250ms",
        data={"user": {"file": "data/users.csv", "at_end": "stop"}},
        requests=[{"name": "x", "post": "/{{user.name}}", "body_file": "body.bin"}],
    )
    clock, inbox = SystemClock(), Inbox[Event]()
    gate = Gate(workers, TOKEN.encode(), about_this(), lambda _: None)
    driver = LocustTraffic(
        replace(declared, workers=workers),
        origin_ns=clock.origin_ns,
        seed=7,
        base_dir=tmp_path,
        log_dir=tmp_path,
        gate=gate,
    )
    events: list[Event] = []
    with Shop() as shop, ExitStack() as cleanup:
        for _ in range(2):
            cleanup.callback(Worker(where, "--once").close)
        cleanup.callback(driver.stop, 0)
        driver.start(inbox, shop.address)
        began_ns = clock.now()
        driver.set_load(Load(at_ns=began_ns, level_from=0, level_to=6, ramp_ns=0))
        collect(clock, inbox, events, began_ns + S)
        driver.stop(S)
        collect(clock, inbox, events, 0)
        assert {one.path for one in shop.asked} == {f"/u{number}" for number in range(6)}
        assert {one.body for one in shop.asked} == {b"\x01"}
        assert rows(events) == {"POST x": {"started": len(shop.asked)}}
    assert troubles(events) == []


def test_a_user_thinks_between_iterations(tmp_path: Path) -> None:
    """Never more of them than the wait allows, and the check knows its mean without a run."""
    wait = {"name": "x", "steps": [{"get": "/"}, {"wait": "100ms"}, {"get": "/"}]}
    traffic = spec(think="100ms..200ms", requests=[wait, {"name": "y", "get": "/y"}])
    (known,) = check_scenario(traffic, tmp_path)
    assert (known.period_ns, known.think_ns, known.requests) == (None, 200_000_000, 1.5)
    with Target() as target:
        events = run(traffic, target.address, tmp_path, users=4)
        begun = sum(event.begun for event in events if isinstance(event, Generator))
    assert 4 * 4 <= begun <= 4 * (2000 / 100 + 2)
    assert sum(counted["started"] for counted in rows(events).values()) == sum(target.seen.values()) > begun


def test_a_value_that_cannot_stand_in_a_header_is_not_sent(tmp_path: Path) -> None:
    """It would be another header: told once, without the value, and counted as the scenario's own failure."""
    (tmp_path / "keys.jsonl").write_text('{"value": "a\\r\\nX-Evil: 1"}\n')
    send = {"name": "x", "get": "/", "headers": {"X-Key": "{{key.value}}"}}
    traffic = spec(pace="250ms", data={"key": {"file": "keys.jsonl"}}, requests=[send])
    with Target() as target:
        events = run(traffic, target.address, tmp_path, users=2, hold_ns=S)
        assert not target.seen
    why = "a value with a line break, or beyond latin-1, cannot stand in a header"
    assert troubles(events) == [f"x: step x was not sent: {why} (told once)"]
    generators = [event for event in events if isinstance(event, Generator)]
    assert sum(event.raised for event in generators) == sum(event.begun for event in generators) > 2
