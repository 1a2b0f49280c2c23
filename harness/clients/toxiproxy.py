"""The one Toxiproxy client, for the Go server and the embedded one. Every change is read back before it counts."""

from __future__ import annotations

from collections.abc import Mapping
from shlex import quote as shell_quoted
from typing import Literal
from urllib.parse import quote, urlsplit

from harness.clients.toxiproxy_model import (
    LinkBytes,
    Proxy,
    Toxic,
    ToxiproxyError,
    link_bytes_of,
    proxy_of,
    toxic_of,
)
from harness.clients.toxiproxy_process import Serving
from harness.errors import BadInput

TIMEOUT_S = 5.0
OWN_PREFIX = "harness-"
"""Proxies whose names start so are ours: they may be replaced. Others are somebody's, and are left alone."""


class Toxiproxy:
    """A Toxiproxy server at `host:port` or `http://host:port`. Holds no connection; threads may share it.

    A call takes `timeout_s` at most, all calls `in_all_s` from now on. `serving` is its process when we started it.
    """

    def __init__(
        self,
        address: str,
        *,
        timeout_s: float = TIMEOUT_S,
        in_all_s: float | None = None,
        serving: Serving | None = None,
    ) -> None:
        from harness.clients.toxiproxy_http import Calls

        self._calls = Calls(*_host_and_port(address), timeout_s, in_all_s)
        self.address = self._calls.address
        self.serving = serving

    def version(self) -> str:
        """The version that the server reports."""
        return str(self._calls.value("get", "/version").get("version", ""))

    def proxies(self) -> dict[str, Proxy]:
        """All proxies by name, with their toxics."""
        return {name: proxy_of(value) for name, value in self._calls.value("get", "/proxies").items()}

    def proxy(self, name: str) -> Proxy | None:
        """One proxy, None when there is none of that name."""
        try:
            return proxy_of(self._calls.value("get", _path(name)))
        except ToxiproxyError as error:
            if error.status == 404:
                return None
            raise

    def create_proxy(self, name: str, listen: str, upstream: str) -> Proxy:
        """Make a proxy, or keep the one that is the same. A different one is replaced if ours, else refused."""
        found = self.proxy(name)
        if found is not None and found.enabled and found.serves(listen, upstream):
            return found
        if found is not None:
            if not name.startswith(OWN_PREFIX):
                raise ToxiproxyError(
                    f"Toxiproxy at {self.address} has a proxy {name!r} from {found.listen} to {found.upstream}"
                    f"{'' if found.enabled else ', disabled'}; wanted one from {listen} to {upstream}",
                    status=409,
                    hint="it is not ours and was left alone: use another name, or delete that proxy yourself",
                )
            self.delete_proxy(name)
        self._calls.text("post", "/proxies", {"name": name, "listen": listen, "upstream": upstream})
        made = self.proxy(name)
        if made is None or not made.enabled or not made.serves(listen, upstream):
            raise self._not_taken(f"creating proxy {name!r} from {listen} to {upstream}", made)
        return made

    def replace_proxy(self, name: str, listen: str, upstream: str, *, enabled: bool) -> Proxy:
        """Put a new proxy, without toxics or connections, in the place of one that has another upstream.

        It works where the Go server hangs in all else that concerns a proxy: the old one is dropped as it is.
        """
        wanted = {"name": name, "listen": listen, "upstream": upstream, "enabled": enabled}
        self._calls.text("post", "/populate", [wanted])
        now = self.proxy(name)
        if now is None or now.enabled is not enabled or now.toxics or not now.serves(listen, upstream):
            raise self._not_taken(f"replacing proxy {name!r} by one from {listen} to {upstream}", now)
        return now

    def delete_proxy(self, name: str) -> None:
        """Remove a proxy; one that is not there is fine."""
        self._delete(_path(name))
        if (left := self.proxy(name)) is not None:
            raise self._not_taken(f"deleting proxy {name!r}", left)

    def set_enabled(self, name: str, enabled: bool) -> Proxy:
        """Take a proxy down (its listener and all its connections close), or up again."""
        self._calls.text("post", _path(name), {"enabled": enabled})
        now = self.proxy(name)
        if now is None or now.enabled is not enabled:
            raise self._not_taken(f"{'enabling' if enabled else 'disabling'} proxy {name!r}", now)
        return now

    def toxics(self, proxy: str) -> tuple[Toxic, ...]:
        """The toxics of a proxy, upstream first. Raises ToxiproxyError with status 404 when it is not there."""
        return proxy_of(self._calls.value("get", _path(proxy))).toxics

    def add_toxic(
        self,
        proxy: str,
        name: str,
        kind: str,
        *,
        stream: Literal["upstream", "downstream"] = "downstream",
        toxicity: float = 1.0,
        attributes: Mapping[str, int],
    ) -> Toxic:
        """Put a toxic on a proxy; a name that is taken there is a ToxiproxyError with status 409."""
        wanted = Toxic(name=name, kind=kind, stream=stream, toxicity=toxicity, attributes=dict(attributes))
        body = {
            "name": name, "type": kind, "stream": stream, "toxicity": toxicity, "attributes": wanted.attributes
        }  # fmt: skip
        self._calls.text("post", _path(proxy, "toxics"), body)
        now = toxic_of(self._calls.value("get", _path(proxy, "toxics", name)))
        if not now.is_as(wanted):
            raise self._not_taken(f"adding {wanted}", now)
        return now

    def remove_toxic(self, proxy: str, name: str) -> None:
        """Take a toxic off; one that is not there, on a proxy that may not be there, is fine."""
        self._delete(_path(proxy, "toxics", name))
        found = self.proxy(proxy)
        if found is not None and any(toxic.name == name for toxic in found.toxics):
            raise self._not_taken(f"removing toxic {name!r} from proxy {proxy!r}", found)

    def reset(self) -> None:
        """Enable every proxy and remove every toxic, *those of others too*: only for a server of our own."""
        self._calls.text("post", "/reset", {})
        for proxy in self.proxies().values():
            if proxy.toxics or not proxy.enabled:
                raise self._not_taken("reset", proxy)

    def metrics(self) -> tuple[LinkBytes, ...] | None:
        """Bytes by proxy and direction; None when the server was started without metrics."""
        try:
            return link_bytes_of(self._calls.text("get", "/metrics").splitlines())
        except ToxiproxyError as error:
            if error.status == 404:
                return None
            raise

    def _delete(self, path: str) -> None:
        """DELETE, where "not found" is what was wanted."""
        try:
            self._calls.text("delete", path)
        except ToxiproxyError as error:
            if error.status != 404:
                raise

    def _not_taken(self, change: str, now: object) -> ToxiproxyError:
        """The error for a change that was answered with success and is not there."""
        return ToxiproxyError(f"Toxiproxy at {self.address}: {change} was accepted, but reads back as {now}")


