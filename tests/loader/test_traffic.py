"""Declared traffic as written: what it becomes, every way in which it can be wrong, and the files that it names."""

# ruff: noqa: E501 - a message stands on one line, as users see it

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.declared import Activity, Between, DataSource, Expectation, Extraction, Send
from harness.experiment import TrafficSpec
from harness.loader import from_document, load
from harness.loader.traffic import files_of
from tests.documents import built, problems, replaced, whole, wrong

S = 1_000_000_000
REQUESTS: list[Any] = [{"name": "browse", "get": "/products"}]
BUY: dict[str, Any] = {
    "name": "buy",
    "weight": 2,
    "steps": [
        {"get": "/p/{{user.id}}", "extract": {"price": {"json": "items[0].price"}}},
        {"wait": "1s..2s"},
        {"post": "/cart", "form": {"price": "{{price}}"}, "headers": {"Authorization": "Bearer {{token}}"}},
    ],
}
LOGIN: list[Any] = [{"post": "/login", "json": {"name": "{{user.name}}"}, "extract": {"token": {"json": "token"}}}]
DATA = {"user": {"file": "users.csv"}}


def traffic(**keys: Any) -> dict[str, Any]:
    """The section: two requests, changed by what is given; a key of None is left out."""
    section = {"target": "front", "requests": REQUESTS, **keys}
    return {key: value for key, value in section.items() if value is not None}


def read(**keys: Any) -> TrafficSpec:
    """The section read."""
    return built(traffic=traffic(**keys)).traffic


def refused(**keys: Any) -> list[str]:
    """What is said about the section, without the words that all have."""
    return [message.removeprefix("traffic").lstrip(".") for message in wrong(traffic=traffic(**keys))]


def test_all_of_it_becomes_records() -> None:
    """Durations in ns, statuses as ranges, methods in capitals, names by default the path as written."""
    expect = {"status": ["2xx", 404], "body": "ok", "json": {"a": 1}, "header": {"H": 5}, "under": "2s"}
    checkout = {"post": "/c", "query": {"q": 1}, "json": {"sku": 1}, "expect": expect}
    found = read(data=DATA, login=LOGIN, requests=[checkout, BUY], think="3s..7s", headers={"Accept": "*/*"}).declared
    assert found is not None
    assert found.think == Between(least_ns=3 * S, most_ns=7 * S)
    assert found.data == (DataSource(name="user", file="users.csv"),)
    assert found.activities[0] == Activity(
        name="/c",
        weight=1,
        steps=(
            Send(
                method="POST",
                url="/c",
                name="/c",
                query=(("q", "1"),),
                body_kind="json",
                content={"sku": 1},
                expect=Expectation(statuses=((200, 299), (404, 404)), body="ok", json=(("a", 1),), headers=(("H", "5"),), under_ns=2 * S),
            ),
        ),
    )
    first, wait, second = found.activities[1].steps
    assert wait == Between(least_ns=S, most_ns=2 * S)
    assert isinstance(first, Send)
    assert isinstance(second, Send)
    assert (first.name, first.extract) == ("/p/{{user.id}}", (Extraction(name="price", source="json", what="items[0].price"),))
    assert (second.body_kind, second.content) == ("form", {"price": "{{price}}"})


def test_what_is_not_written_has_its_default() -> None:
    """No scenario, no waits, no data."""
    spec = read()
    assert (spec.scenario, spec.timeout_ns) == ("", 10 * S)
    assert spec.declared is not None
    assert (spec.declared.think, spec.declared.pace_ns, spec.declared.login, spec.declared.data) == (None, 0, (), ())


