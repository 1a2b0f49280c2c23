"""Which containers a fault is for: selectors, modes, and whether two faults may meet on one container."""

# ruff: noqa: E501 - a message stands on one line, as users see it

from __future__ import annotations

from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from harness.experiment import Fault, Selector
from harness.loader import load, schema
from tests.documents import built, problems, replaced, whole, write, wrong

COMPOSE: dict[str, object] = {"stack": {"compose": {"file": "compose.yaml"}}, "probes": [], "budget": []}
VALID = Draft202012Validator(schema())


def pause(on: object, **keys: object) -> dict[str, object]:
    """A pause of containers."""
    return {"container": "pause", "on": on, "during": "level-500", **keys}


def fault(on: object, **keys: object) -> Fault:
    """The one fault with that `on`, which the schema accepts too."""
    written = pause(on, **keys)
    assert VALID.is_valid({**whole(), "faults": [written]})
    return built(faults=[written], **COMPOSE).faults[0]


@pytest.mark.parametrize(
    ("on", "keys", "select", "words"),
    [
        ({"service": "api"}, {}, Selector(by="service", pattern="api", mode="one"), "service api (one)"),
        ({"service": "api"}, {"mode": "one"}, Selector(by="service", pattern="api", mode="one"), "service api (one)"),
        ("api", {"mode": 2}, Selector(by="service", pattern="api", mode="count", amount=2.0), "service api (2)"),
        (
            {"label": "tier=db"},
            {"mode": "all"},
            Selector(by="label", pattern="tier=db", mode="all"),
            "label tier=db (all)",
        ),
        ({"label": "canary"}, {}, Selector(by="label", pattern="canary", mode="one"), "label canary (one)"),
        (
            {"name": "shop-*"},
            {"mode": "30%"},
            Selector(by="name", pattern="shop-*", mode="share", amount=0.3),
            "name shop-* (30%)",
        ),
    ],
)
def test_a_selector_and_a_mode_say_which_and_how_many(
    on: object, keys: dict[str, object], select: Selector, words: str
) -> None:
    """The words are what the plan and the report tell."""
    found = fault(on, **keys)
    assert (found.select, found.on) == (select, words)


def test_a_plain_name_is_that_container() -> None:
    """Nothing is drawn."""
    assert (fault("shop-api-1").select, fault("shop-api-1").on) == (None, "shop-api-1")


@pytest.mark.parametrize(
    ("on", "name"),
    [({"service": "api"}, "pause-api"), ({"name": "shop-*"}, "pause-shop"), ({"label": "a=b"}, "pause-a-b")],
)
def test_a_fault_without_a_name_is_called_by_what_it_is_done_to(on: object, name: str) -> None:
    """In letters that a name may have."""
    assert fault(on).name == name


@pytest.mark.parametrize(
    ("on", "keys", "message"),
    [
        (
            {"servce": "api"},
            {},
            "on: expected a name, or one of service, label, name, got servce; did you mean service?",
        ),
        ({}, {}, "on: expected a name, or one of service, label, name, got no keys"),
        (
            {"service": "api", "label": "x"},
            {},
            "on: expected a name, or one of service, label, name, got service, label",
        ),
        (
            {"service": "api", "mode": "all"},
            {},
            "on: expected a name, or one of service, label, name, got service, mode; mode stands beside on",
        ),
        ({"label": "tier=d b"}, {}, "on: expected a label such as tier=db, got 'tier=d b'"),
        ({"name": "shop/*"}, {}, "on: expected a shell pattern such as shop-*, got 'shop/*'"),
        ({"service": 5}, {}, "on: expected a text, got 5; put it in quotes"),
        (
            ["api"],
            {},
            "on: expected a text, got a list",
        ),
        ("api", {"mode": "some"}, "mode: expected one, all, a number such as 2, or a share such as 30%, got 'some'"),
        ("api", {"mode": 0}, "mode: expected one, all, a number such as 2, or a share such as 30%, got 0"),
        ("api", {"mode": True}, "mode: expected one, all, a number such as 2, or a share such as 30%, got true"),
        ("api", {"mode": "0%"}, "mode: expected one, all, a number such as 2, or a share such as 30%, got '0%'"),
        ("api", {"mode": "101%"}, "mode: expected one, all, a number such as 2, or a share such as 30%, got '101%'"),
        ("api", {"mode": 0.3}, "mode: expected one, all, a number such as 2, or a share such as 30%, got 0.3"),
    ],
)
def test_a_selector_that_makes_no_sense_is_refused(on: object, keys: dict[str, object], message: str) -> None:
    """With what could be meant."""
    assert wrong(faults=[pause(on, **keys)], **COMPOSE) == [f"faults[0].{message}"]


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"toxic": "down", "on": {"service": "db"}}, "on: only container faults draw what they hit, not toxic (on: NAME)"),
        ({"process": "pause", "on": "api", "mode": 2}, "mode: only container faults draw what they hit, not process (on: NAME)"),
    ],
)  # fmt: skip
def test_only_container_faults_draw_what_they_hit(written: dict[str, object], message: str) -> None:
    """A link or a process is one thing; the schema says so too."""
    entry = {**written, "during": "level-500"}
    assert wrong(faults=[entry]) == [f"faults[0].{message}"]
    assert not VALID.is_valid({**whole(), "faults": [entry]})


