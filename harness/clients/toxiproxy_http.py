"""Calls to a Toxiproxy server: toxiproxy-python's requests, hardened where they are not safe enough.

From the package come the requests and the errors for 400, 404 and 409. Ours are: an address for each client (the
package keeps one for the process), a time limit (it has none), and an error for every other answer of 400 and more
(it takes 500 for success). The limit of `requests` is between two bytes; ours is for the whole call, so each is made
in a thread that may be left behind.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar, cast

import requests
from toxiproxy.api import APIConsumer
from toxiproxy.exceptions import InvalidToxic, NotFound, ProxyExists

from harness.clients.toxiproxy_model import ToxiproxyError, ToxiproxySilent
from harness.clock import SystemClock
from harness.units import NS_PER_S

T = TypeVar("T")

_STATUS: dict[type[Exception], int] = {InvalidToxic: 400, NotFound: 404, ProxyExists: 409}
_NO_HTTP_PROXY = {"http": None, "https": None, "all": None}
"""Without it a call to a loopback address goes through the HTTP_PROXY of the environment."""


class Calls:
    """Requests to one address, each within `timeout_s`, and all of them within `in_all_s` when that is given."""

    def __init__(self, host: str, port: int, timeout_s: float, in_all_s: float | None = None) -> None:
        self.address = f"{host}:{port}"
        self._timeout_s = timeout_s
        self._in_all_s = in_all_s
        self._clock = SystemClock()
        self._consumer = type("Consumer", (APIConsumer,), {"host": host, "port": port})

    def text(self, method: str, path: str, body: Mapping[str, object] | Sequence[object] | None = None) -> str:
        """The body of a successful answer. Raises ToxiproxyError for any other, ToxiproxySilent without one."""
        what = f"Toxiproxy at {self.address}: {method.upper()} {path}"
        limit_s = self._limit_s(what)
        options: dict[str, object] = {"timeout": limit_s, "proxies": _NO_HTTP_PROXY}
        if body is not None:
            options["json"] = body
        try:
            answer = _within(limit_s, lambda: getattr(self._consumer, method)(path, **options))
        except tuple(_STATUS) as error:
            raise _refused(what, _STATUS[type(error)], error.args[0]) from None
        except (requests.RequestException, TimeoutError) as error:
            slow = isinstance(error, (requests.Timeout, TimeoutError))
            raise ToxiproxySilent(
                f"{what}: {f'no answer within {limit_s:.3g} s' if slow else 'no connection'}",
                hint="is it running there? Removing a toxic under load can hang the control port of the Go server"
                if slow
                else "is it running, and is this its control port (8474 by default)?",
            ) from None
        if answer.status_code >= 400:
            raise _refused(what, answer.status_code, answer.content)
        return cast(str, answer.text)

    def _limit_s(self, what: str) -> float:
        """The time that this call may take."""
        if self._in_all_s is None:
            return self._timeout_s
        left_s = self._in_all_s - self._clock.now() / NS_PER_S
        if left_s <= 0:
            raise ToxiproxySilent(f"{what}: not asked, its answers have taken {self._in_all_s:g} s already")
        return min(self._timeout_s, left_s)

    def value(
        self, method: str, path: str, body: Mapping[str, object] | Sequence[object] | None = None
    ) -> dict[str, object]:
        """The JSON object of a successful answer."""
        text = self.text(method, path, body)
        try:
            value = json.loads(text)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise ToxiproxyError(
                f"{self.address} is no Toxiproxy: {method.upper()} {path} gave {text[:80]!r}",
                hint="check the address under `toxiproxy:`; the control port is 8474 by default",
            )
        return value


def _refused(what: str, status: int, content: bytes) -> ToxiproxyError:
    """An error in the server's own words."""
    try:
        words = str(json.loads(content)["error"])
    except (ValueError, TypeError, KeyError):
        words = content.decode(errors="replace").strip()[:200]
    return ToxiproxyError(f"{what}: {status} {words}", status=status)


def _within(limit_s: float, call: Callable[[], T]) -> T:
    """What a call gives or raises; TimeoutError when it does neither in time."""
    given: list[T] = []
    raised: list[Exception] = []

    def make() -> None:
        try:
            given.append(call())
        except Exception as error:  # noqa: BLE001 - carried to the caller
            raised.append(error)

    thread = threading.Thread(target=make, daemon=True, name="toxiproxy-call")
    thread.start()
    thread.join(limit_s)
    if raised:
        raise raised[0]
    if not given:
        raise TimeoutError
    return given[0]
