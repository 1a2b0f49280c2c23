"""Which containers a fault is done to, and that each of them is healed, on an Engine in memory."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import pytest

from harness.clients.docker import Docker
from harness.errors import BadInput, EnvironmentBroke
from harness.experiment import Fault, Scalar, Selector
from harness.faults.container import ContainerFaults
from harness.faults.container.victims import SERVICE_LABEL, draw
from tests.clients.clock import JumpClock
from tests.faults.engine import FakeDocker, document

NAMES = tuple(f"shop-api-{number}" for number in range(1, 11))


def selector(mode: Any = "one", amount: float = 1.0, *, by: Any = "service", pattern: str = "api") -> Selector:
    """Of the service api."""
    return Selector(by=by, pattern=pattern, mode=mode, amount=amount)


def fault(select: Selector | None, kind: str = "pause", params: Mapping[str, Scalar] | None = None) -> Fault:
    """A fault `f` on what a selector draws."""
    return Fault(
        name="f",
        driver="container",
        kind=kind,
        on="api",
        params=params or {},
        stage="s",
        after_ns=0,
        hold_ns=1,
        select=select,
    )


def replica(name: str, service: str = "api", project: str = "shop", **labels: str) -> dict[str, Any]:
    """A container of a compose service."""
    one = document(name)
    one["Config"]["Labels"].update(
        {"com.docker.compose.project": project, "com.docker.compose.service": service, **labels}
    )
    return one


def shop(size: int = 3) -> FakeDocker:
    """A service of so many replicas and a database, of one project."""
    return FakeDocker(*(replica(name) for name in NAMES[:size]), replica("shop-db-1", "db"))


def driver(engine: FakeDocker, **options: Any) -> ContainerFaults:
    """The driver on that Engine, without any waiting."""
    return ContainerFaults(lambda name: name, docker=cast(Docker, engine), clock=JumpClock(), **options)


def paused(engine: FakeDocker) -> set[str]:
    """Names of what is paused."""
    return {one["Name"].lstrip("/") for one in engine.documents.values() if one["State"]["Paused"]}


@pytest.mark.parametrize(
    ("mode", "amount", "count"),
    [("one", 1, 1), ("all", 1, 10), ("count", 3, 3), ("share", 0.3, 3), ("share", 0.39, 3), ("share", 0.01, 1)],
)
def test_a_draw_is_of_the_size_asked_for_and_never_more(mode: str, amount: float, count: int) -> None:
    """A share is rounded down, but is one at least."""
    drawn = draw(NAMES, selector(mode, amount), 7, "f")
    assert len(set(drawn)) == len(drawn) == count
    assert set(drawn) <= set(NAMES)


def test_a_share_is_not_rounded_down_by_how_floats_are_written() -> None:
    """0.29 times 100 is 28.999999999999996."""
    assert len(draw([f"n{number:03}" for number in range(100)], selector("share", 0.29), 7, "f")) == 29


def test_a_draw_depends_on_seed_and_fault_and_not_on_the_order_of_names() -> None:
    """The same experiment hits the same replicas; another seed or fault may hit others."""
    three = selector("count", 3)
    drawn = draw(NAMES, three, 7, "f")
    assert draw(tuple(reversed(NAMES)), three, 7, "f") == drawn
    assert len({draw(NAMES, three, seed, "f") for seed in range(20)}) > 5
    assert len({draw(NAMES, three, 7, f"f{number}") for number in range(20)}) > 5


def test_a_draw_does_not_change_from_release_to_release() -> None:
    """A seed in somebody's experiment is a promise."""
    assert draw(NAMES, selector("count", 3), 7, "f") == ("shop-api-4", "shop-api-6", "shop-api-8")


def test_more_than_there_are_is_refused() -> None:
    """Breaking fewer than asked for would be another experiment."""
    with pytest.raises(BadInput, match="wants 11 of the containers of service api; there are 10"):
        draw(NAMES, selector("count", 11), 7, "f")


