"""Healing of link faults: after a death at any call, on servers that hang, and of what is no longer ours."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Literal, cast

import pytest

from harness.clients.toxiproxy_model import Proxy, Toxic, ToxiproxyError
from harness.clients.toxiproxy_process import Serving
from harness.experiment import Fault, Scalar
from harness.faults import Before
from harness.faults.toxiproxy import ToxiproxyFaults, healer
from harness.faults.toxiproxy_healing import CALL_S, NOWHERE, PATIENCE_S, ToxiproxyHealer
from harness.ledger import Intended, Undo, decode, encode
from tests.faults.toxiproxy_server import Died, FakeServer

ATTRIBUTES: Mapping[str, Mapping[str, Scalar]] = {
    "latency": {"latency": 50, "jitter": 5},
    "bandwidth": {"rate": 10},
    "slow_close": {"delay": 100},
    "timeout": {"timeout": 0},
    "reset_peer": {"timeout": 0},
    "slicer": {"average_size": 64, "size_variation": 8, "delay": 10},
    "limit_data": {"bytes": 100},
}
STREAMS = ("downstream", "upstream", "both")
CASES: list[tuple[str, Mapping[str, Scalar]]] = [
    (kind, {**own, "stream": stream, "toxicity": 0.5}) for kind, own in ATTRIBUTES.items() for stream in STREAMS
]
CASES.append(("down", {}))
IDS = [f"{kind}-{params.get('stream', '')}" for kind, params in CASES]
OTHER = Toxic(name="harness-r1-other", kind="latency", stream="upstream", toxicity=1.0, attributes={"latency": 1})
EFFECT: tuple[Literal["before", "after"], ...] = ("before", "after")
BOTH: Mapping[str, Scalar] = {"latency": 50, "jitter": 0, "stream": "both", "toxicity": 1.0}
whole = pytest.mark.parametrize(("kind", "params"), CASES, ids=IDS)


def fault(kind: str = "latency", params: Mapping[str, Scalar] = BOTH, name: str = "lag") -> Fault:
    """A fault on the link `db`."""
    return Fault(name=name, driver="toxiproxy", kind=kind, on="db", params=params, stage="s", after_ns=3, hold_ns=1)


def a_server() -> FakeServer:
    """A server with the proxy `db`, which bears the toxic of another fault of the run, and a bystander."""
    db = Proxy(name="db", listen="127.0.0.1:1", upstream="127.0.0.1:2", enabled=True, toxics=(OTHER,))
    return FakeServer(db, replace(db, name="off", enabled=False, listen="127.0.0.1:3"))


def driver(server: FakeServer) -> ToxiproxyFaults:
    """The driver of run r1."""
    return ToxiproxyFaults(server, run="r1", proxy_of=lambda name: name, connect=lambda _: server)


def without_other(found: Mapping[str, Proxy]) -> dict[str, Proxy]:
    """Where a proxy that hung was replaced, toxics of the same run's other faults may be over with it."""
    return {**found, "db": replace(found["db"], toxics=())}


def healer_at(server: FakeServer) -> ToxiproxyHealer:
    """Another process, with nothing but the ledger."""
    return ToxiproxyHealer(lambda _: server)


def of_a_ledger(wanted: Fault, before: Before) -> tuple[Fault, Before]:
    """What another process knows: the undo record, written and read."""
    undo = Undo(
        name=wanted.name,
        driver=wanted.driver,
        kind=wanted.kind,
        on=wanted.on,
        params=cast("Mapping[str, str]", wanted.params),
        before=before,
    )
    record = decode(encode(Intended(undo=undo)))
    assert isinstance(record, Intended)
    return record.undo.fault, record.undo.before


def lives_until(server: FakeServer, wanted: Fault, kept: dict[str, Before]) -> None:
    """A whole life of a fault; what `before` gave is kept, as it is in the ledger."""
    one = driver(server)
    kept["before"] = one.before(wanted)
    one.inject(wanted, kept["before"])
    one.felt(wanted, kept["before"])
    one.heal(wanted, kept["before"])


def calls_of_a_life(wanted: Fault, *, hangs_under_load: bool = False) -> int:
    """How many calls a life takes when nobody dies."""
    server = a_server()
    server.hangs_under_load = hangs_under_load
    lives_until(server, wanted, {})
    return len(server.calls)


@whole
@pytest.mark.parametrize("effect", EFFECT)
@pytest.mark.parametrize("hangs_under_load", [False, True])
def test_a_death_at_any_call_is_healed_from_the_ledger(
    kind: str, params: Mapping[str, Scalar], effect: Literal["before", "after"], hangs_under_load: bool
) -> None:
    """Whichever call the run dies at, before or after its effect: the server is then as it was found.

    Also when it dies while it takes the proxy down and up again around a toxic that cannot be removed under load.
    """
    wanted = fault(kind, params)
    last = calls_of_a_life(wanted, hangs_under_load=hangs_under_load)
    assert last >= 6
    for number in range(1, last + 1):
        server, kept = a_server(), dict[str, Before]()
        found = dict(server.all)
        server.hangs_under_load = hangs_under_load
        server.dies_at = (number, effect)
        with pytest.raises(Died):
            lives_until(server, wanted, kept)
        server.dies_at = None
        if kept:
            again, before = of_a_ledger(wanted, kept["before"])
            healer_at(server).heal(again, before)
            healer_at(server).heal(again, before)
        allowed = (found, without_other(found)) if hangs_under_load else (found,)
        assert server.all in allowed, f"died {effect} call {number}, {server.calls[number - 1]}"


