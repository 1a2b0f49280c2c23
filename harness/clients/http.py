"""One HTTP call with a limit on time and size, past no proxy: readiness checks, metric pages, faults by HTTP."""

from __future__ import annotations

import base64
import http.client
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

from harness.clock import SystemClock
from harness.errors import EnvironmentBroke
from harness.units import NS_PER_S

_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """An answer: status and text (at most the limit asked for)."""

    status: int
    text: str


def get(url: str, *, timeout_s: float, limit_bytes: int = 1 << 20) -> Page:
    """The page at an http or https URL, redirects not followed. Raises EnvironmentBroke."""
    return ask("GET", url, timeout_s=timeout_s, limit_bytes=limit_bytes)


def ask(
    method: str,
    url: str,
    *,
    timeout_s: float,
    body: str = "",
    headers: Mapping[str, str] | None = None,
    limit_bytes: int = 1 << 20,
) -> Page:
    """The answer to one call, redirects not followed. Raises EnvironmentBroke.

    The time limit is for the whole exchange: a server that sends a byte a second does not hold us.
    """
    parts = urlsplit(url)
    shown = f"{method} {parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    clock = SystemClock()
    connection = _connection(parts, timeout_s)
    try:
        connection.connect()
        connection.sock.settimeout(max(0.001, timeout_s - clock.now() / NS_PER_S))
        connection.request(method, path, body=body.encode() or None, headers={**_headers(parts), **(headers or {})})
        with connection.getresponse() as answer:
            received = b""
            while chunk := answer.read1(_CHUNK):
                received += chunk
                if len(received) > limit_bytes:
                    raise EnvironmentBroke(f"{shown}: over {limit_bytes} bytes", hint="is this the right page?")
                if clock.now() > timeout_s * NS_PER_S:
                    raise TimeoutError
            return Page(status=answer.status, text=received.decode(errors="replace"))
    except TimeoutError:
        raise EnvironmentBroke(f"{shown}: no answer within {timeout_s:g} s") from None
    except (OSError, http.client.HTTPException) as error:
        raise EnvironmentBroke(f"{shown}: {getattr(error, 'strerror', None) or repr(error)}") from error
    finally:
        connection.close()


def _connection(parts: SplitResult, timeout_s: float) -> http.client.HTTPConnection:
    host = parts.hostname or ""
    if parts.scheme == "https":
        return http.client.HTTPSConnection(host, parts.port, timeout=timeout_s, context=ssl.create_default_context())
    return http.client.HTTPConnection(host, parts.port, timeout=timeout_s)


def _headers(parts: SplitResult) -> dict[str, str]:
    """A password in the URL becomes a header; it is never in a message of ours."""
    if parts.username is None:
        return {}
    secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
    return {"Authorization": "Basic " + base64.b64encode(secret).decode()}
