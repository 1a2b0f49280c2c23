"""Decisions of link faults, on a Toxiproxy server in memory."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from harness.clients.process import started_at
from harness.clients.toxiproxy_model import Proxy, Toxic
from harness.clients.toxiproxy_process import Serving
from harness.errors import BadInput
from harness.experiment import Fault, Scalar
from harness.faults.toxiproxy import ToxiproxyFaults, toxics_of
from tests.documents import problems, replaced
from tests.faults.toxiproxy_server import FakeServer

LATENCY: Mapping[str, Scalar] = {"latency": 200, "jitter": 0, "stream": "downstream", "toxicity": 1.0}


def fault(kind: str = "latency", params: Mapping[str, Scalar] = LATENCY) -> Fault:
    """A fault `lag` on the link `db`."""
    return Fault(name="lag", driver="toxiproxy", kind=kind, on="db", params=params, stage="s", after_ns=0, hold_ns=1)


@pytest.fixture
def port() -> Iterator[int]:
    """A port at which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


def server_at(port: int, *toxics: Toxic, enabled: bool = True) -> FakeServer:
    """A server with the proxy `db` at that port."""
    proxy = Proxy(name="db", listen=f"127.0.0.1:{port}", upstream="127.0.0.1:1", enabled=enabled, toxics=toxics)
    return FakeServer(proxy)


def driver(server: FakeServer) -> ToxiproxyFaults:
    """The driver of run r1."""
    return ToxiproxyFaults(server, run="r1", proxy_of=lambda name: name, connect=lambda _: server)


def test_a_toxic_is_named_after_run_and_fault() -> None:
    """In Toxiproxy's own units, with stream and toxicity taken out of the attributes."""
    assert toxics_of(fault(), "r1") == (
        Toxic(
            name="harness-r1-lag",
            kind="latency",
            stream="downstream",
            toxicity=1.0,
            attributes={"latency": 200, "jitter": 0},
        ),
    )


def test_both_directions_are_two_toxics() -> None:
    """Names are unique in a proxy across directions."""
    both = toxics_of(fault(params={**LATENCY, "stream": "both", "toxicity": 0.3}), "r1")
    assert [(toxic.name, toxic.stream, toxic.toxicity) for toxic in both] == [
        ("harness-r1-lag-up", "upstream", 0.3),
        ("harness-r1-lag-down", "downstream", 0.3),
    ]


def test_down_is_no_toxic() -> None:
    """It disables the proxy."""
    assert toxics_of(fault("down", {}), "r1") == ()


def test_check_refuses_a_toxic_of_somebody_else(port: int) -> None:
    """Nobody could say which of the two was felt."""
    foreign = Toxic(name="theirs", kind="latency", stream="downstream", toxicity=1.0, attributes={"latency": 1})
    with pytest.raises(BadInput, match="not ours: theirs"):
        driver(server_at(port, foreign)).check(fault())


def test_check_refuses_a_link_that_is_down_or_missing(port: int) -> None:
    """A fault on a dead link would be felt by nobody."""
    with pytest.raises(BadInput, match="down already"):
        driver(server_at(port, enabled=False)).check(fault())
    with pytest.raises(BadInput, match="no proxy 'db'"):
        driver(FakeServer()).check(fault())


@pytest.mark.parametrize(
    ("counted", "connects", "felt", "words"),
    [
        ((100, 350), False, True, "250 bytes came through"),
        ((100, 100), True, True, "1 connections were on it"),
        ((100, 100), False, False, "nothing came through"),
        ((None, None), True, True, "1 connections were on it"),
        ((None, None), False, True, "cannot be seen here"),
    ],
)
def test_a_toxic_is_felt_when_somebody_met_it(
    port: int, counted: tuple[int | None, int | None], connects: bool, felt: bool, words: str
) -> None:
    """Bytes or connections prove it; only when both can be seen and both are none has nobody been there."""
    server = server_at(port)
    server.counted = counted[0]
    before = driver(server).before(fault())
    driver(server).inject(fault(), before)
    server.counted = counted[1]
    if connects:
        with socket.create_connection(("127.0.0.1", port), timeout=2):
            seen = driver(server).felt(fault(), before)
        # the listener's own end of the connection is counted once, the client's end has another port
    else:
        seen = driver(server).felt(fault(), before)
    assert seen.felt is felt
    assert words in seen.proof


def test_a_toxic_that_somebody_changed_or_removed_is_not_felt(port: int) -> None:
    """What is read back must be what was put there."""
    server = server_at(port)
    server.counted = 0
    before = driver(server).before(fault())
    driver(server).inject(fault(), before)
    server.counted = 10
    changed = replace(server.all["db"].toxics[0], attributes={"latency": 1, "jitter": 0})
    server.all["db"] = replace(server.all["db"], toxics=(changed,))
    assert "not on the proxy" in driver(server).felt(fault(), before).proof
    del server.all["db"]
    assert "is gone" in driver(server).felt(fault(), before).proof


def test_down_is_felt_by_a_refused_connection(port: int) -> None:
    """Disabled in the server's books, but somebody still listens there: that is not down."""
    server = server_at(port)
    before = driver(server).before(fault("down", {}))
    driver(server).inject(fault("down", {}), before)
    assert not driver(server).felt(fault("down", {}), before).felt
    server.all["db"] = replace(server.all["db"], listen="127.0.0.1:1")
    assert driver(server).felt(fault("down", {}), before).felt


def test_a_proxy_that_was_down_before_stays_down(port: int) -> None:
    """Healing restores what was, and no more."""
    server = server_at(port, enabled=False)
    before = driver(server).before(fault("down", {}))
    driver(server).heal(fault("down", {}), before)
    assert not server.all["db"].enabled