KEYS = "known here: name, get, post, put, patch, delete, head, options, query, headers, json, form, body, body_file, expect, extract"
BAD: list[tuple[dict[str, Any], str]] = [
    ({"scenario": "s.py"}, ": expected a scenario (a locustfile), or requests to do without one, got both"),
    ({"requests": None}, ": expected a scenario (a locustfile), or requests to do without one, got neither"),
    ({"requests": None, "scenario": "s.py", "think": "1s"}, "think: think goes with requests; a locustfile says it itself"),
    ({"tags": ["a"]}, "tags: tags goes with a scenario"),
    ({"requests": []}, "requests: expected at least one entry, got a list"),
    ({"requests": [{"gte": "/"}]}, f"requests[0].gte: unknown key 'gte'; did you mean get? ({KEYS}, weight, steps)"),
    ({"requests": [{"name": "x"}]}, "requests[0]: expected one of the keys get, post, put, patch, delete, head, options, got name"),
    ({"requests": [{"get": "/", "post": "/"}]}, "requests[0]: expected only one of the keys get, post, put, patch, delete, head, options, got get and post"),
    ({"requests": [{"get": "products"}]}, "requests[0].get: expected a path such as /products/{{id}}, got 'products'"),
    ({"requests": [{"get": "/a b"}]}, "requests[0].get: expected a path without spaces (write %20), got '/a b'"),
    ({"requests": [{"get": "/{{a"}]}, "requests[0].get: {{ is not closed: write {{name}}, and {{{{ for {{ itself"),
    ({"requests": [{"get": "/{{nobody}}"}]}, "requests[0].get: unknown value {{nobody}} (known here: seq, uuid, user_number)"),
    ({"requests": [{"get": "/{{sequ}}"}]}, "requests[0].get: unknown value {{sequ}}; did you mean seq? (known here: seq, uuid, user_number)"),
    ({"data": DATA, "requests": [{"get": "/{{user}}"}]}, "requests[0].get: user is data: name a column, such as {{user.name}}"),
    ({"requests": [{"post": "/", "json": {"a": [{"b": "{{x}}"}]}}]}, "requests[0].json.a[0].b: unknown value {{x}} (known here: seq, uuid, user_number)"),
    ({"requests": [{"get": "/", "expect": {"json": {"a": "{{x}}"}}}]}, "requests[0].expect.json.a: unknown value {{x}} (known here: seq, uuid, user_number)"),
    ({"requests": [{"post": "/", "json": 1, "body": "x"}]}, "requests[0]: expected only one of the bodies json, form, body, body_file, got json and body"),
    ({"requests": [{"post": "/", "json": {"a": [1, float("nan")]}}]}, "requests[0].json: JSON has no .nan and no .inf (null, or a number)"),
    ({"requests": [{"get": "/", "weight": 0}]}, "requests: every weight is 0, so there is nothing to do (a weight is 1 unless it is written)"),
    ({"requests": [{"get": "/", "weight": -1}]}, "requests[0].weight: expected a whole number from 0 to 10000, got -1"),
    ({"requests": [{"get": "/", "weight": 9999}, {"get": "/b", "weight": 9}]}, "requests: the weights add up to 10,008; expected at most 10,000 (divide them)"),
    ({"requests": [{"get": "/"}, {"get": "/"}]}, "requests[1]: two requests are called /; give each its own name"),
    ({"requests": [{"steps": [{"get": "/"}]}]}, "requests[0].name: a request with steps needs a name"),
    ({"requests": [{"name": "x", "get": "/", "steps": [{"get": "/"}]}]}, "requests[0].get: get belongs to one request: with steps, write it in one of them"),
    ({"requests": [{"name": "x", "steps": [{"wait": "1s"}]}]}, "requests[0].steps: no step sends anything (add a step such as {get: /})"),
    ({"requests": [{"name": "x", "steps": [{"get": "/", "weight": 1}]}]}, f"requests[0].steps[0].weight: unknown key 'weight' ({KEYS})"),
    ({"requests": [{"name": "x", "steps": ["/"]}]}, "requests[0].steps[0]: expected a step such as {get: /products} or {wait: 1s}, got '/'"),
    ({"requests": [{"name": "x", "steps": [{"wait": "2s..1s"}, {"get": "/"}]}]}, "requests[0].steps[0].wait: expected a duration such as 5s or a range such as 3s..7s, the shorter one first, got '2s..1s'"),
    ({"think": 3}, "think: expected a duration such as 5s or a range such as 3s..7s, got 3"),
    ({"think": "1s", "pace": "2s"}, "pace: a user thinks, or keeps a pace: write one of think and pace"),
    ({"requests": [{"get": "/", "expect": {"status": 99}}]}, "requests[0].expect.status: expected a status such as 200, 2xx or [200, 404], got 99"),
    ({"requests": [{"get": "/", "expect": {"stats": 1}}]}, "requests[0].expect.stats: unknown key 'stats'; did you mean status? (known here: status, body, json, header, under)"),
    ({"requests": [{"get": "/", "expect": {"json": {"a[": 1}}}]}, "requests[0].expect.json.a[: is no JMESPath: Incomplete expression (https://jmespath.org: such as items[0].price; a key with - in it in double quotes)"),
    ({"requests": [{"get": "/", "extract": {"a": "token"}}]}, "requests[0].extract.a: expected a mapping with one of the keys json, header, regex, cookie, got 'token'"),
    ({"requests": [{"get": "/", "extract": {"a b": {"json": "x"}}}]}, "requests[0].extract.a b: expected a name of letters, digits, - and _ (the first a letter or _), got 'a b'"),
    ({"requests": [{"get": "/", "extract": {"a": {"regex": "("}}}]}, "requests[0].extract.a.regex: is no regular expression: missing ), unterminated subpattern at position 0"),
    ({"requests": [{"get": "/", "extract": {"a": {"regex": "(a)(b)"}}}]}, "requests[0].extract.a.regex: expected at most one group (...), got 2 ((?:...) groups without taking)"),
    ({"requests": [{"get": "/", "extract": {"a": {"json": ""}}}]}, "requests[0].extract.a.json: expected a text, got ''"),
    ({"requests": [{"get": "/", "extract": {"seq": {"json": "x"}}}]}, "requests[0].extract.seq: seq is a built-in value already (give it another name)"),
    ({"requests": [{"get": "/", "headers": {"A B": "x"}}]}, "requests[0].headers.A B: expected the name of a header, got 'A B'"),
    ({"headers": {"Host": "x"}}, "headers.Host: Host is set by the client"),
    ({"headers": {"X": "a\nb"}}, "headers.X: a header's value stands on one line, in latin-1"),
    ({"data": {"user": {"file": "u.csv", "order": "random", "at_end": "stop"}}}, "data.user.at_end: rows drawn at random have no end (leave it out, or write order: sequential)"),
    ({"data": {"user": {"fil": "u.csv"}}}, "data.user.fil: unknown key 'fil'; did you mean file? (known here: file, order, per, at_end)"),
    ({"login": [{"post": "/", "json": "{{token}}"}], "requests": REQUESTS}, "login[0].json: unknown value {{token}} (known here: seq, uuid, user_number)"),
]  # fmt: skip