@pytest.mark.parametrize(
    ("select", "hit"),
    [
        (selector("all"), {"shop-api-1", "shop-api-2", "shop-api-3"}),
        (selector("all", by="label", pattern="tier=web"), {"other-web"}),
        (selector("all", by="label", pattern="tier"), {"other-web", "shop-db-1"}),
        (selector("all", by="name", pattern="shop-?b-*"), {"shop-db-1"}),
    ],
)
def test_selectors_find_by_service_label_and_name(select: Selector, hit: set[str]) -> None:
    """Services are those of the run's own project; one-off commands of compose are none."""
    engine = shop()
    for one in (
        replica("theirs-api-1", project="theirs"),
        replica("shop-api-run-1", **{"com.docker.compose.oneoff": "True"}),
        replica("other-web", "web", "other", tier="web"),
    ):
        engine.documents[one["Id"]] = one
    engine.of("shop-db-1")["Config"]["Labels"]["tier"] = "data"
    assert set(driver(engine, project="shop").victims(fault(select))) == hit


def test_a_selector_that_matches_nothing_says_what_there_is() -> None:
    """A misspelt service must not be an experiment in which nothing happened."""
    with pytest.raises(BadInput, match="nothing to draw from service apo: there is no such container") as caught:
        driver(shop()).check(fault(selector(pattern="apo")))
    assert caught.value.hint == "there are: api, db"


def test_protected_containers_are_never_drawn() -> None:
    """Of three replicas two are protected: all is the third."""
    engine = shop()
    for name in NAMES[:2]:
        engine.of(name)["Config"]["Labels"]["harness.protect"] = "true"
    assert driver(engine).victims(fault(selector("all"))) == (NAMES[2],)
    engine.of(NAMES[2])["Config"]["Labels"]["harness.protect"] = "TRUE"
    with pytest.raises(BadInput, match="all that match are protected"):
        driver(engine).check(fault(selector("all")))


def test_what_check_showed_is_what_is_hit_when_the_world_has_changed_since() -> None:
    """A replica that came later, or that another fault has down meanwhile, does not shift the draw."""
    engine = shop()
    one = driver(engine, seed=3)
    shown = one.victims(fault(selector()))
    for number in (4, 5, 6):
        late = replica(f"shop-api-{number}")
        engine.documents[late["Id"]] = late
    before = cast(Any, one.before(fault(selector())))
    assert tuple(victim["name"] for victim in before["victims"]) == shown


def test_a_victim_that_somebody_paused_after_check_is_refused() -> None:
    """Else healing would take their pause away."""
    engine = shop()
    one, wanted = driver(engine), fault(selector("all"))
    one.check(wanted)
    engine.pause("shop-api-2")
    with pytest.raises(BadInput, match="shop-api-2 is paused already"):
        one.before(wanted)


def test_what_a_kind_refuses_of_one_victim_is_refused() -> None:
    """The last of three was started with --rm."""
    engine = shop()
    driver(engine).check(fault(selector("all"), "kill"))
    engine.of(NAMES[2])["HostConfig"]["AutoRemove"] = True
    with pytest.raises(BadInput, match="shop-api-3, which kill may end, was started with --rm"):
        driver(engine).check(fault(selector("all"), "kill"))


@pytest.mark.parametrize(
    ("most", "select", "words"),
    [
        (0.5, selector("count", 2), "hits 2 of 3 containers of service api; `share_of_service` allows 50%"),
        (0.3, selector("one"), "hits 1 of 3 containers of service api"),
        (0.9, None, "hits 1 of 1 containers of service db"),
        (0.5, selector("count", 2, by="name", pattern="lone-*"), "hits 2 of 3 containers of name lone-"),
    ],
)
def test_a_share_of_a_service_is_never_exceeded(most: float, select: Selector | None, words: str) -> None:
    """Of its replicas in its project; what is of no service is measured against what the selector matches."""
    engine = shop()
    for name in ("lone-1", "lone-2", "lone-3"):
        engine.documents[document(name)["Id"]] = document(name)
    for one in (replica("theirs-api-1", project="theirs"),):
        engine.documents[one["Id"]] = one
    wanted = replace(fault(select), on="shop-db-1")
    with pytest.raises(BadInput) as caught:
        driver(engine, project="shop", share_of_service=most).check(wanted)
    assert words in str(caught.value)
    driver(engine, project="shop", share_of_service=1.0).check(wanted)


