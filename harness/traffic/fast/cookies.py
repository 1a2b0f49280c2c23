"""The cookies of one user: what RFC 6265 asks of a client, without the price of http.cookiejar on each request.

Nothing is spent until a server sets a cookie. A cookie goes back to the host that set it, or to the Domain it names
if that is the host or a parent of it; under its Path; over TLS only if Secure; until Max-Age or Expires is over.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from email.utils import parsedate_to_datetime

_LONGEST_S = 10**10
_OCTETS = re.compile(r"[\t\x20-\x3a\x3c-\x7e\x80-\xff]*").fullmatch


class Cookie:
    """One cookie. `ends_s` is the wall clock at which it is over, infinity for one of the session."""

    __slots__ = ("domain", "ends_s", "host_only", "path", "secure", "value")

    def __init__(self, value: str, domain: str, path: str, *, host_only: bool, secure: bool, ends_s: float) -> None:
        self.value = value
        self.domain = domain
        self.path = path
        self.host_only = host_only
        self.secure = secure
        self.ends_s = ends_s


class Cookies:
    """A user's cookies by (domain, path, name)."""

    __slots__ = ("_jar",)

    def __init__(self) -> None:
        self._jar: dict[tuple[str, str, str], Cookie] = {}

    def __len__(self) -> int:
        return len(self._jar)

    def get(self, name: str, default: str | None = None) -> str | None:
        """The value of a cookie, whatever host it belongs to."""
        return next((cookie.value for (_, _, key), cookie in self._jar.items() if key == name), default)

    def set(self, name: str, value: str, *, domain: str, path: str = "/") -> None:
        """Put a cookie for exactly one host. Raises ValueError for what would end its header line."""
        if not (_OCTETS(name) and _OCTETS(value)):
            raise ValueError(f"a cookie that cannot be sent: {name!r}={value!r}")
        made = Cookie(value, domain.lower(), path, host_only=True, secure=False, ends_s=float("inf"))
        self._jar[made.domain, path, name] = made

    def clear(self) -> None:
        """Forget them all."""
        self._jar.clear()

    def keep(self, lines: Iterable[str], host: str, path: str) -> None:
        """Take the Set-Cookie lines of an answer from `host` to a request for `path`."""
        for line in lines:
            self._keep(line, host, path)

    def header(self, host: str, path: str, *, tls: bool) -> str:
        """The value of the Cookie header for a request; empty when there is none to send. Longer paths go first."""
        now_s = time.time()
        sent = []
        for key, cookie in list(self._jar.items()):
            if cookie.ends_s <= now_s:
                del self._jar[key]
            elif (not cookie.secure or tls) and _domain_fits(cookie, host) and _path_fits(cookie.path, path):
                sent.append((-len(cookie.path), f"{key[2]}={cookie.value}"))
        sent.sort(key=lambda entry: entry[0])
        return "; ".join(text for _, text in sent)

    def _keep(self, line: str, host: str, request_path: str) -> None:
        pair, *rest = line.split(";")
        name, equals, value = pair.partition("=")
        name = name.strip()
        if not equals or not name:
            return
        said = {}
        for part in rest:
            attribute, _, text = part.partition("=")
            said[attribute.strip().lower()] = text.strip()
        domain = said.get("domain", "").lower().lstrip(".")
        if domain and domain != host and (not host.endswith("." + domain) or "." not in domain):
            return  # a cookie for somebody else, or for a whole top-level domain
        path = said.get("path", "")
        if not path.startswith("/"):
            path = request_path.partition("?")[0].rpartition("/")[0] or "/"
        ends_s = _end(said)
        key = (domain or host, path, name)
        if ends_s <= time.time():
            self._jar.pop(key, None)
            return
        self._jar[key] = Cookie(
            value.strip(), domain or host, path, host_only=not domain, secure="secure" in said, ends_s=ends_s
        )


def _end(said: dict[str, str]) -> float:
    """When a cookie is over: Max-Age wins over Expires, and what cannot be read is not there (RFC 6265, 5.2)."""
    try:
        age_s = int(said["max-age"])
        return time.time() + min(max(age_s, -_LONGEST_S), _LONGEST_S)
    except (KeyError, ValueError):
        pass
    try:
        return parsedate_to_datetime(said["expires"]).timestamp()
    except (KeyError, ValueError, TypeError, OverflowError):
        return float("inf")


def _domain_fits(cookie: Cookie, host: str) -> bool:
    return host == cookie.domain or (not cookie.host_only and host.endswith("." + cookie.domain))


def _path_fits(cookie_path: str, path: str) -> bool:
    path = path.partition("?")[0]
    return path == cookie_path or (
        path.startswith(cookie_path) and (cookie_path.endswith("/") or path[len(cookie_path)] == "/")
    )
