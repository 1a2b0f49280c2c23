"""Taking link faults back, from `before` alone and on a server that may hang.

The control API of the Go server can hang when a toxic is removed under load (its issue 558), for good. So no call is
waited for longer than CALL_S, and healing goes on to what still works: take the proxy down, which drops the
connections that the server hangs on, remove the toxics, take it up again; and end a server that is ours. All of it
takes at most 4 * PATIENCE_S + 2 s. What had to be done beyond asking is told by `notes`.
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
    """Heals with no run. `down` names the proxies that a fault of the same run holds down on purpose right now."""

    def __init__(self, connect: Callable[[str], Server] = patient) -> None:
        self._connect = connect
        self._notes: list[str] = []
        self.down: set[str] = set()

    def heal(self, fault: Fault, before: Before) -> None:
        """Remove the fault's toxics, or enable the proxy if it was. What is gone needs nothing.

        Raises ToxiproxyError, with what to type, when the server lets nobody do it and is not ours to end.
        """
        serving = serving_of(before)
        if serving is not None and serving.gone():
            return
        try:
            self._take_back(fault, before)
        except ToxiproxyError as error:
            if serving is None or not serving.gone():
                self._insist(fault, before, serving, error)
        if fault.kind == DOWN:
            self.down.discard(proxy_of(before))

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

    def _take_back(self, fault: Fault, before: Before) -> None:
        """Make the proxy what it was. Toxics bear our mark; a proxy is the one of `before` when its addresses are."""
        server = self._connect(str(before["api"]))
        proxy = server.proxy(proxy_of(before))
        if proxy is None:
            return
        try:
            ours = set(toxics_in(before))
            for toxic in [toxic.name for toxic in proxy.toxics if toxic.name in ours]:
                server.remove_toxic(proxy.name, toxic)
        finally:  # a proxy that an earlier try to heal took down comes up again, whatever became of the toxics
            if self._to_enable(fault, before, proxy):
                self._connect(str(before["api"])).set_enabled(proxy.name, True)

    def _to_enable(self, fault: Fault, before: Before, proxy: Proxy) -> bool:
        if proxy.enabled or not before["enabled"] or not is_same(proxy, before):
            return False
        return fault.kind == DOWN or proxy.name not in self.down

    def _insist(self, fault: Fault, before: Before, serving: Serving | None, why: ToxiproxyError) -> None:
        """Drop the connections of the proxy and try again; then end a server that is ours."""
        if fault.kind != DOWN:
            self._drop_connections(before)
            try:
                self._take_back(fault, before)
            except ToxiproxyError as error:
                why = error
            else:
                self._note(before, "all its connections were dropped", why)
                return
        elif not isinstance(why, ToxiproxySilent):
            raise why  # it answers: nothing is gained by force
        if serving is None:
            raise ToxiproxyError(
                f"{why}; that server is not ours to restart",
                hint=f"restart it, or when it answers again type: {self.by_hand(fault, before)}",
            ) from why
        if not serving.kill():
            raise ToxiproxyError(f"{why}; and its process does not end", hint=f"type: kill -9 {serving.pid}") from why
        self._note(before, "our Toxiproxy server was ended, and every link with it", why)

    def _drop_connections(self, before: Before) -> None:
        """Take the proxy down; `_take_back` takes it up again. A server that hangs often does it all the same."""
        if proxy_of(before) in self.down:
            return
        try:
            self._connect(str(before["api"])).set_enabled(proxy_of(before), False)
        except ToxiproxyError as error:
            self._note(before, "could not be taken down", error)

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