@pytest.mark.parametrize(("keys", "message"), BAD, ids=[f"{number} {message[:40]}" for number, (_, message) in enumerate(BAD)])
def test_what_makes_no_sense_is_refused_in_its_place(keys: dict[str, Any], message: str) -> None:
    """What was expected, what stands there, and what to do."""
    assert message.lstrip(": ") in [said.lstrip(": ") for said in refused(**keys)]


def test_a_wrong_key_of_the_section_hides_no_mistake_inside() -> None:
    """Every mistake at once: the misspelt key, and the misspelt method beneath another."""
    said = refused(timeut="5s", requests=[{"gte": "/"}])
    assert [message.partition(":")[0] for message in said] == ["timeut", "requests[0].gte"]


def test_a_value_is_known_only_after_it_is_extracted() -> None:
    """Later in the same steps, or in another request, it is not; the message says where it is."""
    ask = {"get": "/{{price}}"}
    give = {"get": "/", "name": "give", "extract": {"price": {"header": "X"}}}
    late = {"name": "late", "steps": [ask, give]}
    other = {"name": "other", "steps": [give]}
    assert refused(requests=[late]) == [
        "requests[0].steps[0].get: {{price}} is not known here: it is extracted only later, in traffic.requests[0].steps[1]"
    ]
    assert refused(requests=[{**ask, "name": "x"}, other]) == [
        "requests[0].get: {{price}} is not known here: it is extracted only in traffic.requests[1].steps[0], and each request stands for itself"
    ]
    read(requests=[{"name": "right", "steps": [give, ask]}])