def test_a_proxy_that_is_gone_needs_no_healing(port: int) -> None:
    """The toxic went with it."""
    server = server_at(port)
    before = driver(server).before(fault())
    driver(server).inject(fault(), before)
    server.all.clear()
    driver(server).heal(fault(), before)
    assert server.all == {}


def test_residue_is_what_bears_the_mark_of_this_run(port: int) -> None:
    """What another run, alive perhaps, or anybody has on a server that they share does not make this one dirty."""
    mine = Toxic(name="harness-r1-lag", kind="latency", stream="downstream", toxicity=1.0, attributes={})
    server = server_at(port, mine, replace(mine, name="harness-other-lag"), replace(mine, name="theirs"))
    assert driver(server).residue(()) == (f"toxic {mine.name} on proxy db",)
    before = {**driver(server).before(fault()), "toxics": ["harness-other-lag"]}
    healed_for_it = ("toxic harness-other-lag on proxy db", f"toxic {mine.name} on proxy db")
    assert sorted(driver(server).residue([(fault(), before)])) == sorted(healed_for_it)


def test_residue_is_a_proxy_that_was_enabled_and_is_not(port: int) -> None:
    """Nobody can see on the server who disabled it; another proxy that has the name by now is none of ours."""
    server = server_at(port)
    before = driver(server).before(fault("down", {}))
    assert driver(server).residue(((fault("down", {}), before),)) == ()
    server.set_enabled("db", False)
    assert driver(server).residue(()) == ()
    assert driver(server).residue(((fault("down", {}), before),)) == ("proxy db is disabled",)
    server.all["db"] = replace(server.all["db"], upstream="127.0.0.1:99")
    assert driver(server).residue(((fault("down", {}), before),)) == ()


def test_nothing_is_left_on_a_server_of_ours_that_has_ended(port: int) -> None:
    """It is not even asked."""
    server = server_at(port)
    server.serving = Serving(pid=1, started=-1.0)
    assert driver(server).residue(()) == ()
    assert server.calls == []


@pytest.mark.parametrize(
    ("toxic", "run"),
    [
        ("harness-2026-05-01T10-00-00Z-ab12-slow-db-up", "2026-05-01T10-00-00Z-ab12"),
        ("harness-slow", "unknown"),
        ("harness-r10-lag", "unknown"),
    ],
)
def test_check_refuses_what_another_run_left(port: int, toxic: str, run: str) -> None:
    """It is of a live run, or of a dead one whose ledger is elsewhere: both are named, neither is removed."""
    left = Toxic(name=toxic, kind="latency", stream="downstream", toxicity=1.0, attributes={"latency": 1})
    with pytest.raises(BadInput, match=f"{toxic}, left by run {run}: harness heal"):
        driver(server_at(port, left)).check(fault())


def test_before_holds_all_that_healing_needs(port: int) -> None:
    """Server, proxy and toxics by name: the one who heals has neither the run nor its experiment."""
    server = server_at(port)
    server.serving = Serving(pid=7, started=1.5)
    assert driver(server).before(fault(params={**LATENCY, "stream": "both"})) == {
        "api": "127.0.0.1:8474",
        "server": {"pid": 7, "started": 1.5},
        "proxy": "db",
        "listen": f"127.0.0.1:{port}",
        "upstream": "127.0.0.1:1",
        "enabled": True,
        "toxics": ["harness-r1-lag-up", "harness-r1-lag-down"],
        "bytes": None,
    }


def test_proof_is_asked_of_a_hurried_server(port: int) -> None:
    """Proving has five seconds in all, so it may not wait as long as injecting."""
    server, hurried = server_at(port), server_at(port)
    patience = ToxiproxyFaults(server, run="r1", proxy_of=lambda name: name, connect=lambda _: hurried)
    before = patience.before(fault())
    server.calls.clear()
    assert not patience.felt(fault(), before).felt
    assert (server.calls, hurried.calls) == ([], ["proxy"])


def test_a_process_is_itself_and_no_other_with_its_pid() -> None:
    """Pid and start time together."""
    own = started_at(os.getpid())
    assert own is not None
    assert not Serving(pid=os.getpid(), started=own).gone()
    recycled = Serving(pid=os.getpid(), started=own - 1)
    assert recycled.gone()
    assert recycled.kill()  # and so nobody was killed


@pytest.mark.parametrize(
    ("kind", "params", "expected"),
    [
        ("bandwidth", "rate: 0KB/s", "expected at least 1 KB/s, got '0KB/s'"),
        ("latency", "latency: 1ms, toxicity: 0", "expected at least 0.0001, got 0"),
        ("limit_data", "bytes: 0B", "expected at least 1"),
    ],
)
@pytest.mark.parametrize("overridden", [False, True])
def test_settings_that_do_nothing_or_everything_are_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    params: str,
    expected: str,
    overridden: bool,
) -> None:
    """A rate of 0 is a blackhole that never ends, a toxicity of 0 hits nobody; in the file or from outside."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "checkout.py").write_text("")
    good = {"bandwidth": "rate: 1KB/s", "latency": "latency: 1ms", "limit_data": "bytes: 1B"}[kind]
    text = replaced(
        "toxic: latency, on: db, latency: 200ms", f"toxic: {kind}, on: db, {good if overridden else params}"
    )
    overrides = [f"faults[0].{params.rpartition(', ')[2].replace(': ', '=')}"] if overridden else []
    assert [problem for problem in problems(tmp_path, text, overrides=overrides) if expected in problem]
