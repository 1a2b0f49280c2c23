"""Faults on links: Toxiproxy's toxics, and `down`.

A toxic of ours is called `harness-<run>-<fault>`, with `-up` or `-down` behind for its direction when it has both, so
that any later process can tell ours from others' and find each again. Toxiproxy keeps no note of who disabled a
proxy; what `before` saw is all we know of that, so only `heal` enables again, and `residue` does not guess.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import cast

from harness.clients import tcp
from harness.clients.toxiproxy_model import Proxy, Toxic
from harness.errors import BadInput
from harness.experiment import Fault
from harness.faults import Before, Felt
from harness.faults.toxiproxy_healing import (
    DOWN,
    NOWHERE,
    Server,
    Stream,
    ToxiproxyHealer,
    is_same,
    patient,
    proxy_of,
    toxics_in,
)
from harness.journal import Json

PREFIX = "harness-"
CONNECT_S = 1.0
_STREAMS: Mapping[str, tuple[Stream, ...]] = {
    "upstream": ("upstream",),
    "downstream": ("downstream",),
    "both": ("upstream", "downstream"),
}
_SUFFIX: Mapping[Stream, str] = {"upstream": "-up", "downstream": "-down"}
_RUN = re.compile(re.escape(PREFIX) + r"(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ-[0-9a-f]+)-")


def toxics_of(fault: Fault, run: str) -> tuple[Toxic, ...]:
    """The toxics of a fault: one, or one for each direction. None for `down`."""
    if fault.kind == DOWN:
        return ()
    streams = _STREAMS[str(fault.params.get("stream", "downstream"))]
    return tuple(
        Toxic(
            name=f"{PREFIX}{run}-{fault.name}{_SUFFIX[stream] if len(streams) > 1 else ''}",
            kind=fault.kind,
            stream=stream,
            toxicity=float(fault.params.get("toxicity", 1.0)),
            attributes={k: int(v) for k, v in fault.params.items() if k not in {"stream", "toxicity"}},
        )
        for stream in streams
    )


def healer() -> ToxiproxyHealer:
    """What heals from the ledger alone."""
    return ToxiproxyHealer()


class ToxiproxyFaults:
    """The driver. `proxy_of` turns what a fault is `on` (a link) into the proxy's name on the server.

    `connect` gives the server that is asked in haste: when a fault is to be proven or healed.
    """

    def __init__(
        self,
        server: Server,
        *,
        run: str,
        proxy_of: Callable[[str], str],
        connect: Callable[[str], Server] = patient,
    ) -> None:
        self._server = server
        self._run = run
        self._proxy_of = proxy_of
        self._connect = connect
        self._healer = ToxiproxyHealer(connect)

    def check(self, fault: Fault) -> None:
        """Refuse a link without proxy, one that is down already, and one that bears toxics."""
        proxy = self._proxy(fault)
        if not proxy.enabled:
            raise BadInput(f"fault {fault.name}: the proxy {proxy.name} is down already", hint="enable it first")
        there = [toxic.name for toxic in proxy.toxics]
        foreign = [name for name in there if not name.startswith(PREFIX)]
        if foreign:
            raise BadInput(
                f"fault {fault.name}: the proxy {proxy.name} has a toxic that is not ours: {', '.join(foreign)}",
                hint="remove it first: with it there, nobody could say which of the two was felt",
            )
        others = [name for name in there if not name.startswith(f"{PREFIX}{self._run}-")]
        if others:
            raise BadInput(
                f"fault {fault.name}: the proxy {proxy.name} has the toxic {others[0]}, "
                f"left by run {_run_of(others[0])}: harness heal",
                hint="or that run is still on, of another user perhaps: then wait until it is over",
            )

    def before(self, fault: Fault) -> Before:
        """The server, the proxy as it is, what our toxics will be called, and the bytes that have passed by now."""
        proxy = self._proxy(fault)
        serving = self._server.serving
        return {
            "api": self._server.address,
            "server": None if serving is None else {"pid": serving.pid, "started": serving.started},
            "proxy": proxy.name,
            "listen": proxy.listen,
            "upstream": proxy.upstream,
            "enabled": proxy.enabled,
            "toxics": cast(Json, [toxic.name for toxic in toxics_of(fault, self._run)]),
            "bytes": self._bytes(self._server, proxy.name),
        }

    def inject(self, fault: Fault, before: Before) -> None:
        """Add the toxics, or take the proxy down; the server's state has been read back when this returns."""
        if fault.kind == DOWN:
            self._server.set_enabled(proxy_of(before), False)
        for toxic in toxics_of(fault, self._run):
            self._server.add_toxic(
                proxy_of(before),
                toxic.name,
                toxic.kind,
                stream=cast(Stream, toxic.stream),
                toxicity=toxic.toxicity,
                attributes=toxic.attributes,
            )

    def heal(self, fault: Fault, before: Before) -> None:
        """Remove our toxics, or enable the proxy if it was. A proxy that is gone needs nothing."""
        self._healer.heal(fault, before)

    def by_hand(self, fault: Fault, before: Before) -> str:
        """The command for a shell that takes the fault back."""
        return self._healer.by_hand(fault, before)

    def notes(self) -> tuple[str, ...]:
        """What healing had to do beyond asking, since this was last asked."""
        return self._healer.notes()

    def felt(self, fault: Fault, before: Before) -> Felt:
        """The server's state, and that connections met it; to be asked at the end of the fault, just before healing."""
        server = self._connect(self._server.address)
        proxy = server.proxy(proxy_of(before))
        if proxy is None:
            return Felt(felt=False, proof=f"the proxy {proxy_of(before)} is gone")
        if fault.kind == DOWN:
            return _felt_down(proxy)
        missing = [w.name for w in toxics_of(fault, self._run) if not any(t.is_as(w) for t in proxy.toxics)]
        if missing:
            return Felt(felt=False, proof=f"not on the proxy {proxy.name} as put there: {', '.join(missing)}")
        touched, how = self._touched(server, proxy, cast(int | None, before.get("bytes")))
        return Felt(felt=touched, proof=f"{fault.kind} read back from the proxy {proxy.name}; {how}")

    def residue(self, known: Sequence[tuple[Fault, Before]]) -> tuple[str, ...]:
        """Toxics of this run, and proxies that `before` saw enabled and are not."""
        serving = self._server.serving
        if serving is not None and serving.gone():
            return ()
        proxies = self._server.proxies()
        marked = [(proxy.name, t.name) for proxy in proxies.values() for t in proxy.toxics]
        ours = {name for _, before in known for name in toxics_in(before)}
        left = [f"toxic {t} on proxy {p}" for p, t in marked if t in ours or t.startswith(f"{PREFIX}{self._run}-")]
        for proxy in proxies.values():
            seen = [before for _, before in known if proxy_of(before) == proxy.name]
            if any(proxy.serves(str(before["listen"]), nowhere) for before in seen for nowhere in NOWHERE.values()):
                left.append(f"proxy {proxy.name} leads nowhere: its healing was cut short")
            elif not proxy.enabled and any(before["enabled"] and is_same(proxy, before) for before in seen):
                left.append(f"proxy {proxy.name} is disabled")
        return tuple(left)

    def _proxy(self, fault: Fault) -> Proxy:
        proxies = self._server.proxies()
        name = self._proxy_of(fault.on)
        if name not in proxies:
            raise BadInput(
                f"fault {fault.name}: Toxiproxy has no proxy {name!r}",
                hint=f"name a link of `proxies:`; the server has: {', '.join(sorted(proxies)) or 'none'}",
            )
        return proxies[name]

    def _bytes(self, server: Server, proxy: str) -> int | None:
        counted = server.metrics()
        return None if counted is None else sum(link.received_bytes for link in counted if link.proxy == proxy)

    def _touched(self, server: Server, proxy: Proxy, bytes_before: int | None) -> tuple[bool, str]:
        """Whether connections met the fault. The Go server counts a connection's bytes only when it ends, so open
        connections are counted too; only when both can be seen and both are none has nobody been there.
        """
        now = self._bytes(server, proxy.name)
        passed = None if now is None or bytes_before is None else now - bytes_before
        if passed:
            return True, f"{passed} bytes came through meanwhile"
        held = tcp.connections_at(int(proxy.listen.rpartition(":")[2]))
        if held:
            return True, f"{held} connections were on it"
        if passed is None or held is None:
            return True, "whether anybody met it cannot be seen here"
        return False, "nothing came through meanwhile and nobody was connected"


def _felt_down(proxy: Proxy) -> Felt:
    """Refused is the proof; a proxy on another host that answers nothing is no worse."""
    if proxy.enabled:
        return Felt(felt=False, proof=f"the proxy {proxy.name} is enabled")
    host, _, port = proxy.listen.rpartition(":")
    why = tcp.refusal(host.strip("[]") or "127.0.0.1", int(port), timeout_s=CONNECT_S)
    return Felt(felt=bool(why), proof=f"connecting to {proxy.listen}: {why or 'is possible'}")


def _run_of(toxic: str) -> str:
    found = _RUN.match(toxic)
    return found[1] if found else "unknown"