def test_what_is_outside_of_targets_is_never_a_victim() -> None:
    """By name and labels, when faults are checked, and again when one is about to begin."""
    engine = shop()
    one = driver(engine, allowed=lambda name, labels: name != NAMES[1] and labels[SERVICE_LABEL] == "api")
    one.check(replace(fault(None), on=NAMES[0]))
    for ask in (one.check, one.before):
        with pytest.raises(BadInput, match="container shop-db-1 is outside of targets"):
            ask(replace(fault(None), on="shop-db-1"))
    for ask in (one.check, one.before):
        with pytest.raises(BadInput, match=f"container {NAMES[1]} is outside of targets"):
            ask(fault(selector("all")))
    assert not paused(engine)


@pytest.mark.parametrize(
    ("labels", "allowed", "words"),
    [
        ({"harness.protect": "true"}, {"api", "db"}, "container db is protected"),
        ({}, {"api"}, "container db is outside of targets"),
    ],
)
def test_the_other_end_of_a_partition_is_as_free_to_be_hit(
    labels: dict[str, str], allowed: set[str], words: str
) -> None:
    """No rule is put there, but it feels the fault; looked at again just before."""
    engine = FakeDocker(document(), document("db"))
    engine.of("db")["Config"]["Labels"].update(labels)
    one = driver(engine, allowed=lambda name, _: name in allowed)
    for ask in (one.check, one.before):
        with pytest.raises(BadInput, match=words):
            ask(fault(None, "partition", {"from": "db"}))


def test_a_share_that_is_just_met_is_allowed() -> None:
    """Two of three are 67 %, which two thirds, written as 0.6667, allow; one of ten is 10 %."""
    driver(shop(), share_of_service=0.6667).check(fault(selector("count", 2)))
    driver(shop(10), share_of_service=0.1).check(fault(selector("one")))


def test_each_victim_is_hit_felt_and_healed() -> None:
    """And `before` has the identity of each, which is all that healing needs."""
    engine = shop()
    wanted = fault(selector("all"))
    before = driver(engine).before(wanted)
    driver(engine).inject(wanted, before)
    assert paused(engine) == set(NAMES[:3])
    assert driver(engine).felt(wanted, before).felt
    engine.unpause(NAMES[0])
    felt = driver(engine).felt(wanted, before)
    assert not felt.felt
    assert f"{NAMES[0]} is not paused" in felt.proof
    driver(engine).heal(replace(wanted, select=None), before)
    assert paused(engine) == set()


def test_healing_goes_on_past_a_failure_and_keeps_every_error() -> None:
    """Two of three cannot be healed: the third is, and both are named."""
    engine = shop()
    wanted = fault(selector("all"))
    before = driver(engine).before(wanted)
    driver(engine).inject(wanted, before)
    unpause = engine.unpause

    def stuck(container: str) -> None:
        if not container.startswith("shop-api-2"):
            raise EnvironmentBroke(f"500: {container[:10]} is stuck")
        unpause(container)

    engine.unpause = stuck  # type: ignore[method-assign]
    with pytest.raises(EnvironmentBroke, match=r"shop-api-1 is stuck.*shop-api-3 is stuck") as caught:
        driver(engine).heal(wanted, before)
    assert caught.value.hint == "docker unpause shop-api-1; docker unpause shop-api-3"
    assert paused(engine) == {"shop-api-1", "shop-api-3"}


def test_victims_are_hit_at_one_time() -> None:
    """A stop may take 10 s: one after the other would be another fault, and longer than an injection may take."""
    engine = shop()
    wanted = fault(selector("all"), "stop")
    before = driver(engine).before(wanted)
    all_there = threading.Barrier(3, timeout=10)
    stop = engine.stop

    def slow(container: str) -> None:
        all_there.wait()
        stop(container)

    engine.stop = slow  # type: ignore[method-assign]
    driver(engine).inject(wanted, before)
    assert driver(engine).felt(wanted, before).felt


def test_a_mistake_of_ours_in_a_thread_is_not_lost() -> None:
    """What is no HarnessError is a defect, and must surface as one."""
    engine = shop()
    wanted = fault(selector("all"))
    before = driver(engine).before(wanted)

    def wrong(container: str) -> None:
        raise TypeError("a defect")

    engine.pause = wrong  # type: ignore[method-assign]
    with pytest.raises(TypeError, match="a defect"):
        driver(engine).inject(wanted, before)