def test_the_headers_of_all_requests_may_use_what_the_login_extracts() -> None:
    """A bearer token is what they are for."""
    login = [{"post": "/login", "extract": {"token": {"json": "token"}}}]
    read(login=login, headers={"Authorization": "Bearer {{token}}"})
    assert refused(headers={"Authorization": "Bearer {{token}}"}) == [
        "headers.Authorization: unknown value {{token}} (known here: seq, uuid, user_number)"
    ]


def test_a_login_cannot_use_what_is_drawn_for_each_iteration() -> None:
    """It is done once."""
    data = {"user": {"file": "u.csv", "per": "iteration"}}
    assert refused(data=data, login=[{"post": "/{{user.name}}"}]) == [
        "login[0].post: a row of user is drawn for each iteration, and the login is done once (per: user)"
    ]


def test_waiting_is_of_the_closed_model() -> None:
    """With a rate nobody waits."""
    stages = [{"name": "s", "rate": "5/s", "hold": "30s"}]
    rest: dict[str, Any] = {"stages": stages, "faults": [], "budget": [], "questions": ["budget"]}
    for key in ("think", "pace"):
        assert wrong(**rest, traffic=traffic(**{key: "1s"})) == [
            f"traffic.{key}: with a rate each arrival is one iteration: nobody waits for {key} (leave it out, or write users instead of a rate)"
        ]
    built(**rest, traffic=traffic())


def test_a_limit_of_a_request_that_nobody_sends_is_refused() -> None:
    """Declared requests are known by name: a limit on a misspelt one could never be decided."""
    rest: dict[str, Any] = {"faults": [], "questions": ["budget"], "traffic": traffic(login=LOGIN, data=DATA)}
    (message,) = wrong(**rest, budget=['p95 of "POST logn" < 1s'])
    assert message.startswith("budget[0]: no request is called 'POST logn'; did you mean POST /login?")
    built(**rest, budget=['p95 of "POST /login" < 1s'])


def section(**keys: Any) -> str:
    """The document of the tests with declared traffic."""
    return replaced("traffic: {scenario: scenarios/checkout.py, target: front}", f"traffic: {json.dumps(traffic(**keys))}")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with data in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "users.csv").write_text("name,id\nann,1\nbob,2\n")
    (tmp_path / "body.bin").write_bytes(b"x")
    return tmp_path


def test_data_files_are_read_and_counted(folder: Path) -> None:
    """The columns are known, so that one that is not there is refused; bodies only have to be there."""
    upload = {"put": "/f", "body_file": "body.bin"}
    (folder / "x.yaml").write_text(section(data=DATA, login=LOGIN, requests=[BUY, upload]))
    experiment = load(Path("x.yaml"))
    assert experiment.base_dir == str(folder)
    declared = experiment.traffic.declared
    assert declared is not None
    assert (declared.data[0].columns, declared.data[0].rows) == (("name", "id"), 2)
    assert declared.files() == ("users.csv", "body.bin")


