"""A recorded session becomes one sequence: the HAR file in documents/ was saved by Chromium and cut short."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jmespath
import pytest

from harness.errors import BadInput
from harness.importing import Body, Call, Imported, Wait, from_har, read_document
from harness.importing.reading import document_of

SHOP = Path(__file__).parent / "documents" / "shop.har"
MS = 1_000_000


def entry(url: str, at_ms: int = 0, **more: Any) -> dict[str, Any]:
    """An entry that began `at_ms` after the first and took no time."""
    answer = more.pop("answer", None)
    content = {} if answer is None else {"mimeType": "application/json", "text": json.dumps(answer)}
    response = {"status": more.pop("status", 200), "content": content}
    headers = [{"name": name, "value": value} for name, value in more.pop("headers", {}).items()]
    request = {"method": more.pop("method", "GET"), "url": url, "headers": headers, "postData": more.pop("post", {})}
    began = f"2024-01-01T00:{at_ms // 60_000:02}:{at_ms % 60_000 / 1000:06.3f}Z"
    return {"startedDateTime": began, "time": 0, "request": request, "response": response, **more}


def imported(*entries: Mapping[str, Any], **options: Any) -> Imported:
    """A log of these entries, imported."""
    return from_har(document_of(json.dumps({"log": {"entries": entries}}).encode(), where="f"), **options)


def calls(*entries: Mapping[str, Any], **options: Any) -> list[Call]:
    """The calls of a log of these entries."""
    (request,) = imported(*entries, **options).requests
    return [step for step in request.steps if isinstance(step, Call)]


def refused(*entries: object, **options: Any) -> str:
    """The one error about a log of these entries."""
    with pytest.raises(BadInput) as caught:
        imported(*entries, **options)  # type: ignore[arg-type]
    return str(caught.value)


def shop(**options: Any) -> Imported:
    """The session that Chromium recorded."""
    return from_har(read_document(SHOP), **options)


def test_a_session_of_chromium_is_one_sequence_in_its_order() -> None:
    """Calls, pauses, bodies, expected classes, values taken from answers, secrets in their place."""
    found = shop()
    assert found.address == "http://127.0.0.1:8090"
    (request,) = found.requests
    assert request.name == "session of 127.0.0.1"
    told = [(s.method, s.path, s.status) if isinstance(s, Call) else s.wait_ns // MS for s in request.steps]
    assert told == [
        ("GET", "/", "2xx"),
        ("POST", "/api/login", "2xx"),
        ("GET", "/api/products", "2xx"),
        1500,
        ("POST", "/api/orders", "2xx"),
        ("GET", "/api/orders/{{id}}", "2xx"),
        ("GET", "/api/orders/{{id}}", "2xx"),
        ("POST", "/feedback", "2xx"),
        ("GET", "/missing", "4xx"),
        10_000,
        ("GET", "/old", "3xx"),
        ("GET", "/cart", "2xx"),
    ]
    made = [step for step in request.steps if isinstance(step, Call)]
    assert made[1].body == Body(kind="json", value={"name": "ann", "password": "{{credentials.password}}"})
    assert made[1].extract == {"access_token": 'user."access-token"'}
    assert made[2].query == {"status": "available", "page": "2"}
    assert made[2].headers == {"X-Shop-Region": "eu", "Authorization": "Bearer {{access_token}}"}
    assert made[3].body == Body(kind="json", value={"sku": 7, "note": "{{{{x}}", "lines": [{"n": 1}]})
    assert made[3].extract == {"id": "order.id"}
    assert made[6].body == Body(kind="form", value={"mark": "5", "text": "fine & good"})


def test_what_is_left_out_of_it_is_counted_with_its_reason() -> None:
    """Other hosts, assets, uploads; and that cookies are not written."""
    found = shop()
    assert found.left_out == (
        "2 requests to http://localhost:8090 (--host takes another host)",
        "3 static assets (--assets takes them in)",
        "1 with an upload of several parts",
    )
    assert found.notes == (
        "taken from an earlier answer: access_token, id",
        "no cookie is written: users keep those that the target sets",
    )
    assert found.credentials == {"password": "what was recorded as password"}


def test_no_secret_of_the_recording_is_written() -> None:
    """Neither the password, nor the token, nor the cookie."""
    recorded = SHOP.read_text(encoding="utf-8")
    for secret in ("hunter2-recorded", "tok_8f3a91c07be2", "verysecretcookie"):
        assert secret in recorded
        assert secret not in repr(shop(assets=True))


def test_another_host_and_assets_are_taken_where_asked_for() -> None:
    """A host that nobody asked is an error with those that were."""
    assert shop(host="localhost").address == "http://localhost:8090"
    assert [step.path for step in shop(host="localhost:8090").requests[0].steps if isinstance(step, Call)] == ["/track"]
    assets = shop(assets=True).requests[0].steps
    assert [step.path for step in assets if isinstance(step, Call)][1:4] == ["/s.css", "/a.js", "/logo.png"]
    with pytest.raises(
        BadInput, match=r"--host other: no request went there, but to http://127\.0\.0\.1:8090, http://loc"
    ):
        shop(host="other")
    assert shop(address="http://127.0.0.1:1").address == "http://127.0.0.1:1"


@pytest.mark.parametrize(
    ("gap_ms", "waits"),
    [(0, []), (99, []), (100, [100]), (149, [100]), (1_260, [1_300]), (59_000, [10_000])],
)
def test_a_pause_is_rounded_and_bounded(gap_ms: int, waits: list[int]) -> None:
    """Below 100 ms there is none, above ten seconds it is ten."""
    (request,) = imported(entry("http://a/1"), entry("http://a/2", gap_ms)).requests
    assert [step.wait_ns // MS for step in request.steps if isinstance(step, Wait)] == waits


def test_a_pause_begins_when_all_before_have_ended() -> None:
    """Requests side by side have none between them; the file's order is not that of time."""
    entries = [entry("http://a/3", 2_000), entry("http://a/1", time=1_800), entry("http://a/2", 500)]
    (request,) = imported(*entries).requests
    told = [step.path if isinstance(step, Call) else step.wait_ns // MS for step in request.steps]
    assert told == ["/1", "/2", 200, "/3"]


def test_only_headers_that_matter_are_kept() -> None:
    """What a browser says of itself is not; a secret among them has its place in the credentials file."""
    headers = (
        {
            "Accept": "text/csv",
            "X-Tenant": "blue",
            "x-api-key": "k3y-recorded",
            "Content-Type": "text/plain",
        }
        | dict.fromkeys(("User-Agent", "Cookie", "Referer", "Accept-Language", ":authority"), "browser")
        | {"X-Bad": "ä"}
    )
    (call,) = calls(entry("http://a/", headers=headers))
    assert call.headers == {
        "Accept": "text/csv",
        "X-Tenant": "blue",
        "x-api-key": "{{credentials.x_api_key}}",
        "Content-Type": "text/plain",
    }


@pytest.mark.parametrize(
    ("post", "body"),
    [
        ({"mimeType": "application/json", "text": '{"a": [1]}'}, Body(kind="json", value={"a": [1]})),
        ({"mimeType": "application/json", "text": "{broken"}, Body(kind="body", value="{broken")),
        ({"mimeType": "application/json", "text": '{"n": 12345678901234567890}'},
         Body(kind="body", value='{"n": 12345678901234567890}')),
        ({"mimeType": "application/x-www-form-urlencoded", "text": "a=1&b=%C3%A4"},
         Body(kind="form", value={"a": "1", "b": "ä"})),
        ({"mimeType": "application/x-www-form-urlencoded", "params": [{"name": "a", "value": "1"}]},
         Body(kind="form", value={"a": "1"})),
        ({"mimeType": "application/x-www-form-urlencoded", "text": "a=1&a=2"}, Body(kind="body", value="a=1&a=2")),
        ({"mimeType": "text/plain", "text": "x {{y}}"}, Body(kind="body", value="x {{{{y}}")),
        ({"mimeType": "text/plain", "text": "password=s3cret&x=1"}, Body(kind="body", value="password=***&x=1")),
        ({}, None),
    ],
)  # fmt: skip
def test_a_body_is_written_as_what_it_is(post: object, body: Body | None) -> None:
    """What cannot be taken apart is a text."""
    (call,) = calls(entry("http://a/", method="POST", post=post))
    assert call.body == body


def test_a_value_that_was_given_out_is_taken_from_its_answer() -> None:
    """In path, query, header and body; at a JMESPath that finds it."""
    answer = {"list": [{"the id": "abc-12345", "n": 1}]}
    found = calls(
        entry("http://a/new", answer=answer),
        entry("http://a/x/abc-12345/y?ref=abc-12345", headers={"X-Ref": "abc-12345", "Authorization": "Bearer zzz"}),
        entry("http://a/z", method="PUT", post={"mimeType": "application/json", "text": '{"a": ["abc-12345"]}'}),
    )
    ((name, path),) = found[0].extract.items()
    assert name == "id"
    assert jmespath.search(path, answer) == "abc-12345"
    assert found[1].path == "/x/{{id}}/y"
    assert found[1].query == {"ref": "{{id}}"}
    assert found[1].headers == {"X-Ref": "{{id}}", "Authorization": "Bearer {{credentials.authorization}}"}
    assert found[2].body == Body(kind="json", value={"a": ["{{id}}"]})


@pytest.mark.parametrize(
    ("first", "answer", "second"),
    [
        ("http://a/", {"state": "available"}, "http://a/available"),
        ("http://a/", {"id": "abc-123"}, "http://a/abc-123"),
        ("http://a/", {"id": 123456789}, "http://a/123456789"),
        ("http://a/", {"id": "abc-12345", "same": "abc-12345"}, "http://a/abc-12345"),
        ("http://a/abc-12345", {"id": "abc-12345"}, "http://a/abc-12345"),
        ("http://a/", {"id": "abc-12345"}, "http://a/xabc-12345"),
    ],
    ids=["a word", "too short", "a number", "in two fields", "sent before", "a part only"],
)
def test_what_is_not_certain_is_sent_as_recorded(first: str, answer: object, second: str) -> None:
    """A wrong extraction would be worse than none."""
    one, two = calls(entry(first, answer=answer), entry(second, 1))
    assert one.extract == {}
    assert two.path == second.removeprefix("http://a")


def test_the_same_name_with_another_secret_has_another_column() -> None:
    """Two passwords are two columns; a repeated one is the same."""
    found = imported(*(entry(f"http://a/?password={word}", at) for at, word in enumerate(("one", "two", "one"))))
    queries = [step.query["password"] for step in found.requests[0].steps if isinstance(step, Call)]
    assert queries == ["{{credentials.password}}", "{{credentials.password_2}}", "{{credentials.password}}"]
    assert list(found.credentials) == ["password", "password_2"]


def test_a_query_with_a_name_twice_stays_in_the_path() -> None:
    """In its order; letters beyond ASCII are encoded."""
    paths = [
        call.path for call in calls(entry("http://a/b?x=1&x=2"), entry("http://a/b?flag", 1), entry("http://a/ö", 2))
    ]
    assert paths == ["/b?x=1&x=2", "/b", "/%C3%B6"]


def test_what_was_no_exchange_is_left_out() -> None:
    """Another protocol, a preflight, no answer; an answer out of the browser's cache counts as a success."""
    found = imported(
        entry("http://a/", status=304),
        entry("ws://a/", 1),
        entry("data:text/plain,x", 2),
        entry("http://a/", 3, method="OPTIONS"),
        entry("http://a/", 4, status=0),
        entry("http://a/", 5, method="TRACE"),
        entry("http://a/logo.PNG?v=3", 6),
    )
    (call,) = found.requests[0].steps
    assert isinstance(call, Call)
    assert call.status == "2xx"
    assert found.requests[0].name == "/"
    assert found.left_out == (
        "2 of another protocol (websocket, data:, blob:)",
        "1 preflights of the browser (OPTIONS)",
        "1 without an answer",
        "1 static assets (--assets takes them in)",
        "1 with the method TRACE",
    )


def test_a_log_without_anything_to_send_is_refused() -> None:
    """Empty, of something else, or with nothing left: the place and what was expected."""
    assert refused() == "f log.entries: the HAR file has no entries (record the session, then save it)"
    assert refused({}).startswith("f log.entries[0]: expected request.url, request.method and startedDateTime")
    assert refused(entry("http://a/") | {"startedDateTime": "noon"}).startswith("f log.entries[0]: expected a URL and")
    assert refused(entry("http://[/")).startswith("f log.entries[0]: expected a URL and an ISO 8601 time")
    assert refused(entry("ws://a/")) == "f log.entries: no entry is an HTTP request with an answer"
    assert refused(entry("http://a/x.css")) == (
        "f log.entries: nothing is left of 1 entries: 1 static assets (--assets takes them in)"
    )


def test_a_session_is_cut_where_it_is_too_long() -> None:
    """And that is said."""
    found = imported(*(entry(f"http://a/{number}", number) for number in range(403)))
    assert len(found.requests[0].steps) == 400
    assert found.left_out == ("3 requests after the first 400",)
