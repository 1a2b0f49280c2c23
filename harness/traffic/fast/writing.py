"""Requests as bytes. What does not change from one to the next is made once and shared by all users of a class."""

from __future__ import annotations

import base64
import functools
import ipaddress
import json as json_text
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlencode, urljoin, urlsplit

from harness.version import VERSION

Body = str | bytes | Mapping[str, Any] | Iterable[tuple[str, Any]] | None
_MOST_KEPT = 2000
_READY_TARGET = re.compile(r"/[\x21\x24-\x7e]*").fullmatch
_READY_ESCAPES = "!#$%&'()*+,/:;=?@[]~"
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+").fullmatch
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*").fullmatch
_ABSOLUTE = re.compile(r"https?://", re.IGNORECASE).match
_TYPES = {"json": "application/json", "form": "application/x-www-form-urlencoded"}
_OURS = {"content-length", "transfer-encoding"}


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a connection leads: requests to the same origin may use the same one."""

    tls: bool
    host: str
    port: int

    @property
    def named(self) -> str:
        """Its name in a Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Call:
    """A request as the scenario wrote it, without what only concerns its books."""

    method: str
    url: str
    data: Body = None
    json: Any = None
    headers: Mapping[str, Any] | None = None
    auth: tuple[str | bytes, str | bytes] | None = None
    params: Body = None


@dataclass(frozen=True, slots=True)
class Request:
    """A request as bytes, `ready` to be sent. `head` lacks its empty line, so that a Cookie may still be added."""

    origin: Origin
    method: str
    target: str
    head: bytes
    body: bytes
    ready: bytes
    decodes: bool

    @property
    def url(self) -> str:
        """The absolute URL it asks for."""
        return f"http{'s' if self.origin.tls else ''}://{self.origin.named}{self.target}"


class Writer:
    """Turns calls into requests, relative to a base URL. Raises ValueError for what cannot be sent as asked."""

    def __init__(self, base_url: str, default_headers: tuple[tuple[str, Any], ...] = ()) -> None:
        parts = urlsplit(base_url)
        self.origin = origin_of(base_url)
        self.base_url = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"
        self._prefix = parts.path.rstrip("/")
        self._defaults: dict[str, tuple[str, Any]] = {
            "user-agent": ("User-Agent", f"harness/{VERSION}"),
            "accept": ("Accept", "*/*"),
        }
        if parts.username is not None and parts.password is not None:
            credentials = basic_auth(unquote(parts.username), unquote(parts.password))
            self._defaults["authorization"] = ("Authorization", credentials)
        self._defaults.update({name.lower(): (name, value) for name, value in default_headers})
        self._blocks: dict[Any, bytes] = {}
        self._plain: dict[str, dict[str, Request]] = {}

    def plain(self, method: str, url: str) -> Request:
        """A call that is nothing but a method and a URL: made once."""
        known = self._plain.setdefault(method, {})
        request = known.get(url)
        if request is None:
            request = self.write(Call(method, url))
            if len(known) < _MOST_KEPT:
                known[url] = request
        return request

    def write(self, call: Call) -> Request:
        """Any call."""
        origin, target = self._place(call.url)
        if call.params:
            target += ("&" if "?" in target else "?") + _query(call.params)
        body, kind = _body(call)
        headers = dict(call.headers) if call.headers else {}
        if call.auth is not None:
            headers["Authorization"] = basic_auth(*call.auth)
        head = b"%b %b HTTP/1.1\r\n%b" % (_method(call.method), target.encode(), self._block(origin, kind, headers))
        if body or call.method in {"POST", "PUT", "PATCH"}:
            head += b"Content-Length: %d\r\n" % len(body)
        decodes = b"\r\naccept-encoding:" in head.lower()
        return Request(origin, call.method, target, head, body, head + b"\r\n" + body, decodes)

    def absolute(self, url: str) -> str:
        """The URL with its host."""
        return url if _ABSOLUTE(url) else self.base_url + url

    def _place(self, url: str) -> tuple[Origin, str]:
        if not _ABSOLUTE(url):
            return self.origin, _target(self._prefix + url)
        parts = urlsplit(url)
        return origin_of(url), _target((parts.path or "/") + (f"?{parts.query}" if parts.query else ""))

    def _block(self, origin: Origin, kind: str, headers: Mapping[str, Any]) -> bytes:
        key = (origin, kind, tuple(headers.items()))
        try:
            known = self._blocks.get(key)
        except TypeError:  # a value that has no hash
            raise ValueError(f"a header's value must be text, bytes or a number: {headers}") from None
        if known is None:
            known = self._make_block(origin, kind, headers)
            if len(self._blocks) < _MOST_KEPT:
                self._blocks[key] = known
        return known

    def _make_block(self, origin: Origin, kind: str, headers: Mapping[str, Any]) -> bytes:
        fields = {"host": ("Host", origin.named), **self._defaults}
        if origin != self.origin:
            fields.pop("authorization", None)
        if kind:
            fields["content-type"] = ("Content-Type", _TYPES[kind])
        if kind == "json":
            fields["accept"] = ("Accept", _TYPES[kind])
        fields.update({str(name).lower(): (str(name), value) for name, value in headers.items()})
        return b"".join(
            _line(name, value) for key, (name, value) in fields.items() if value is not None and key != "content-length"
        )


