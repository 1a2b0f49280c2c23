"""Taking link faults back, from `before` alone and on a server that may hang.

The Go server can hang for good in all that concerns a proxy when a toxic comes or goes while its clients do not read
(its issue 558; adding hangs it as well as removing). So no call is waited for longer than CALL_S. Then the proxy is
replaced by a new one, which is the one call that still works; and if not even that does, a server that is ours is
ended. All of it takes at most 3 * PATIENCE_S + 2 s. What had to be done beyond asking is told by `notes`.

Replacing takes two steps, because a proxy that has the same addresses is not replaced. In between it leads nowhere,
and its upstream says so, and whether it was enabled: one who heals later completes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Protocol, cast

from harness.clients.toxiproxy import Toxiproxy, by_hand_delete, by_hand_enable
from harness.clients.toxiproxy_model import LinkBytes, Proxy, ToxiproxyError, ToxiproxySilent
from harness.clients.toxiproxy_process import Serving
from harness.experiment import Fault
from harness.faults import Before

DOWN = "down"
CALL_S = 1.5
PATIENCE_S = 3.0
NOWHERE: Mapping[bool, str] = {True: "harness-heals-enabled.invalid:1", False: "harness-heals-disabled.invalid:1"}
"""The upstream of a proxy half-way through being replaced, by whether the new one is to be enabled."""
Stream = Literal["upstream", "downstream"]


class Server(Protocol):
    """What is asked of a Toxiproxy server; `clients.toxiproxy.Toxiproxy` has it. Changes are read back there."""

    address: str
    serving: Serving | None

    def proxies(self) -> Mapping[str, Proxy]:
        """All proxies by name."""

    def proxy(self, name: str) -> Proxy | None:
        """One proxy, None when there is none of that name."""

    def set_enabled(self, name: str, enabled: bool) -> object:
        """Take a proxy down or up."""

    def replace_proxy(self, name: str, listen: str, upstream: str, *, enabled: bool) -> object:
        """Put a new proxy without toxics in the place of one that has another upstream."""

    def add_toxic(
        self, proxy: str, name: str, kind: str, *, stream: Stream, toxicity: float, attributes: Mapping[str, int]
    ) -> object:
        """Put a toxic on a proxy."""

    def remove_toxic(self, proxy: str, name: str) -> None:
        """Take a toxic off; fine when it is not there."""

    def metrics(self) -> tuple[LinkBytes, ...] | None:
        """Bytes through each link, None when the server does not count."""


def patient(address: str) -> Server:
    """The server at an address, asked so briefly that a fault's time limits hold on one that hangs or drips."""
    return Toxiproxy(address, timeout_s=CALL_S, in_all_s=PATIENCE_S)


