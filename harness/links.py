"""Links: the named proxies of an experiment, on a Toxiproxy server that we start or are given.

Listen addresses are reserved first, so that a stack's services can be told where their neighbours are before anything
runs; the proxies are created once the services' own addresses are known. On a server of ours they end with us; on the
user's own they would outlive us, so what `undo` gives is in the ledger before they are made.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from shutil import which
from typing import cast

from harness.clients.tcp import reserve_port
from harness.clients.toxiproxy import Toxiproxy, by_hand_delete
from harness.clients.toxiproxy_server import ServerProcess, start_embedded, start_server
from harness.errors import BadInput, EnvironmentBroke, HarnessError
from harness.experiment import Fault, Proxy
from harness.journal import Json
from harness.ledger import Undo

SERVER = "toxiproxy-server"
DEAF_TIMES = 2
CALL_S = 1.5
HEAL_S = 10.0


class ToxiproxyLinks:
    """The proxies of one run: `places` is where each listens, `addresses` where the services are, once known.

    `kind` tells which server serves them: embedded or toxiproxy-server with its version, or an address.
    """

    def __init__(self, proxies: tuple[Proxy, ...], mode: str, seed: int) -> None:
        self._proxies = proxies
        self._server: ServerProcess | None = None
        self._created: list[str] = []
        self._there: frozenset[str] | None = None
        self._undo: Undo | None = None
        self._deaf = 0
        self._seed = seed
        self.addresses: dict[str, str] = {}
        self.places = _places(proxies)
        self.client: Toxiproxy | None = None
        self.kind = "none"
        if proxies:
            self._connect(mode)

    def _connect(self, mode: str) -> None:
        if mode.startswith(("http://", "https://")):
            self.kind = mode
            self.client = Toxiproxy(mode)
            self.client.version()
            return
        if mode == "server" and which(SERVER) is None:
            raise EnvironmentBroke(
                f"toxiproxy: server, but {SERVER} is not on PATH",
                hint="install it, or write `toxiproxy: embedded` (needs nothing) or `auto`",
            )
        real = mode == "server" or (mode == "auto" and which(SERVER) is not None)
        self._server = start_server(SERVER) if real else start_embedded(seed=self._seed)
        self.kind = f"{self._server.kind} {self._server.version}"
        self.client = Toxiproxy(self._server.address, serving=self._server.serving)

    def undo(self) -> Undo | None:
        """What removes the proxies that we are to make on the user's server; the same before and after."""
        if self._undo is None and self._server is None and self.client is not None:
            ours = [proxy for proxy in self._proxies if proxy.name not in self._existed(self.client)]
            self._undo = self._undo_of(self.client.address, ours) if ours else None
        return self._undo

    def _undo_of(self, address: str, ours: Sequence[Proxy]) -> Undo:
        """An upstream that is no proxy is known only when its service runs: then the listen address tells ours."""
        proxies = [
            {"name": one.name, "listen": self.places[one.name], "upstream": self.places.get(one.upstream, "")}
            for one in ours
        ]
        return Undo(
            name="links",
            driver="links",
            kind="proxies",
            on=address,
            before={"api": address, "proxies": cast(Json, proxies)},
            by_hand=" && ".join(by_hand_delete(address, one.name) for one in ours),
        )

    def _existed(self, client: Toxiproxy) -> frozenset[str]:
        """The proxies that were there when first asked: those are the user's."""
        if self._there is None:
            self._there = frozenset(client.proxies())
        return self._there

    def open(self, addresses: Mapping[str, str]) -> None:
        """Create every proxy in front of its upstream, which is a service or another proxy."""
        self.addresses.update(addresses)
        for proxy in self._proxies:
            upstream = self.places.get(proxy.upstream) or addresses.get(proxy.upstream)
            if upstream is None:
                raise BadInput(f"proxies.{proxy.name}.upstream: no service or proxy is called {proxy.upstream!r}")
            if self.client is not None:
                if proxy.name not in self._existed(self.client):
                    self._created.append(proxy.name)
                self._create(proxy.name, upstream)

    def _create(self, name: str, upstream: str) -> None:
        assert self.client is not None  # noqa: S101 - there are proxies, so there is a server
        try:
            self.client.create_proxy(name, self.places[name], host_and_port(upstream))
        except HarnessError as error:
            raise EnvironmentBroke(
                f"proxies.{name}: {error}",
                hint=f"does something else listen on {self.places[name]}? Without `listen:` a free port is taken",
            ) from error

    def lost(self) -> str:
        """Why the server serves no more: it has ended, or did not answer several times. Empty while all is well.

        One of ours that hangs is ended: its toxics, and the connections that hang in it, go with it.
        """
        if self.client is None:
            return ""
        if self.ended():
            return f"the Toxiproxy server ({self.kind}) has ended while the run was on"
        try:
            self.client.version()
        except HarnessError as error:
            self._deaf += 1
            if self._deaf < DEAF_TIMES:
                return ""
            if self._server is not None:
                self._server.process.kill()
            return f"the Toxiproxy server ({self.kind}) is lost: {error}"
        self._deaf = 0
        return ""

    def ended(self) -> bool:
        """Whether a server of ours has ended, and with it every toxic that it had."""
        return self._server is not None and not self._server.running()

    def close(self) -> None:
        """Remove our proxies; end the server when it is ours. Twice is fine."""
        if self._server is not None:
            self._server.stop()
            self._server, self._created, self.client = None, [], None
        while self._created and self.client is not None:
            self.client.delete_proxy(self._created.pop())


