"""What a Toxiproxy server reports, as values; and how it fails."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.errors import EnvironmentBroke

_SAME_HOSTS = ({"localhost", "127.0.0.1", "[::1]"}, {"", "0.0.0.0", "[::]"})  # noqa: S104 - Go reports 0.0.0.0 as [::]
_METRIC = re.compile(r"^toxiproxy_proxy_(received|sent)_bytes_total\{(.*)\} (\S+)$")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r"\\(.)")


class ToxiproxyError(EnvironmentBroke):
    """The server refused, or a change did not take. `status` is the HTTP status, None when there was none."""

    def __init__(self, message: str, *, status: int | None = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status


class ToxiproxySilent(ToxiproxyError):
    """The server cannot be reached or did not answer in time: whether a change took is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Toxic:
    """A toxic as the server reports it. Attributes carry Toxiproxy's own units (ms, KB/s, bytes, us)."""

    name: str
    kind: str
    stream: str
    toxicity: float
    attributes: Mapping[str, int]

    def is_as(self, wanted: Toxic) -> bool:
        """Whether it is what was asked for; the server keeps toxicity as a 32 bit float."""
        return (
            (self.name, self.kind, self.stream) == (wanted.name, wanted.kind, wanted.stream)
            and abs(self.toxicity - wanted.toxicity) < 1e-6
            and all(self.attributes.get(key) == value for key, value in wanted.attributes.items())
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """A proxy as the server reports it; `listen` carries the port that was really taken."""

    name: str
    listen: str
    upstream: str
    enabled: bool
    toxics: tuple[Toxic, ...] = ()

    def serves(self, listen: str, upstream: str) -> bool:
        """Whether it is the proxy from `listen` to `upstream`; a port of 0 stands for any."""
        host, _, port = listen.rpartition(":")
        own_host, _, own_port = self.listen.rpartition(":")
        same_host = host == own_host or any({host, own_host} <= hosts for hosts in _SAME_HOSTS)
        return same_host and port in {"0", own_port} and upstream == self.upstream


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkBytes:
    """Bytes that one direction of a proxy took in and gave out since the server started.

    The Go server adds the bytes of a connection when it ends, the embedded one as they pass.
    """

    proxy: str
    stream: str
    received_bytes: int
    sent_bytes: int


def proxy_of(value: object) -> Proxy:
    """A proxy from the server's JSON. Raises ToxiproxyError when it is something else."""
    match value:
        case {
            "name": str(name),
            "listen": str(listen),
            "upstream": str(upstream),
            "enabled": bool(enabled),
            "toxics": [*toxics],
        }:
            return Proxy(
                name=name,
                listen=listen,
                upstream=upstream,
                enabled=enabled,
                toxics=tuple(toxic_of(toxic) for toxic in toxics),
            )
    raise ToxiproxyError(f"the server sent this for a proxy: {str(value)[:200]}")


def toxic_of(value: object) -> Toxic:
    """A toxic from the server's JSON. Raises ToxiproxyError when it is something else."""
    match value:
        case {
            "name": str(name),
            "type": str(kind),
            "stream": str(stream),
            "toxicity": float() | int() as toxicity,
            "attributes": dict(attributes),
        }:
            return Toxic(name=name, kind=kind, stream=stream, toxicity=float(toxicity), attributes=attributes)
    raise ToxiproxyError(f"the server sent this for a toxic: {str(value)[:200]}")


def link_bytes_of(lines: Iterable[str]) -> tuple[LinkBytes, ...]:
    """Bytes by proxy and direction from the Prometheus text format; a restarted proxy adds to its old self."""
    counts: Counter[tuple[str, str, str]] = Counter()
    links: dict[tuple[str, str], None] = {}
    for line in lines:
        if match := _METRIC.match(line):
            labels = {key: _ESCAPED.sub(r"\1", value) for key, value in _LABEL.findall(match[2])}
            link = (labels["proxy"], labels["direction"])
            links[link] = None
            counts[*link, match[1]] += round(float(match[3]))
    return tuple(
        LinkBytes(
            proxy=proxy,
            stream=stream,
            received_bytes=counts[proxy, stream, "received"],
            sent_bytes=counts[proxy, stream, "sent"],
        )
        for proxy, stream in sorted(links)
    )
