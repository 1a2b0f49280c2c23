"""FastUser's client against a server that answers well, oddly and not at all."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.traffic.fast.odd_server import OddServer

ROOT = Path(__file__).parents[3]


Found = dict[str, list[dict[str, Any]]]


def user(*calls: dict[str, Any], **options: Any) -> dict[str, Any]:
    """A user to be asked of: its calls, and attributes of its class."""
    return {"options": options, "calls": [{"method": "GET", **call} for call in calls]}


def ask(address: str, users: dict[str, dict[str, Any]]) -> Found:
    """What came of each call of each user, all in one process."""
    lines = "".join(json.dumps(told) + "\n" for told in users.values())
    command = [sys.executable, "-m", "tests.traffic.fast.asker", address]
    done = subprocess.run(command, input=lines, capture_output=True, text=True, timeout=90, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return dict(zip(users, json.loads(done.stdout), strict=True))


GOOD = {
    "/ok": "ok",
    "/interim": "ok",
    "/chunked": "abcde",
    "/bytewise": "abcde",
    "/204": "",
    "/304": "",
    "/case": "ok",
    "/huge-head": "ok",
    "/latin": "é",
    "/close": "ok",
    "/until-close": "all of it",
    "/http10": "ok",
    "/big": 3_000_000,
    "/too-much": "ok",
    "/two-answers": "ok",
    "/gzip": "squeezed",
    "/charset": "ok",
    "/charset-idna": "ok",
    "/ages": "ok",
}
BAD = {
    "/reset": ("ConnectionResetError", "reset"),
    "/silent": ("ConnectionClosed", "before it answered"),
    "/half": ("ConnectionClosed", "in the middle"),
    "/half-chunked": ("ConnectionClosed", "in the middle"),
    "/half-head": ("ConnectionClosed", "in the middle"),
    "/garbage": ("BadAnswer", "not HTTP/1.1"),
    "/two-lengths": ("BadAnswer", "not HTTP/1.1"),
    "/endless-head": ("BadAnswer", "do not end within 1 MB"),
    "/endless-interim": ("BadAnswer", "do not end within 1 MB"),
    "/never": ("RequestTimeout", "within 0.3 s"),
    "/drip": ("RequestTimeout", "within 0.3 s"),
    "/drip-head": ("RequestTimeout", "within 0.3 s"),
    "/404": ("LocustBadStatusCode", "404"),
    "/503": ("LocustBadStatusCode", "503"),
}


FOLLOW = {"allow_redirects": True}


def users(other: str) -> dict[str, dict[str, Any]]:
    """Everything that is asked here. `other` is the address of a second server."""
    slow = {path: 0.3 if BAD.get(path, ("",))[0] == "RequestTimeout" else 20 for path in (*GOOD, *BAD)}
    return {
        **{path: user({"url": path, "timeout": slow[path]}, {"url": "/ok"}) for path in (*GOOD, *BAD)},
        "deaf": user({"method": "POST", "url": "/never-read", "fill": 20_000_000, "timeout": 0.4}),
        "early": user({"method": "POST", "url": "/early", "fill": 20_000_000}),
        "large": user({"method": "POST", "url": "/echo", "fill": 8_000_000}),
        "kept": user(
            {"url": "/ok"},
            {"url": "/kept-then-closed"},
            {"method": "POST", "url": "/ok", "pause": 0.2},
            {"url": "/ok"},
        ),
        "repeated": user({"url": "/closed-if-kept"}, {"url": "/closed-if-kept"}),
        "not repeated": user({"url": "/ok"}, {"method": "POST", "url": "/closed-if-kept"}),
        "head": user({"method": "HEAD", "url": "/ok"}, {"url": "/ok"}),
        "redirects": user(
            {"url": "/302"},
            {"method": "POST", "url": "/302", "data": {"a": "b c"}, **FOLLOW},
            {"method": "POST", "url": "/307", "data": {"a": "b c"}, **FOLLOW},
            {"url": "/loop", **FOLLOW},
            {"url": "/ok"},
            {"url": "/no-host", **FOLLOW},
            max_redirects=5,
        ),
        "sent": user(
            {
                "method": "PUT",
                "url": "/echo/ü b",
                "params": {"q": ["1", "2"]},
                "json": {"n": 1},
                "headers": {"user-agent": "me", "X-A": 5},
                "auth": ["joe", "pw"],
            },
            {"method": "POST", "url": "/echo?x=1", "params": {"y": 2}, "data": {"k": "v&"}},
            {"method": "POST", "url": "/echo", "data": "é"},
            default_headers={"X-D": "all"},
        ),
        "unsendable": user({"url": "/ok", "headers": {"X": "a\r\nY: b"}}, {"url": "http://"}),
        "cookies": user(
            {"url": "/set"},
            {"url": "/echo"},
            {"url": "/deep/er"},
            {"url": other.replace("127.0.0.1", "localhost") + "/echo"},
            {"url": "/unset"},
            {"url": "/echo"},
        ),
        "damaged": user(
            {"url": "/bad-gzip", "headers": {"Accept-Encoding": "gzip"}}, {"url": "/bad-gzip"}, {"url": "/bomb"}
        ),
        "nobody": user({"url": "http://127.0.0.1:1/"}, {"url": "http://nobody.invalid/", "timeout": 5}),
    }


@pytest.fixture(scope="module")
def answers() -> Found:
    """All users, one after the other."""
    with OddServer() as server, OddServer() as other:
        return ask(server.address, users(other.address))


@pytest.mark.parametrize("path", GOOD)
def test_every_way_of_ending_a_body_is_understood(answers: Found, path: str) -> None:
    """Lengths, chunks with trailers, closes, interim answers, one byte at a time; the next answer is not disturbed."""
    first, then = answers[path]
    assert (first["error"], first["text"], first["ok"]) == ("", GOOD[path], True)
    assert (then["status"], then["text"]) == (200, "ok")


@pytest.mark.parametrize("path", BAD)
def test_what_goes_wrong_is_named_and_the_next_request_is_not_touched(answers: Found, path: str) -> None:
    """Resets, broken answers, garbage, silence and drips each have an error; the user goes on."""
    first, then = answers[path]
    assert first["error"] == BAD[path][0]
    assert BAD[path][1] in first["said"]
    assert first["ok"] is False
    assert (then["status"], then["text"]) == (200, "ok")


@pytest.mark.parametrize("path", [*GOOD, *BAD])
def test_every_request_fires_locust_s_event_once(answers: Found, path: str) -> None:
    """With the usual facts, whatever came of it."""
    for answer in answers[path]:
        assert len(answer["fired"]) == 1
        assert answer["fired"][0]["request_type"] == "GET"
    assert answers[path][0]["fired"][0]["name"] == path


@pytest.mark.parametrize("path", ["/never", "/drip", "/drip-head"])
def test_the_time_limit_holds_also_when_bytes_drip(answers: Found, path: str) -> None:
    """0.3 s mean 0.3 s: without a limit over the whole, a drip would take two and silence five."""
    assert 0.29 <= answers[path][0]["took_s"] <= 1.5


def test_the_time_limit_holds_while_a_large_body_is_sent(answers: Found) -> None:
    """A server that does not read keeps nobody longer."""
    (answer,) = answers["deaf"]
    assert answer["error"] == "RequestTimeout"
    assert answer["took_s"] <= 3


def test_a_server_that_answers_before_it_has_read_is_heard(answers: Found) -> None:
    """413 in the middle of a large body, then a close: either the answer or the reset, never a hang."""
    (answer,) = answers["early"]
    assert answer["status"] == 413 or "ConnectionResetError" in answer["kinds"]


def test_large_bodies_arrive_whole(answers: Found) -> None:
    """What does not fit into the socket at once is sent as it takes it."""
    (answer,) = answers["large"]
    assert answer["status"] == 200
    assert 8_000_000 < answer["text"] < 8_001_000


def test_connections_are_kept_and_closes_in_think_time_are_seen(answers: Found) -> None:
    """Three requests on one connection; one that the server closed while the user thought is replaced unasked."""
    first, second, third, fourth = answers["kept"]
    assert [found["status"] for found in (first, second, third, fourth)] == [200] * 4
    assert [found["timings"][0] > 0 for found in (first, second, third, fourth)] == [True, False, True, False]
    assert first["timings"][0] <= first["timings"][1] <= first["timings"][2]


def test_a_kept_connection_that_was_closed_is_replaced_once_for_methods_that_may_be_repeated(answers: Found) -> None:
    """GET is asked again on a new connection, as one request; POST is a failure."""
    found = answers["repeated"], answers["not repeated"]
    assert [answer["status"] for answer in found[0]] == [200, 200]
    assert len(found[0][1]["fired"]) == 1
    assert found[1][1]["error"] == "ConnectionClosed"


def test_head_ends_with_its_headers(answers: Found) -> None:
    """Whatever length they promise; the connection is kept."""
    head, then = answers["head"]
    assert (head["status"], head["text"], head["headers"]["content-length"]) == (200, "", "1000")
    assert then["text"] == "ok"
    assert then["timings"][0] == 0


def test_redirects_are_followed_only_when_asked(answers: Found) -> None:
    """As one request; 302 turns POST into GET, 307 does not; a circle ends."""
    plain, found, again, circle, ok, nowhere = answers["redirects"]
    assert (plain["status"], plain["ok"], plain["headers"]["location"]) == (302, True, "/echo")
    assert found["text"].startswith("GET /echo HTTP/1.1\r\n")
    assert (found["history"], found["url"], len(found["fired"])) == (
        [302],
        answers["redirects"][0]["url"].replace("302", "echo"),
        1,
    )
    assert again["text"].startswith("POST /echo HTTP/1.1\r\n")
    assert again["text"].endswith("\r\n\r\na=b+c")
    assert (circle["error"], len(circle["fired"])) == ("TooManyRedirects", 1)
    assert (nowhere["error"], len(nowhere["fired"])) == ("BadAnswer", 1)
    assert ok["status"] == 200


def test_what_is_sent_is_what_was_asked(answers: Found) -> None:
    """Paths, parameters, headers, bodies, credentials."""
    answer, form, texts = answers["sent"]
    host = answer["url"].split("/")[2]
    line, *lines = answer["text"].split("\r\n")
    assert line == "PUT /echo/%C3%BC%20b?q=1&q=2 HTTP/1.1"
    assert {
        f"Host: {host}", "user-agent: me", "X-A: 5", "X-D: all", "Content-Type: application/json",
        "Accept: application/json", "Content-Length: 8", "Authorization: Basic am9lOnB3", '{"n": 1}',
    } <= set(lines)  # fmt: skip
    assert sum(entry.lower().startswith("user-agent") for entry in lines) == 1
    assert form["text"].startswith("POST /echo?x=1&y=2 ")
    assert form["text"].endswith("application/x-www-form-urlencoded\r\nContent-Length: 6\r\n\r\nk=v%26")
    assert texts["text"].endswith("Content-Length: 2\r\n\r\né")


def test_calls_that_cannot_be_sent_raise_and_are_no_requests(answers: Found) -> None:
    """A header with a line break, a URL of another kind: ValueError, no event."""
    split, scheme = answers["unsendable"]
    assert (split["raised"], split["fired"]) == ("ValueError", 0)
    assert (scheme["raised"], scheme["fired"]) == ("ValueError", 0)


def test_cookies_come_back_until_they_are_over(answers: Found) -> None:
    """By path, and to the host that set them only."""
    _, echo, deep, elsewhere, _, gone = answers["cookies"]
    assert "\r\nCookie: id=7\r\n" in echo["text"]
    assert "\r\nCookie: deep=1; id=7\r\n" in deep["text"]
    assert "Cookie" not in elsewhere["text"]
    assert elsewhere["status"] == 200
    assert "Cookie" not in gone["text"]


def test_a_damaged_encoding_that_was_asked_for_is_a_failure(answers: Found) -> None:
    """Asked for gzip, what is not gzip is no answer; unasked, it is for the scenario to find out."""
    asked, unasked, bomb = answers["damaged"]
    assert (asked["error"], asked["status"]) == ("BadAnswer", 0)
    assert (unasked["error"], unasked["status"], unasked["text_error"]) == ("", 200, "BadAnswer")
    assert bomb["text_error"] == "BadAnswer"


def test_hosts_that_are_not_there_are_connect_failures(answers: Found) -> None:
    """A closed port and a name without an address."""
    closed, unknown = answers["nobody"]
    assert "ConnectionRefusedError" in closed["kinds"]
    assert "gaierror" in unknown["kinds"]
    assert closed["status"] == unknown["status"] == 0


LEAVING = """
import os, sys, gevent
from gevent.pool import Group
from locust import task
from locust.env import Environment
from harness.traffic import FastUser

class Visitor(FastUser):
    host = sys.argv[1]

    @task
    def ask(self):
        self.client.get("/ok")
        gevent.sleep(60)

group, environment = Group(), Environment(user_classes=[Visitor])
before = len(os.listdir("/proc/self/fd"))
users = [Visitor(environment) for _ in range(20)]
for user in users:
    user.start(group)
with gevent.Timeout(20):
    while len(os.listdir("/proc/self/fd")) - before < 20 or any(user.client._idle is None for user in users):
        gevent.sleep(0.02)
held = len(os.listdir("/proc/self/fd")) - before
group.kill()
print(held >= 20, len(os.listdir("/proc/self/fd")) - before < 5)
"""


def test_a_user_that_ends_leaves_no_connection() -> None:
    """Twenty users hold twenty files while they live, and none when they were stopped."""
    with OddServer() as server:
        done = subprocess.run(
            [sys.executable, "-c", LEAVING, server.address],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=ROOT,
        )
    assert done.stdout.split() == ["True", "True"], done.stderr