@whole
@pytest.mark.parametrize("effect", EFFECT)
def test_a_healer_that_dies_is_followed_by_another(
    kind: str, params: Mapping[str, Scalar], effect: Literal["before", "after"]
) -> None:
    """The reaper is killed too, at any of its calls: `harness heal` finishes the work."""
    wanted = fault(kind, params)
    for number in range(1, 20):
        server = a_server()
        server.hangs_under_load = True
        found = dict(server.all)
        before = driver(server).before(wanted)
        driver(server).inject(wanted, before)
        server.calls.clear()
        server.dies_at = (number, effect)
        with suppress(Died):
            healer_at(server).heal(wanted, before)
        ended = len(server.calls) < number
        server.dies_at = None
        healer_at(server).heal(wanted, before)
        assert server.all in (found, without_other(found)), f"died {effect} call {number}"
        if ended:
            return
    pytest.fail("healing takes more than 20 calls")


def test_a_proxy_that_hangs_when_a_toxic_goes_is_replaced() -> None:
    """Toxiproxy's issue 558: a new proxy takes its place, toxics of other faults return to it, and it is told."""
    server = a_server()
    found = dict(server.all)
    one = driver(server)
    before = one.before(fault())
    one.inject(fault(), before)
    server.hangs_under_load = True
    one.heal(fault(), before)
    assert server.all == found
    assert one.notes() == (
        "healing at the proxy db: it was replaced by a new one, so all its connections were dropped "
        "(remove_toxic: no answer)",
    )
    assert one.notes() == ()


def test_a_proxy_that_hung_when_a_toxic_came_is_replaced() -> None:
    """It cannot even be looked at: it becomes what `before` saw, without a toxic."""
    server = a_server()
    one = driver(server)
    before = one.before(fault())
    server.hung.add("db")
    with pytest.raises(ToxiproxyError):
        one.inject(fault(), before)
    one.heal(fault(), before)
    assert server.all["db"] == replace(a_server().all["db"], toxics=())


def test_a_proxy_that_is_disabled_and_hangs_is_enabled() -> None:
    """The call that takes it down hung, as with an upstream that swallows connections."""
    server = a_server()
    one, wanted = driver(server), fault("down", {})
    before = one.before(wanted)
    server.answers["set_enabled False"] = "hangs, but does it"
    with pytest.raises(ToxiproxyError):
        one.inject(wanted, before)
    server.answers["set_enabled True"] = "hangs"
    one.heal(wanted, before)
    assert server.all["db"].enabled


def test_a_proxy_that_leads_nowhere_is_residue_of_who_had_a_fault_on_it() -> None:
    """One who healed died in between; for another run it is a proxy like any other."""
    server = a_server()
    before = driver(server).before(fault())
    server.all = {"db": replace(server.all["db"], upstream=NOWHERE[True], toxics=())}
    assert driver(server).residue([(fault(), before)]) == ("proxy db leads nowhere: its healing was cut short",)
    assert driver(server).residue(()) == ()


def test_a_proxy_that_has_moved_is_not_replaced() -> None:
    """Only what `before` saw is ours to put back; our toxic on it is, if it can be."""
    server = a_server()
    one = driver(server)
    before = one.before(fault())
    one.inject(fault(), before)
    moved = server.all["db"] = replace(server.all["db"], upstream="10.0.0.1:5432")
    server.answers["remove_toxic"] = "500"
    with pytest.raises(ToxiproxyError, match="has moved"):
        one.heal(fault(), before)
    assert server.all["db"] == moved
    del server.answers["remove_toxic"]
    one.heal(fault(), before)
    assert server.all["db"] == replace(moved, toxics=(OTHER,))


def test_an_error_says_what_to_type() -> None:
    """Neither removing nor replacing works: the link is as it was, the toxic and the command are named."""
    server = a_server()
    one = driver(server)
    before = one.before(fault())
    one.inject(fault(), before)
    server.answers |= {"remove_toxic": "500", "replace_proxy": "500"}
    with pytest.raises(ToxiproxyError, match=r"500 oops.*not ours to restart") as error:
        one.heal(fault(), before)
    assert server.all["db"].enabled
    assert "curl -X DELETE http://127.0.0.1:8474/proxies/db/toxics/harness-r1-lag-up" in error.value.hint