@functools.lru_cache(maxsize=256)
def writer_for(base_url: str, default_headers: tuple[tuple[str, Any], ...]) -> Writer:
    """The writer that all users with this base URL and these headers share."""
    return Writer(base_url, default_headers)


@functools.lru_cache(maxsize=1024)
def origin_of(url: str) -> Origin:
    """The origin of an absolute URL. Raises ValueError."""
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    if scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"not an http:// or https:// URL: {url!r}")
    host = parts.hostname
    # Also what is ASCII: the resolver would raise no OSError for a..b, nor for a label of more than 63 letters.
    host = host.encode("idna").decode("ascii")
    if not re.fullmatch(r"[\w.~-]+|[0-9A-Fa-f:.%\w]+", host, re.ASCII):
        raise ValueError(f"not a host name: {host!r} in {url!r}")
    return Origin(scheme == "https", host, parts.port or (443 if scheme == "https" else 80))


def redirected(call: Call, status: int, location: str, from_url: str) -> Call:
    """The call that a redirect asks for (RFC 9110, 15.4): GET after 303, and after 301 and 302 in answer to POST."""
    url = urljoin(from_url, location)
    headers = dict(call.headers or {})
    if origin_of(url) != origin_of(from_url):
        headers = {
            key: value for key, value in headers.items() if key.lower() not in {"authorization", "cookie", "host"}
        }
    auth = call.auth if origin_of(url) == origin_of(from_url) else None
    if (status == 303 and call.method != "HEAD") or (status in {301, 302} and call.method == "POST"):
        headers = {key: value for key, value in headers.items() if key.lower() != "content-type"}
        return Call("GET", url, headers=headers, auth=auth)
    return Call(call.method, url, call.data, call.json, headers, auth)


def basic_auth(user: str | bytes, password: str | bytes) -> str:
    """The Authorization header of RFC 7617."""
    pair = [part.encode("utf-8") if isinstance(part, str) else part for part in (user, password)]
    return "Basic " + base64.b64encode(b":".join(pair)).decode("ascii")


def is_address(host: str) -> bool:
    """Whether a host is an IP address, which TLS must not be told as a server name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _target(path: str) -> str:
    if _READY_TARGET(path):
        return path
    path = path.partition("#")[0]
    path = path if path.startswith("/") else "/" + path
    return quote(path, safe=_READY_ESCAPES)


def _query(params: Any) -> str:
    return quote(params, safe=_READY_ESCAPES) if isinstance(params, str) else urlencode(params, doseq=True)


def _body(call: Call) -> tuple[bytes, str]:
    """The bytes to send, and "json" or "form" when that is what they are."""
    data = call.data
    if not data and call.json is not None:
        return json_text.dumps(call.json).encode(), "json"
    if data is None:
        return b"", ""
    if isinstance(data, str):
        return data.encode(), ""
    if isinstance(data, bytes | bytearray | memoryview):
        return bytes(data), ""
    return urlencode(list(data.items()) if isinstance(data, Mapping) else list(data), doseq=True).encode(), "form"


def _method(method: str) -> bytes:
    if not _TOKEN(method):
        raise ValueError(f"not a method: {method!r}")
    return method.encode("ascii")


def _line(name: str, value: Any) -> bytes:
    if name.lower() in _OURS - {"content-length"}:
        raise ValueError(f"{name} is set by the client: give the whole body as data")
    text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
    if not _TOKEN(name) or not _VALUE(text):
        raise ValueError(f"a header that cannot be sent: {name!r}: {text!r}")
    return f"{name}: {text}\r\n".encode("latin-1")
