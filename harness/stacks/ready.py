"""When a service counts as up."""

from __future__ import annotations

from harness.clients import http, tcp
from harness.errors import EnvironmentBroke
from harness.experiment import Ready
from harness.stacks.addresses import host_port

ASK_TIMEOUT_S = 2.0
FORWARDER_S = 0.2
"""How long Docker's port forwarder takes at most to hang up when nobody listens in the container."""
EVERY_NS = 50_000_000
LOG_LINES = 20


def unready(ready: Ready, address: str, *, forwarded: bool = False) -> str:
    """Why the service at host:port is not ready yet; the empty string when it is."""
    host, port = host_port(address)
    if ready.how == "tcp":
        return tcp.refusal(host, port, timeout_s=ASK_TIMEOUT_S, stays_open_s=FORWARDER_S if forwarded else 0)
    try:
        page = http.get(f"http://{host}:{port}{ready.path}", timeout_s=ASK_TIMEOUT_S)
    except EnvironmentBroke as error:
        return str(error)
    return "" if page.status < 400 else f"GET {ready.path} is answered {page.status}"


def last_lines(text: str, *, of: str) -> str:
    """The last lines of a log, as a block for an error message."""
    lines = text.splitlines()[-LOG_LINES:] or ["(nothing)"]
    return "\n".join([f"last lines of {of}:", *(f"  {line}" for line in lines)])