def test_a_service_that_is_a_process_is_no_container() -> None:
    """Also when it is selected."""
    message = "faults[0].on: api is a process, not a container (process: pause)"
    assert wrong(faults=[pause({"service": "api"})]) == [message]


def test_a_service_must_be_in_the_compose_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where its services are known, with a selector or plain; so must the other end of a partition."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "checkout.py").write_text("")
    (tmp_path / "compose.yaml").write_text("services: {api: {}, db: {}, payment: {}}")
    text = replaced("  process:\n", "  compose: {file: compose.yaml}\n")
    lines = [line for line in text.splitlines() if not line.startswith("    ") and "process: api" not in line]
    text = "\n".join(line for line in lines if "cpu of" not in line)
    bad = text.replace("process: pause, on: payment", "container: pause, on: {service: paymnt}")
    known = "(there are: api, db, payment)"
    assert problems(tmp_path, bad) == [
        f"x.yaml:15 faults[1].on: no service is called paymnt; did you mean payment? {known}"
    ]
    plain = text.replace("process: pause, on: payment", "container: pause, on: paymnt")
    other = "a container outside of the stack: on: {name: paymnt}"
    assert problems(tmp_path, plain) == [
        f"x.yaml:15 faults[1].on: no service is called paymnt; did you mean payment? {known} ({other})"
    ]
    load(write(tmp_path, plain.replace("on: paymnt", "on: {name: paymnt}")))
    cut = text.replace("process: pause, on: payment", "container: partition, on: payment, from: dbs")
    assert problems(tmp_path, cut) == [f"x.yaml:15 faults[1].from: no service is called dbs; did you mean db? {known}"]
    assert load(write(tmp_path, cut.replace("from: dbs", "from: db"))).faults[1].params["from"] == "db"


MAY_MEET = [
    ("api", "api", True),
    ("api", "db", False),
    ("api", {"service": "api"}, True),
    ("shop-api-1", {"service": "api"}, True),
    ("shop-db-1", {"service": "api"}, False),
    ({"service": "api"}, {"service": "api"}, True),
    ({"service": "api"}, {"service": "apis"}, False),
    ("shop-db-1", {"name": "shop-*"}, True),
    ("db", {"name": "shop-db-*"}, True),
    ("cart-db-1", {"name": "shop-*"}, False),
    ({"name": "shop-*"}, {"name": "shop-db-?"}, True),
    ({"name": "shop-*"}, {"name": "cart-*"}, False),
    ({"name": "*-db"}, {"name": "cart-*"}, True),
    ({"label": "tier=db"}, {"label": "tier=db"}, True),
    ({"label": "tier=db"}, {"label": "tier=web"}, False),
    ({"label": "tier"}, {"label": "tier=web"}, True),
    ({"label": "tier=db"}, {"label": "canary"}, True),
    ({"label": "tier=db"}, {"service": "api"}, True),
    ({"label": "tier=db"}, "api", True),
    ({"name": "cart-*"}, {"service": "api"}, True),
]


@pytest.mark.parametrize(("one", "two", "meet"), MAY_MEET)
def test_faults_that_may_meet_on_a_container_are_refused(one: object, two: object, meet: bool) -> None:
    """Before anybody has drawn, so in doubt they meet; in whichever order they are written."""
    for first, second in ((one, two), (two, one)):
        entries = [{**pause(first), "name": "a"}, {**pause(second, after="5s"), "name": "b"}]
        if meet:
            said = wrong(faults=entries, **COMPOSE)
            assert len(said) == 1
            assert "the faults a (pause) and b (pause) fight over" in said[0]
        else:
            assert len(built(faults=entries, **COMPOSE).faults) == 2
        apart = [{**entries[0], "for": "5s"}, entries[1]]
        assert len(built(faults=apart, **COMPOSE).faults) == 2, "one after the other is fine"


def test_victims_that_may_be_the_same_are_both_named() -> None:
    """The message says who and who."""
    said = wrong(faults=[pause({"service": "api"}), pause({"label": "tier=web"})], **COMPOSE)
    assert "fight over what both may hit, service api (one) and label tier=web (one), at the same time" in said[0]


def test_different_knobs_of_one_selector_do_not_fight() -> None:
    """A quota and a memory limit may be in force together."""
    common = {"on": {"service": "api"}, "during": "level-500"}
    quota = {"container": "cpu", "cpus": 0.5, **common}
    memory = {"container": "memory", "limit": "64MB", **common}
    assert len(built(faults=[quota, memory], **COMPOSE).faults) == 2


def test_a_schedule_draws_from_selectors_too() -> None:
    """Each drawn fault has the selector; its victims are drawn when it is known who runs."""
    pool = [{"container": "pause", "on": {"service": "api"}, "mode": "50%", "for": "1s"}]
    entry = {"random": {"from": pool, "rate": "1/2s", "during": "level-500"}}
    assert VALID.is_valid({**whole(), "faults": [entry]})
    found = built(faults=[entry], **COMPOSE).faults
    assert {f.on for f in found} == {"service api (50%)"}
    assert {f.select for f in found} == {Selector(by="service", pattern="api", mode="share", amount=0.5)}
