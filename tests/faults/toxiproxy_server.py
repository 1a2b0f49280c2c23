"""A Toxiproxy server in memory: a state machine that can hang, refuse, and have its caller die at any call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from harness.clients.toxiproxy_model import LinkBytes, Proxy, Toxic, ToxiproxyError, ToxiproxySilent
from harness.clients.toxiproxy_process import Serving

Answer = Literal["", "hangs", "hangs, but does it", "500"]


class Died(BaseException):
    """The caller was killed here."""


class FakeServer:
    """Proxies by name, changed as the server does; `counted` is what /metrics says.

    `answers` gives a call by name its trouble. `hangs_under_load` is the Go server's issue 558: once it hangs in a
    toxic of a proxy, all that concerns the proxy hangs until it is replaced. The caller dies at the call number
    `dies_at`, before or after it had its effect.
    """

    def __init__(self, *proxies: Proxy) -> None:
        self.address = "127.0.0.1:8474"
        self.serving: Serving | None = None
        self.all = {proxy.name: proxy for proxy in proxies}
        self.counted: int | None = None
        self.answers: dict[str, Answer] = {}
        self.hangs_under_load = False
        self.hung: set[str] = set()
        self.calls: list[str] = []
        self.dies_at: tuple[int, Literal["before", "after"]] | None = None

    def proxies(self) -> Mapping[str, Proxy]:
        """All."""
        self._call("proxies", *self.all)
        self._over()
        return dict(self.all)

    def proxy(self, name: str) -> Proxy | None:
        """One."""
        self._call("proxy", name)
        self._over()
        return self.all.get(name)

    def set_enabled(self, name: str, enabled: bool) -> None:
        """Down or up."""
        self._call(f"set_enabled {enabled}", name)
        self.all[name] = replace(self.all[name], enabled=enabled)
        self._over()

    def replace_proxy(self, name: str, listen: str, upstream: str, *, enabled: bool) -> None:
        """A new proxy, unless there is one with these addresses."""
        self._call("replace_proxy")
        now = self.all.get(name)
        if now is None or not now.serves(listen, upstream):
            self.hung.discard(name)
            self.all[name] = Proxy(name=name, listen=listen, upstream=upstream, enabled=enabled)
        self._over()

    def add_toxic(
        self, proxy: str, name: str, kind: str, *, stream: str, toxicity: float, attributes: Mapping[str, int]
    ) -> None:
        """Add; a taken name is a 409."""
        self._call("add_toxic", proxy)
        toxic = Toxic(name=name, kind=kind, stream=stream, toxicity=toxicity, attributes=attributes)
        if any(one.name == name for one in self.all[proxy].toxics):
            raise ToxiproxyError("taken", status=409)
        self.all[proxy] = replace(self.all[proxy], toxics=(*self.all[proxy].toxics, toxic))
        self._over()

    def remove_toxic(self, proxy: str, name: str) -> None:
        """Remove."""
        self._call("remove_toxic", proxy)
        if self.hangs_under_load and self.all[proxy].enabled:
            self.hung.add(proxy)
            self._over()
            raise ToxiproxySilent("remove_toxic: no answer")
        left = tuple(toxic for toxic in self.all[proxy].toxics if toxic.name != name)
        self.all[proxy] = replace(self.all[proxy], toxics=left)
        self._over()

    def metrics(self) -> tuple[LinkBytes, ...] | None:
        """One row for the proxy `db`, or None."""
        self._call("metrics")
        self._over()
        if self.counted is None:
            return None
        return (LinkBytes(proxy="db", stream="upstream", received_bytes=self.counted, sent_bytes=0),)

    def _call(self, name: str, *proxies: str) -> None:
        self.calls.append(name)
        if self.dies_at == (len(self.calls), "before"):
            raise Died
        if self.hung & set(proxies):
            if self.dies_at == (len(self.calls), "after"):
                raise Died
            raise ToxiproxySilent(f"{name}: no answer")
        answer = self.answers.get(name) or self.answers.get("*")
        if answer == "500":
            raise ToxiproxyError(f"{name}: 500 oops", status=500)
        if answer == "hangs":
            raise ToxiproxySilent(f"{name}: no answer")

    def _over(self) -> None:
        name = self.calls[-1]
        if self.dies_at == (len(self.calls), "after"):
            raise Died
        if self.answers.get(name) == "hangs, but does it":
            raise ToxiproxySilent(f"{name}: no answer")
