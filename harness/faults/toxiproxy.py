"""Faults on links: Toxiproxy's toxics, and `down`.

A toxic of ours is called `harness-<run>-<fault>`, with `-up` or `-down` behind for its direction when it has both, so
that any later process can tell ours from others' and find each again. Toxiproxy keeps no note of who disabled a
proxy; what `before` saw is all we know of that, so only `heal` enables again, and `residue` does not guess.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Protocol, cast

from harness.clients import tcp
from harness.clients.toxiproxy_model import LinkBytes, Proxy, Toxic
from harness.errors import BadInput
from harness.experiment import Fault
from harness.faults import Before, Felt

PREFIX = "harness-"
DOWN = "down"
CONNECT_S = 1.0
Stream = Literal["upstream", "downstream"]
_STREAMS: Mapping[str, tuple[Stream, ...]] = {
    "upstream": ("upstream",),
    "downstream": ("downstream",),
    "both": ("upstream", "downstream"),
}
_SUFFIX: Mapping[Stream, str] = {"upstream": "-up", "downstream": "-down"}


class Server(Protocol):
    """What is asked of a Toxiproxy server; `clients.toxiproxy.Toxiproxy` has it. Changes are read back there."""

    def proxies(self) -> Mapping[str, Proxy]:
        """All proxies by name."""

    def set_enabled(self, name: str, enabled: bool) -> object:
        """Take a proxy down or up."""

    def add_toxic(
        self, proxy: str, name: str, kind: str, *, stream: Stream, toxicity: float, attributes: Mapping[str, int]
    ) -> object:
        """Put a toxic on a proxy."""

    def remove_toxic(self, proxy: str, name: str) -> None:
        """Take a toxic off; fine when it is not there."""

    def metrics(self) -> tuple[LinkBytes, ...] | None:
        """Bytes through each link, None when the server does not count."""


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


class ToxiproxyFaults:
    """The driver. `proxy_of` turns what a fault is `on` (a link) into the proxy's name on the server.

    `ended` tells that a server of ours has ended: its toxics went with it, so nothing is left to heal.
    """

    def __init__(
        self, server: Server, *, run: str, proxy_of: Callable[[str], str], ended: Callable[[], bool] = lambda: False
    ) -> None:
        self._server = server
        self._ended = ended
        self._run = run
        self._proxy_of = proxy_of

    def check(self, fault: Fault) -> None:
        """Refuse a link without proxy, one that is down already, and one that bears toxics of somebody else."""
        proxy = self._proxy(fault)
        if not proxy.enabled:
            raise BadInput(f"fault {fault.name}: the proxy {proxy.name} is down already", hint="enable it first")
        foreign = [toxic.name for toxic in proxy.toxics if not toxic.name.startswith(PREFIX)]
        if foreign:
            raise BadInput(
                f"fault {fault.name}: the proxy {proxy.name} has a toxic that is not ours: {', '.join(foreign)}",
                hint="remove it first: with it there, nobody could say which of the two was felt",
            )

    def before(self, fault: Fault) -> Before:
        """Whether the proxy is enabled, where it listens, and the bytes that had passed it by then."""
        proxy = self._proxy(fault)
        return {"proxy": proxy.name, "listen": proxy.listen, "enabled": proxy.enabled, "bytes": self._bytes(proxy.name)}

    def inject(self, fault: Fault, before: Before) -> None:
        """Add the toxics, or take the proxy down; the server's state has been read back when this returns."""
        if fault.kind == DOWN:
            self._server.set_enabled(_name(before), False)
        for toxic in toxics_of(fault, self._run):
            self._server.add_toxic(
                _name(before),
                toxic.name,
                toxic.kind,
                stream=cast(Stream, toxic.stream),
                toxicity=toxic.toxicity,
                attributes=toxic.attributes,
            )

    def heal(self, fault: Fault, before: Before) -> None:
        """Remove our toxics, or enable the proxy if it was. A proxy that is gone needs nothing."""
        if self._ended():
            return
        proxy = self._server.proxies().get(_name(before))
        if proxy is None:
            return
        if fault.kind == DOWN and before["enabled"] and not proxy.enabled:
            self._server.set_enabled(proxy.name, True)
        for toxic in toxics_of(fault, self._run):
            self._server.remove_toxic(proxy.name, toxic.name)

    def felt(self, fault: Fault, before: Before) -> Felt:
        """The server's state, and that connections met it; to be asked at the end of the fault, just before healing."""
        proxy = self._server.proxies().get(_name(before))
        if proxy is None:
            return Felt(felt=False, proof=f"the proxy {_name(before)} is gone")
        if fault.kind == DOWN:
            return _felt_down(proxy)
        missing = [w.name for w in toxics_of(fault, self._run) if not any(t.is_as(w) for t in proxy.toxics)]
        if missing:
            return Felt(felt=False, proof=f"not on the proxy {proxy.name} as put there: {', '.join(missing)}")
        touched, how = self._touched(proxy, cast(int | None, before.get("bytes")))
        return Felt(felt=touched, proof=f"{fault.kind} read back from the proxy {proxy.name}; {how}")

    def residue(self, known: Sequence[tuple[Fault, Before]]) -> tuple[str, ...]:
        """Toxics with our mark, of any run, and proxies that `before` saw enabled and are not."""
        if self._ended():
            return ()
        left = [f"toxic {toxic} on proxy {proxy}" for proxy, toxic in self._marked()]
        proxies = self._server.proxies()
        for fault, before in known:
            proxy = proxies.get(_name(before))
            if fault.kind == DOWN and before["enabled"] and proxy is not None and not proxy.enabled:
                left.append(f"proxy {proxy.name} is disabled")
        return tuple(left)

    def _marked(self) -> list[tuple[str, str]]:
        proxies = self._server.proxies().values()
        return [(proxy.name, t.name) for proxy in proxies for t in proxy.toxics if t.name.startswith(PREFIX)]

    def _proxy(self, fault: Fault) -> Proxy:
        proxies = self._server.proxies()
        name = self._proxy_of(fault.on)
        if name not in proxies:
            raise BadInput(
                f"fault {fault.name}: Toxiproxy has no proxy {name!r}",
                hint=f"name a link of `proxies:`; the server has: {', '.join(sorted(proxies)) or 'none'}",
            )
        return proxies[name]

    def _bytes(self, proxy: str) -> int | None:
        counted = self._server.metrics()
        return None if counted is None else sum(link.received_bytes for link in counted if link.proxy == proxy)

    def _touched(self, proxy: Proxy, bytes_before: int | None) -> tuple[bool, str]:
        """Whether connections met the fault. The Go server counts a connection's bytes only when it ends, so open
        connections are counted too; only when both can be seen and both are none has nobody been there.
        """
        now = self._bytes(proxy.name)
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


def _name(before: Before) -> str:
    return cast(str, before["proxy"])