FILES = [
    ({"data": {"user": {"file": "nope.csv"}}}, "x.yaml:11 traffic.data.user.file: there is no file 'nope.csv' in the current folder or beside the experiment"),
    ({"requests": [{"put": "/", "body_file": "no"}]}, "x.yaml:11 traffic.requests[0].body_file: there is no file 'no' in the current folder or beside the experiment"),
    ({"data": DATA, "requests": [{"get": "/{{user.nam}}"}]}, "x.yaml:11 traffic.requests[0].get: the data user has no column 'nam'; did you mean name? (there are: name, id)"),
    ({"data": {"user": {"file": "ragged.csv"}}}, "ragged.csv:3: 1 value, and the header names 2 (put a value that holds a comma in quotes)"),
    ({"data": {"user": {"file": "empty.csv"}}}, "empty.csv: has no rows (a header and at least one row below it)"),
    ({"data": {"user": {"file": "bad.jsonl"}}}, "bad.jsonl:2: is no JSON: Expecting property name enclosed in double quotes"),
    ({"data": {"user": {"file": "users.csv", "at_end": "stop"}}, "processes": 3}, "x.yaml:11 traffic.data.user: users.csv has 2 rows for 3 processes, and each needs rows of its own (more rows, fewer processes, or at_end: again)"),
    ({"data": {"user": {"file": "users.csv", "at_end": "stop"}}}, "x.yaml:11 traffic.data.user: users.csv has 2 rows, one for each user, and level-500 wants 500 users (more rows, fewer users, or at_end: again)"),
]  # fmt: skip


@pytest.mark.parametrize(("keys", "message"), FILES, ids=[message[:40] for _, message in FILES])
def test_files_are_refused_where_they_are_wrong(folder: Path, keys: dict[str, Any], message: str) -> None:
    """In the experiment when they are not there, in the file and by its line when they are damaged."""
    (folder / "ragged.csv").write_text("a,b\n1,2\n3\n")
    (folder / "empty.csv").write_text("a,b\n")
    (folder / "bad.jsonl").write_text('{"a": 1}\n{\n')
    assert problems(folder, section(**keys)) == [message]


def test_only_files_that_it_names_as_such_are_its_files() -> None:
    """A body with keys of these names is a body."""
    body = {"file": "a", "body_file": "b", "data": {"x": {"file": "c"}}}
    found = files_of(traffic(data=DATA, login=[{"put": "/", "body_file": "d"}], requests=[{"post": "/", "json": body}, BUY]))
    assert found == {("traffic", "data", "user", "file"): "users.csv", ("traffic", "login", 0, "body_file"): "d"}


def test_an_old_run_is_read_again_with_its_secrets_masked(folder: Path) -> None:
    """Tokens, patterns and headers that were masked in the record still make an experiment."""
    steps = [{"get": "/", "extract": {"token": {"regex": 'token="([a-z]+)"'}, "key": {"json": "api_key"}}}, {"get": "/?token={{token}}"}]
    (folder / "x.yaml").write_text(section(headers={"Authorization": "Bearer s3cret"}, requests=[{"name": "x", "steps": steps}]))
    experiment = load(Path("x.yaml"))
    assert "s3cret" not in json.dumps(experiment.document)
    again = from_document(experiment.document, base_dir=experiment.base_dir)
    assert again.traffic.declared is not None
    assert whole()["name"] == again.name


def test_source_addresses_are_addresses_of_this_machine() -> None:
    """Each once, in their order; what is no address, or stands for all, is refused; so are they beside workers."""
    assert read(source_addresses=["10.0.0.2", "10.0.0.1", "10.0.0.2"]).source_addresses == ("10.0.0.2", "10.0.0.1")
    assert read().source_addresses == ()
    expected = "expected an IP address of this machine such as 10.0.0.5, got"
    for odd in ("localhost", "0.0.0.0", 7, "10.0.0.0/24"):
        assert any(expected in said for said in refused(source_addresses=[odd]))
    (said,) = refused(source_addresses=["10.0.0.2"], workers={"expect": 2})
    assert "all load comes from the workers that join" in said
