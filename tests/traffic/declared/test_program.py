"""Declared steps as bytes, and in which turn they come."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.declared import Activity, DataSource, DeclaredTraffic, Extraction, Send
from harness.traffic.declared.feeds import Feed, RanOutError
from harness.traffic.declared.program import Order, compiled, picks_of
from harness.traffic.declared.visitor import Supply, Visitor


def order(common: tuple[tuple[str, str], ...] = (), **send: Any) -> Order:
    """One step, compiled."""
    terms = {"method": "POST", "url": "/cart/{{id}}", "name": "cart", **send}
    return Order(Send(**terms), common, "buy", lambda file: f"<{file}>".encode())


def traffic(weights: tuple[int, ...], **more: Any) -> DeclaredTraffic:
    """One request for each weight."""
    steps = [(Send(method="GET", url=f"/{number}/{{{{seq}}}}", name=str(number)),) for number in range(len(weights))]
    named = zip(weights, steps, strict=True)
    return DeclaredTraffic(activities=tuple(Activity(name=s[0].name, weight=w, steps=s) for w, s in named), **more)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=6).filter(any))
def test_weights_hold_at_every_prefix(weights: list[int]) -> None:
    """After any number of picks nobody is a whole one away from its share, and a round is exact."""
    picks = picks_of(weights)
    total = sum(weights)
    for length in range(1, len(picks) + 1):
        for number, weight in enumerate(weights):
            assert abs(picks[:length].count(number) - length * weight / total) < 1
    for number, weight in enumerate(weights):
        assert picks.count(number) * total == weight * len(picks)


def test_a_request_is_filled_as_it_goes_over_the_wire() -> None:
    """Fixed headers are a block made elsewhere; those with values and the length come after it."""
    made = order((("Authorization", "Bearer {{t}}"),), body_kind="json", content={"n": "{{n}}"})
    assert made.headers == {"Content-Type": "application/json"}
    path, head, body = made.fill("/base", b"Host: x\r\n", {"id": "a/b", "t": "s3", "n": 5})
    assert path == "/cart/a%2Fb"
    assert head == b"POST /base/cart/a%2Fb HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer s3\r\nContent-Length: 8\r\n"
    assert body == b'{"n": 5}'
    assert made.names == {"id", "t", "n"}


def test_a_request_s_own_headers_win() -> None:
    """Over those of all requests and over the type of its body, in any case."""
    made = order(
        (("X-A", "1"), ("X-B", "2")),
        url="/",
        headers=(("x-a", "3"), ("content-type", "a/b")),
        body_kind="form",
        content={"a": "1"},
    )
    assert made.headers == {"x-a": "3", "X-B": "2", "content-type": "a/b"}
    assert made.fixed


@pytest.mark.parametrize(
    ("kind", "content", "body"),
    [
        ("", None, b""),
        ("body", "{{id}}ä", "7ä".encode()),
        ("body_file", "b.bin", b"<b.bin>"),
        ("form", {"a b": "{{id}}&"}, b"a+b=7%26"),
        ("json", None, b"null"),
        ("json", [{"a": "{{id}}"}], b'[{"a": 7}]'),
    ],
)
def test_each_kind_of_body(kind: str, content: object, body: bytes) -> None:
    """Its length is that of its bytes; an empty POST says so too."""
    _, head, sent = order(body_kind=kind, content=content).fill("", b"", {"id": 7})
    assert sent == body
    assert head.endswith(b"Content-Length: %d\r\n" % len(body))
    assert b"Content-Length" not in order(method="GET").fill("", b"", {"id": 7})[1]


def test_the_login_does_without_headers_that_it_is_to_get_a_value_for() -> None:
    """A bearer token goes with the requests; data and built-in values are there from the start."""
    login = (
        Send(method="POST", url="/login", name="/login", extract=(Extraction(name="t", source="json", what="t"),)),
    )
    headers = (("Authorization", "Bearer {{t}}"), ("X-User", "{{user.id}}"), ("X-Seq", "{{seq}}"))
    program = compiled(
        traffic((1,), login=login, headers=headers, data=(DataSource(name="user", file="u.csv"),)), lambda _: b""
    )
    (first,) = program.login
    assert isinstance(first, Order)
    assert [name for name, _ in first.varying] == ["X-User", "X-Seq"]
    assert program.kept == ("t",)


def supply(worker: int = 0, workers: int = 1, rows: int = 3, seed: int = 5, **more: Any) -> Supply:
    """What the users of a worker draw from."""
    sources = (
        DataSource(name="user", file="u.csv", at_end="stop"),
        DataSource(name="item", file="i.csv", per="iteration"),
    )
    deal = {"worker": worker, "workers": workers, "seed": seed}
    feeds = tuple(Feed(source, ({"id": f"{source.name}{row}"} for row in range(rows)), **deal) for source in sources)
    return Supply(compiled(traffic((2, 1), **more), lambda _: b""), feeds, **deal)


def test_a_user_keeps_its_row_and_each_iteration_draws_its_own() -> None:
    """And `seq` and the number of the user are nobody else's, over all workers."""
    users = [Visitor(supply(worker, 2, rows=4)) for worker in (0, 1)]
    seen = []
    for _ in range(2):
        for user in users:
            user.begin()
            seen.append(
                (user.values["user.id"], user.values["item.id"], user.values["seq"], user.values["user_number"])
            )
    assert seen == [
        ("user0", "item0", 0, 0),
        ("user1", "item1", 1, 1),
        ("user0", "item2", 2, 0),
        ("user1", "item3", 3, 1),
    ]


def test_what_an_iteration_extracts_is_forgotten_and_what_the_login_extracts_stays() -> None:
    """So that a value of one purchase cannot slip into the next."""
    login = (
        Send(method="POST", url="/login", name="/login", extract=(Extraction(name="t", source="json", what="t"),)),
    )
    user = Visitor(supply(login=login))
    user.begin()
    assert not user.logged_in
    user.values["t"] = "s3"
    user.log_in()
    user.values["price"] = 5
    user.begin()
    assert user.logged_in
    assert user.values["t"] == "s3"
    assert "price" not in user.values


def test_users_begin_at_places_of_their_own() -> None:
    """The first pick of many users is already the mix; each user's own picks keep it too."""
    shared = supply(rows=300)
    firsts = [Visitor(shared).pick()[0] for _ in range(300)]
    names = [step.name for step in firsts if isinstance(step, Order)]
    assert abs(names.count("0") - 200) <= 3
    user = Visitor(shared)
    assert sum(step.name == "0" for _ in range(30) for step in user.pick() if isinstance(step, Order)) == 20


def test_a_user_for_whom_no_row_is_left_is_told() -> None:
    """Before it sends anything."""
    shared = supply(rows=1)
    Visitor(shared).begin()
    with pytest.raises(RanOutError, match="ran out"):
        Visitor(shared).begin()