def healer(connect: Callable[[str], Toxiproxy] | None = None) -> LinksHealer:
    """What removes proxies from the ledger alone."""
    return LinksHealer(connect or (lambda address: Toxiproxy(address, timeout_s=CALL_S, in_all_s=HEAL_S)))


class LinksHealer:
    """Removes the proxies that a dead run made on the user's server, and no others."""

    def __init__(self, connect: Callable[[str], Toxiproxy]) -> None:
        self._connect = connect

    def heal(self, fault: Fault, before: Mapping[str, Json]) -> None:  # noqa: ARG002 - a healer's shape
        """Remove each that still has the listen address (and the upstream, where known) of ours; errors come last."""
        server = self._connect(str(before["api"]))
        failed: dict[str, HarnessError] = {}
        for made in cast(Sequence[Mapping[str, str]], before["proxies"]):
            try:
                found = server.proxy(made["name"])
                if found is not None and found.serves(made["listen"], made["upstream"] or found.upstream):
                    server.delete_proxy(found.name)
            except HarnessError as error:
                failed[made["name"]] = error
        if failed:
            raise EnvironmentBroke(
                "; ".join(map(str, failed.values())),
                hint=f"type: {' && '.join(by_hand_delete(server.address, name) for name in failed)}",
            )


def _places(proxies: tuple[Proxy, ...]) -> dict[str, str]:
    """host:port to listen on for each; a port is picked where none was given, none twice.

    Picked ports are outside the range of outgoing connections: a proxy that is down could lose its port to one.
    """
    with ExitStack() as held:
        return {proxy.name: _place(proxy, held) for proxy in proxies}


def _place(proxy: Proxy, held: ExitStack) -> str:
    host, _, port = proxy.listen.rpartition(":") if ":" in proxy.listen else (proxy.listen, "", "")
    host = host or "127.0.0.1"
    if port:
        return f"{host}:{port}"
    try:
        socket.create_server((host, 0)).close()
    except OSError as error:
        raise EnvironmentBroke(
            f"proxies.{proxy.name}.listen: cannot listen on {host}: {error.strerror}",
            hint="give an address of this machine, such as 127.0.0.1",
        ) from error
    return f"{host}:{held.enter_context(reserve_port(host)).getsockname()[1]}"


def host_and_port(address: str) -> str:
    """host:port of an address that may be a URL."""
    bare = address.split("://", 1)[-1].split("/", 1)[0]
    if ":" in bare:
        return bare
    return f"{bare}:{443 if address.startswith('https://') else 80}"
