"""One proxy: a listener, the toxics on it, and the connections that go through it."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Iterator, Mapping

from harness.proxy.connection import Connection
from harness.proxy.link import Link
from harness.proxy.toxic import Toxic

DIAL_S = 30.0
"""Time for an upstream to accept: longer than clients wait, so that a blackhole is felt as one."""
BACKLOG = 4096
STREAMS = ("upstream", "downstream")


def split_address(address: str) -> tuple[str, int]:
    """Host and port of `host:port` or `[v6]:port`. Raises ValueError in the words of Go's net package."""
    host, colon, port = address.rpartition(":")
    if not colon:
        raise ValueError(f"address {address}: missing port in address")
    if not port.isdigit() or int(port) > 65535:
        raise ValueError(f"address {address}: invalid port {port!r}")
    return host.removeprefix("[").removesuffix("]"), int(port)


class Forward:
    """A proxy by name. `enabled` is whether it listens; an update or `down` drops its connections."""

    def __init__(self, *, name: str, listen: str, upstream: str, seed: int) -> None:
        self.name = name
        self.listen = listen or "127.0.0.1:0"
        self.upstream = upstream
        self.seed = seed
        self.toxics: list[Toxic] = []
        self.connections: set[Connection] = set()
        self.accepted = 0
        self.added: Counter[str] = Counter()  # how often a toxic of a name was added
        self.received: Counter[str] = Counter()  # bytes of closed connections, by stream
        self.sent: Counter[str] = Counter()
        self.server: asyncio.Server | None = None

    @property
    def enabled(self) -> bool:
        """Whether it listens."""
        return self.server is not None

    # listening

    async def start(self) -> None:
        """Listen; OSError or ValueError when the address cannot be had. Starting twice is fine."""
        if self.server is not None:
            return
        host, port = split_address(self.listen)
        loop = asyncio.get_running_loop()
        try:
            self.server = await loop.create_server(self.accept, host or "0.0.0.0", port, backlog=BACKLOG)  # noqa: S104 - asked for by an empty host
        except OSError as error:
            words = os.strerror(error.errno).lower() if error.errno else str(error)
            raise OSError(f"listen tcp {self.listen}: bind: {words}") from error
        bound = self.server.sockets[0].getsockname()
        self.listen = f"[{bound[0]}]:{bound[1]}" if ":" in bound[0] else f"{bound[0]}:{bound[1]}"

    def stop(self) -> None:
        """Stop listening and drop all connections. Stopping twice is fine."""
        if self.server is not None:
            self.server.close()
            self.server = None
        for connection in tuple(self.connections):
            connection.abort()

    def differs(self, listen: str, upstream: str) -> bool:
        """Whether this needs another listener; a `listen` without a port always does, as in Go."""
        split_address(listen)
        return listen.replace("localhost:", "127.0.0.1:") != self.listen or upstream != self.upstream

    # connections

    def accept(self) -> Link:
        """The protocol for a client that has just connected."""
        self.accepted += 1
        return Connection(self, self.accepted).up

    def opened(self, connection: Connection) -> None:
        """Dial the upstream beside everything else; `down` between accept and here drops the client."""
        self.connections.add(connection)
        if self.server is None:
            connection.abort()
        else:
            connection.dialling = asyncio.get_running_loop().create_task(self.dial(connection))

    async def dial(self, connection: Connection) -> None:
        """Connect to the upstream; the client is dropped when that fails, as a refused upstream would."""
        try:
            host, port = split_address(self.upstream)
            async with asyncio.timeout(DIAL_S):
                await asyncio.get_running_loop().create_connection(lambda: connection.down, host, port)
        except (OSError, ValueError, TimeoutError):
            connection.abort()

    def closed(self, connection: Connection) -> None:
        """Keep the bytes of a connection that has ended."""
        if connection in self.connections:
            self.connections.remove(connection)
            for link in (connection.up, connection.down):
                self.received[link.stream] += link.received
                self.sent[link.stream] += link.sent

    def bytes_passed(self, stream: str) -> tuple[int, int]:
        """Bytes received from the sources and sent to the sinks of one direction, up to now."""
        live = [c.up if stream == "upstream" else c.down for c in self.connections]
        received = self.received[stream] + sum(link.received for link in live)
        return received, self.sent[stream] + sum(link.sent for link in live)

    # toxics

    def toxics_of(self, stream: str) -> Iterator[Toxic]:
        """The toxics of one direction, in the order of adding."""
        return (toxic for toxic in self.toxics if toxic.stream == stream)

    def add(self, toxic: Toxic) -> None:
        """Put a toxic on all connections, live and to come, in one step."""
        self.toxics.append(toxic)
        self.refresh(toxic)

    def remove(self, toxic: Toxic) -> None:
        """Take a toxic off all connections."""
        self.toxics.remove(toxic)
        self.refresh(toxic)

    def change(self, toxic: Toxic) -> None:
        """Bring a change of toxicity or attributes to all connections."""
        for link in self.links(toxic.stream):
            link.updated(toxic)
        self.refresh(toxic)

    def new_toxic(self, *, name: str, kind: str, stream: str) -> Toxic:
        """A toxic that is not in force yet. A name that comes again draws anew."""
        self.added[name] += 1
        key = f"{self.seed}/{self.name}/{name}/{self.added[name]}"
        return Toxic(key=key, name=name, kind=kind, stream=stream)

    def refresh(self, toxic: Toxic) -> None:
        """Rebuild the chains of the toxic's direction."""
        for link in self.links(toxic.stream):
            link.refresh()

    def links(self, stream: str) -> list[Link]:
        """The live links of one direction; a list, because a removal may close connections."""
        return [c.up if stream == "upstream" else c.down for c in self.connections]

    def as_json(self) -> Mapping[str, object]:
        """As the API shows it: the toxics of upstream first, as in Go."""
        return {
            "name": self.name,
            "listen": self.listen,
            "upstream": self.upstream,
            "enabled": self.enabled,
            "toxics": [toxic.as_json() for stream in STREAMS for toxic in self.toxics_of(stream)],
        }
