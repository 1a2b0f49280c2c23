"""Calls to a Toxiproxy server: toxiproxy-python's requests, hardened where they are not safe enough.

From the package come the requests and the errors for 400, 404 and 409. Ours are: an address for each client (the
package keeps one for the process), a time limit (it has none), and an error for every other answer of 400 and more
(it takes 500 for success).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import cast

import requests
from toxiproxy.api import APIConsumer
from toxiproxy.exceptions import InvalidToxic, NotFound, ProxyExists

from harness.clients.toxiproxy_model import ToxiproxyError, ToxiproxySilent

_STATUS: dict[type[Exception], int] = {InvalidToxic: 400, NotFound: 404, ProxyExists: 409}
_NO_HTTP_PROXY = {"http": None, "https": None, "all": None}
"""Without it a call to a loopback address goes through the HTTP_PROXY of the environment."""


class Calls:
    """Requests to one address, each within `timeout_s`."""

    def __init__(self, host: str, port: int, timeout_s: float) -> None:
        self.address = f"{host}:{port}"
        self._timeout_s = timeout_s
        self._consumer = type("Consumer", (APIConsumer,), {"host": host, "port": port})

    def text(self, method: str, path: str, body: Mapping[str, object] | None = None) -> str:
        """The body of a successful answer. Raises ToxiproxyError for any other, ToxiproxySilent without one."""
        options: dict[str, object] = {"timeout": self._timeout_s, "proxies": _NO_HTTP_PROXY}
        if body is not None:
            options["json"] = body
        what = f"Toxiproxy at {self.address}: {method.upper()} {path}"
        try:
            answer = getattr(self._consumer, method)(path, **options)
        except tuple(_STATUS) as error:
            raise _refused(what, _STATUS[type(error)], error.args[0]) from None
        except requests.RequestException as error:
            slow = isinstance(error, requests.Timeout)
            raise ToxiproxySilent(
                f"{what}: {f'no answer within {self._timeout_s:g} s' if slow else 'no connection'}",
                hint="is it running there? Removing a toxic under load can hang the control port of the Go server"
                if slow
                else "is it running, and is this its control port (8474 by default)?",
            ) from None
        if answer.status_code >= 400:
            raise _refused(what, answer.status_code, answer.content)
        return cast(str, answer.text)

    def value(self, method: str, path: str, body: Mapping[str, object] | None = None) -> dict[str, object]:
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