@pytest.mark.parametrize("kind", ["latency", "down"])
@pytest.mark.parametrize("answer", ["hangs", "hangs, but does it"])
def test_a_hanging_server_of_the_user_is_an_error_that_says_what_to_type(
    kind: str, answer: Literal["hangs", "hangs, but does it"]
) -> None:
    """It is not ours to end."""
    server = a_server()
    one = driver(server)
    wanted = fault(kind, BOTH if kind == "latency" else {})
    before = one.before(wanted)
    one.inject(wanted, before)
    server.answers["*"] = "hangs"
    server.answers["proxy"] = answer
    with pytest.raises(ToxiproxyError, match="not ours to restart") as error:
        one.heal(wanted, before)
    assert one.by_hand(wanted, before) in error.value.hint


def test_a_hanging_server_of_ours_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its toxics go with it; the links' own watch then ends the run."""
    ended: list[int] = []
    monkeypatch.setattr(Serving, "gone", lambda self: self.pid in ended)
    monkeypatch.setattr(Serving, "kill", lambda self: not ended.append(self.pid))  # type: ignore[func-returns-value]
    server = a_server()
    server.serving = Serving(pid=5, started=1.0)
    one = driver(server)
    before = one.before(fault())
    one.inject(fault(), before)
    server.answers["*"] = "hangs"
    one.heal(fault(), before)
    assert ended == [5]
    assert "our Toxiproxy server was ended" in one.notes()[-1]
    server.calls.clear()
    one.heal(fault(), before)
    assert server.calls == [], "nothing is left to heal on a server that is gone"


def test_a_server_that_ends_while_it_is_asked_needs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends with the run that died: the reaper may come in between."""
    looks = iter([False, True])
    monkeypatch.setattr(Serving, "gone", lambda _: next(looks))
    server = a_server()
    server.serving = Serving(pid=5, started=1.0)
    before = driver(server).before(fault())
    server.answers["*"] = "hangs"
    healer_at(server).heal(fault(), before)


def test_a_toxic_that_ends_while_the_link_is_down_leaves_it_down() -> None:
    """Two faults overlap: the end of one is not the end of the other."""
    server = a_server()
    one = driver(server)
    lag, cut = fault(), fault("down", {}, name="cut")
    before_lag = one.before(lag)
    one.inject(lag, before_lag)
    before_cut = one.before(cut)
    one.inject(cut, before_cut)
    one.heal(lag, before_lag)
    assert not server.all["db"].enabled
    assert server.all["db"].toxics == (OTHER,)
    one.heal(cut, before_cut)
    assert server.all["db"].enabled


def test_replacing_a_link_that_is_down_leaves_it_down() -> None:
    """Also when the first who tried died in between: what leads nowhere tells what is to come of it."""
    server = a_server()
    one = driver(server)
    lag, cut = fault(), fault("down", {}, name="cut")
    before_lag = one.before(lag)
    one.inject(lag, before_lag)
    one.inject(cut, one.before(cut))
    server.answers["remove_toxic"] = "500"
    last = len(server.calls) + 3
    server.dies_at = (last, "after")
    with pytest.raises(Died):
        one.heal(lag, before_lag)
    assert server.calls[last - 1] == "replace_proxy"
    one.heal(lag, before_lag)
    assert (server.all["db"].enabled, server.all["db"].upstream) == (False, "127.0.0.1:2")


def test_a_proxy_that_may_not_come_up_is_an_error_at_once() -> None:
    """Its port is somebody else's by now, say: a new proxy in its place would not get it either."""
    server = a_server()
    one, wanted = driver(server), fault("down", {})
    before = one.before(wanted)
    one.inject(wanted, before)
    server.answers["set_enabled True"] = "500"
    server.calls.clear()
    with pytest.raises(ToxiproxyError, match="500 oops"):
        one.heal(wanted, before)
    assert server.calls == ["proxy", "set_enabled True"]


def test_another_proxy_of_the_same_name_is_left_alone() -> None:
    """Somebody made it anew, elsewhere, and disabled it."""
    server = a_server()
    before = driver(server).before(fault("down", {}))
    theirs = replace(server.all["db"], upstream="10.0.0.1:5432", enabled=False)
    server.all["db"] = theirs
    healer_at(server).heal(fault("down", {}), before)
    assert server.all["db"] == theirs


def test_the_command_for_a_person() -> None:
    """Complete lines for a shell, whatever the names are."""
    server = a_server()
    server.all["a b"] = replace(server.all["db"], name="a b")
    lag = replace(fault(), on="a b")
    assert driver(server).by_hand(lag, driver(server).before(lag)) == (
        "curl -X DELETE http://127.0.0.1:8474/proxies/a%20b/toxics/harness-r1-lag-up"
        " && curl -X DELETE http://127.0.0.1:8474/proxies/a%20b/toxics/harness-r1-lag-down"
    )
    down = fault("down", {})
    assert healer().by_hand(down, driver(server).before(down)) == (
        "curl -X POST -d '{\"enabled\": true}' http://127.0.0.1:8474/proxies/db"
    )


def test_healing_is_within_its_time_limit() -> None:
    """Three lots of calls and an ending at most: less than the 15 s that a healer is given."""
    assert 3 * PATIENCE_S + 2 <= 12
    assert CALL_S < PATIENCE_S