def by_hand_delete(address: str, proxy: str, *rest: str) -> str:
    """What a person types to remove a proxy, or a toxic of it."""
    return f"curl -X DELETE {shell_quoted(f'http://{address}{_path(proxy, *rest)}')}"


def by_hand_enable(address: str, proxy: str) -> str:
    """What a person types to enable a proxy."""
    return f"""curl -X POST -d '{{"enabled": true}}' {shell_quoted(f"http://{address}{_path(proxy)}")}"""


def _path(proxy: str, *rest: str) -> str:
    """The path of a proxy or of what is below it."""
    return "/".join(["/proxies", *(quote(part, safe="") for part in (proxy, *rest))])


def _host_and_port(address: str) -> tuple[str, int]:
    """Host and port of `host:port` or `http://host:port`."""
    try:
        parts = urlsplit(address if "//" in address else f"//{address}", scheme="http")
        host, port = parts.hostname, parts.port or 8474
    except ValueError:
        host, port, parts = None, 0, urlsplit("")
    if not host or parts.scheme != "http" or parts.path not in {"", "/"}:
        raise BadInput(
            f"expected the address of a Toxiproxy server such as http://127.0.0.1:8474, got {address!r}",
            hint="its control API speaks plain HTTP and has no base path",
        )
    return f"[{host}]" if ":" in host else host, port
