"""What an answer must be like, and what is taken from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from harness.declared import Expectation, Extraction
from harness.traffic.declared.checks import Judge, NotAsExpectedError


class Fields(dict[str, list[str]]):
    """Header fields as a client gives them."""

    def get(self, name: str) -> str | None:  # type: ignore[override]
        """Joined, or None."""
        found = super().get(name.lower())
        return None if found is None else ", ".join(found)

    def all(self, name: str) -> list[str]:
        """Each."""
        return super().get(name.lower()) or []


@dataclass
class Page:
    """An answer that came."""

    status_code: int = 200
    content: bytes | None = b'{"items": [{"price": 5, "name": "pen"}], "token": "t-1", "none": null}'
    headers: Fields = field(
        default_factory=lambda: Fields(location=["/orders/7"], **{"set-cookie": ["a=1; Path=/", "sid=s 2; X"]})
    )
    service_us: int = 1000

    @property
    def text(self) -> str | None:
        """Its body."""
        return None if self.content is None else self.content.decode()


def look(
    page: Page, extract: tuple[Extraction, ...] = (), values: dict[str, Any] | None = None, **expect: Any
) -> dict[str, Any]:
    """The values after a look."""
    found = dict(values or {})
    Judge("product", Expectation(**expect), extract).look(page, found)
    return found


def taking(source: str, what: str) -> tuple[Extraction, ...]:
    """One extraction, called x."""
    return (Extraction(name="x", source=source, what=what),)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("page", "expect"),
    [
        (Page(), {}),
        (Page(status_code=302), {}),
        (Page(), {"statuses": ((200, 299),)}),
        (Page(status_code=404), {"statuses": ((200, 200), (404, 404))}),
        (Page(), {"body": "pen"}),
        (Page(), {"json": (("items[0].price", 5), ("none", None), ("items[0]", {"price": 5, "name": "pen"}))}),
        (Page(), {"headers": (("Location", "/orders/"),)}),
        (Page(service_us=2000), {"under_ns": 2_000_000}),
        (Page(), {"json": (("items[0].price", "{{want}}"), ("token", "t-{{n}}"))}),
    ],
)
def test_an_answer_as_expected_passes(page: Page, expect: dict[str, Any]) -> None:
    """Each kind of expectation, with values in it too."""
    look(page, values={"want": 5, "n": "1"}, **expect)


@pytest.mark.parametrize(
    ("page", "expect", "message"),
    [
        (Page(status_code=404), {}, "expected a status below 400, got 404"),
        (Page(status_code=503), {"statuses": ((200, 299),)}, "expected status 2xx, got 503"),
        (Page(), {"statuses": ((201, 201), (404, 404))}, "expected status 201 or 404, got 200"),
        (Page(content=b"nope"), {"body": "ok"}, "expected a body with 'ok', got 'nope'"),
        (Page(content=b""), {"body": "ok"}, "expected a body with 'ok', got nothing"),
        (Page(), {"json": (("items[0].price", 6),)}, "expected 6 at json items[0].price, got 5"),
        (Page(), {"json": (("items[0].price", "5"),)}, 'expected "5" at json items[0].price, got 5'),
        (Page(), {"json": (("nothing.here", True),)}, "expected true at json nothing.here, got null"),
        (Page(), {"json": (("abs(token)", 1),)}, "expected 1 at json abs(token), got null"),
        (Page(content=b"<html>"), {"json": (("a", 1),)}, "expected a body of JSON, got '<html>'"),
        (Page(), {"headers": (("location", "/carts"),)}, "expected header location with '/carts', got '/orders/7'"),
        (Page(), {"headers": (("X-No", "a"),)}, "expected header X-No with 'a', got nothing"),
        (Page(service_us=2001), {"under_ns": 2_000_000}, "expected an answer under 2ms, got one after 2ms"),
    ],
)
def test_an_answer_that_is_not_as_expected_says_what_was_and_what_came(
    page: Page, expect: dict[str, Any], message: str
) -> None:
    """In words that a person can act on."""
    with pytest.raises(NotAsExpectedError) as caught:
        look(page, **expect)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("source", "what", "value"),
    [
        ("json", "items[0].price", 5),
        ("json", "items[?name=='pen'].price | [0]", 5),
        ("header", "LOCATION", "/orders/7"),
        ("regex", r'"token": "([^"]+)"', "t-1"),
        ("regex", r"t-\d", "t-1"),
        ("cookie", "sid", "s 2"),
    ],
)
def test_values_are_taken_from_an_answer(source: str, what: str, value: object) -> None:
    """From each place where they can be."""
    assert look(Page(), taking(source, what)) == {"x": value}


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("json", "items[1].price"),
        ("json", "none"),
        ("header", "X-No"),
        ("regex", "t-9"),
        ("regex", "(q)?"),
        ("cookie", "s"),
    ],
)
def test_an_extraction_that_finds_nothing_names_step_value_and_place(source: str, what: str) -> None:
    """A later step without its value would be another request than was meant."""
    with pytest.raises(NotAsExpectedError) as caught:
        look(Page(), taking(source, what))
    assert str(caught.value) == f"step product: nothing found for x at {source} {what}"


def test_only_what_has_to_be_looked_at_is() -> None:
    """The status alone is left to the client; the values that expectations need are known."""
    assert not Judge("a", Expectation(), ()).looks
    assert Judge("a", Expectation(), taking("json", "a")).looks
    judge = Judge("a", Expectation(body="{{b}}", json=(("x", "{{j}}"),), headers=(("h", "{{h}}"),)), ())
    assert judge.names == {"b", "j", "h"}


@pytest.mark.parametrize("what", ["ceil(x)", "max_by(many, &x)", "sum(many)"])
def test_a_function_that_does_not_fit_what_came_finds_nothing(what: str) -> None:
    """Whatever the library raises then: a number without end, things that cannot be compared, not a number."""
    page = Page(content=b'{"x": 1e999, "many": [{"x": 1}, {"x": "a"}]}')
    with pytest.raises(NotAsExpectedError, match="nothing found for x"):
        look(page, taking("json", what))
