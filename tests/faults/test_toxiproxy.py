"""Decisions of link faults, on a Toxiproxy server in memory."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest

from harness.clients.toxiproxy_model import LinkBytes, Proxy, Toxic, ToxiproxyError
from harness.errors import BadInput
from harness.experiment import Fault, Scalar
from harness.faults.toxiproxy import ToxiproxyFaults, toxics_of

LATENCY: Mapping[str, Scalar] = {"latency": 200, "jitter": 0, "stream": "downstream", "toxicity": 1.0}


class FakeServer:
    """Proxies by name, changed as the server does; `counted` is what /metrics says."""

    def __init__(self, *proxies: Proxy) -> None:
        self.all = {proxy.name: proxy for proxy in proxies}
        self.counted: int | None = None
        self.stuck: set[str] = set()

    def proxies(self) -> Mapping[str, Proxy]:
        """All."""
        return dict(self.all)

    def set_enabled(self, name: str, enabled: bool) -> None:
        """Down or up."""
        self.all[name] = replace(self.all[name], enabled=enabled)

    def add_toxic(
        self, proxy: str, name: str, kind: str, *, stream: str, toxicity: float, attributes: Mapping[str, int]
    ) -> None:
        """Add; a taken name is a 409."""
        toxic = Toxic(name=name, kind=kind, stream=stream, toxicity=toxicity, attributes=attributes)
        if any(one.name == name for one in self.all[proxy].toxics):
            raise ToxiproxyError("taken", status=409)
        self.all[proxy] = replace(self.all[proxy], toxics=(*self.all[proxy].toxics, toxic))

    def remove_toxic(self, proxy: str, name: str) -> None:
        """Remove, unless stuck."""
        if name in self.stuck:
            raise ToxiproxyError(f"{name} hangs")
        left = tuple(toxic for toxic in self.all[proxy].toxics if toxic.name != name)
        self.all[proxy] = replace(self.all[proxy], toxics=left)

    def metrics(self) -> tuple[LinkBytes, ...] | None:
        """One row for the proxy `db`, or None."""
        if self.counted is None:
            return None
        return (LinkBytes(proxy="db", stream="upstream", received_bytes=self.counted, sent_bytes=0),)


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
    return ToxiproxyFaults(server, run="r1", proxy_of=lambda name: name)


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


def test_residue_is_what_bears_our_mark(port: int) -> None:
    """Of any run; toxics of others are not shown."""
    mine = Toxic(name="harness-old-lag", kind="latency", stream="downstream", toxicity=1.0, attributes={})
    server = server_at(port, mine, replace(mine, name="theirs"))
    assert driver(server).residue(()) == ("toxic harness-old-lag on proxy db",)
