"""One HTTP GET with a limit on time and size, past no proxy: for readiness checks and metric pages."""

from __future__ import annotations

import base64
import http.client
import ssl
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
    """The page at an http or https URL, redirects not followed. Raises EnvironmentBroke.

    The time limit is for the whole exchange: a server that sends a byte a second does not hold us.
    """
    parts = urlsplit(url)
    shown = f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"
    clock = SystemClock()
    connection = _connection(parts, timeout_s)
    try:
        connection.request(
            "GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), headers=_headers(parts)
        )
        with connection.getresponse() as answer:
            body = b""
            while chunk := answer.read1(_CHUNK):
                body += chunk
                if len(body) > limit_bytes:
                    raise EnvironmentBroke(f"GET {shown}: over {limit_bytes} bytes", hint="is this the right page?")
                if clock.now() > timeout_s * NS_PER_S:
                    raise TimeoutError
            return Page(status=answer.status, text=body.decode(errors="replace"))
    except TimeoutError:
        raise EnvironmentBroke(f"GET {shown}: no answer within {timeout_s:g} s") from None
    except (OSError, http.client.HTTPException) as error:
        raise EnvironmentBroke(f"GET {shown}: {getattr(error, 'strerror', None) or repr(error)}") from error
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