class ToxiproxyHealer:
    """Heals with no run."""

    def __init__(self, connect: Callable[[str], Server] = patient) -> None:
        self._connect = connect
        self._notes: list[str] = []

    def heal(self, fault: Fault, before: Before) -> None:
        """Remove the fault's toxics, or enable the proxy if it was. What is gone needs nothing.

        Raises ToxiproxyError, with what to type, when the server lets nobody do it and is not ours to end.
        """
        serving = serving_of(before)
        if serving is not None and serving.gone():
            return
        server = self._at(before)
        proxy: Proxy | None = None
        try:
            proxy = server.proxy(proxy_of(before))
            if proxy is not None:
                self._take_back(server, fault, before, proxy)
        except ToxiproxyError as error:
            if serving is None or not serving.gone():
                self._insist(fault, before, proxy, serving, error)

    def by_hand(self, fault: Fault, before: Before) -> str:
        """The command for a shell that takes the fault back."""
        address, proxy = str(before["api"]), proxy_of(before)
        if fault.kind == DOWN:
            return by_hand_enable(address, proxy)
        return " && ".join(by_hand_delete(address, proxy, "toxics", toxic) for toxic in toxics_in(before))

    def notes(self) -> tuple[str, ...]:
        """What healing had to do beyond asking, since this was last asked."""
        notes, self._notes = tuple(self._notes), []
        return notes

    def _at(self, before: Before) -> Server:
        return self._connect(str(before["api"]))

    def _take_back(self, server: Server, fault: Fault, before: Before, proxy: Proxy) -> None:
        """Make the proxy what it was. Toxics bear our mark; a proxy is the one of `before` when its addresses are."""
        if proxy.upstream in NOWHERE.values():
            if proxy.serves(str(before["listen"]), proxy.upstream):
                self._complete(fault, before, enabled=proxy.upstream == NOWHERE[True])
        elif fault.kind == DOWN:
            if before["enabled"] and not proxy.enabled and is_same(proxy, before):
                server.set_enabled(proxy.name, True)
        else:
            for toxic in [toxic.name for toxic in proxy.toxics if toxic.name in toxics_in(before)]:
                server.remove_toxic(proxy.name, toxic)

    def _insist(
        self, fault: Fault, before: Before, proxy: Proxy | None, serving: Serving | None, why: ToxiproxyError
    ) -> None:
        """Replace the proxy; then end a server that is ours. `proxy` is as it was seen, None when not even that."""
        if fault.kind == DOWN and not isinstance(why, ToxiproxySilent):
            raise why  # it answers, and says no: nothing is gained by force
        try:
            self._replace(fault, before, proxy)
        except ToxiproxyError as error:
            why = error
        else:
            self._note(before, "it was replaced by a new one, so all its connections were dropped", why)
            return
        if serving is None:
            raise ToxiproxyError(
                f"{why}; that server is not ours to restart",
                hint=f"restart it, or when it answers again type: {self.by_hand(fault, before)}",
            ) from why
        if not serving.kill():
            raise ToxiproxyError(f"{why}; and its process does not end", hint=f"type: kill -9 {serving.pid}") from why
        self._note(before, "our Toxiproxy server was ended, and every link with it", why)

    def _replace(self, fault: Fault, before: Before, proxy: Proxy | None) -> None:
        """A new proxy in the place of one that hangs, with the toxics of others as far as they were seen."""
        if proxy is not None and not is_same(proxy, before):
            raise ToxiproxyError(f"the proxy {proxy.name} has moved to {proxy.listen} -> {proxy.upstream} meanwhile")
        enabled = bool(before["enabled"] if proxy is None else proxy.enabled)
        name, listen = proxy_of(before), str(before["listen"])
        self._at(before).replace_proxy(name, listen, NOWHERE[enabled], enabled=False)
        self._complete(fault, before, enabled=enabled)
        server = self._at(before)
        for toxic in () if proxy is None else proxy.toxics:
            if toxic.name not in toxics_in(before):
                server.add_toxic(
                    name,
                    toxic.name,
                    toxic.kind,
                    stream=cast(Stream, toxic.stream),
                    toxicity=toxic.toxicity,
                    attributes=toxic.attributes,
                )

    def _complete(self, fault: Fault, before: Before, *, enabled: bool) -> None:
        """The second step of replacing; what `down` took down comes up."""
        up = enabled or (fault.kind == DOWN and bool(before["enabled"]))
        self._at(before).replace_proxy(proxy_of(before), str(before["listen"]), str(before["upstream"]), enabled=up)

    def _note(self, before: Before, what: str, why: ToxiproxyError) -> None:
        self._notes.append(f"healing at the proxy {proxy_of(before)}: {what} ({why})")


def serving_of(before: Before) -> Serving | None:
    """The process of the server, when it was one of ours."""
    match before.get("server"):
        case {"pid": int(pid), "started": float() | int() as started}:
            return Serving(pid=pid, started=started)
    return None


def proxy_of(before: Before) -> str:
    """The name of the proxy that was hit."""
    return str(before["proxy"])


def toxics_in(before: Before) -> Sequence[str]:
    """The names of the fault's toxics."""
    return cast(Sequence[str], before["toxics"])


def is_same(proxy: Proxy, before: Before) -> bool:
    """Whether it is the proxy that `before` saw, and not another that has its name by now."""
    return proxy.serves(str(before["listen"]), str(before["upstream"]))
