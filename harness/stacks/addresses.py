"""Addresses in the words of an experiment: `{name}` filled in, host and port taken out of a URL."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from harness.errors import BadInput

_PLACE = re.compile(r"(?<!\$)\{([A-Za-z_][\w.-]*)\}")
_PORTS = {"http": 80, "https": 443}


def fill(text: str, places: Mapping[str, str], *, where: str) -> str:
    """`text` with each `{name}` replaced. Raises BadInput that lists the known names when one is unknown."""

    def place(match: re.Match[str]) -> str:
        if match[1] not in places:
            raise BadInput(
                f"{where}: {match[0]} is neither a service nor a proxy",
                hint=f"known here: {', '.join(sorted(places)) or 'nothing'}",
            )
        return places[match[1]]

    return _PLACE.sub(place, text)


def host_port(address: str) -> tuple[str, int]:
    """Host and port of a URL or host:port. Raises BadInput."""
    try:
        parts = urlsplit(address if "//" in address else f"//{address}")
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        parts, port = urlsplit(""), None
    if not parts.hostname or not port:
        raise BadInput(f"expected an address such as 127.0.0.1:8080 or http://127.0.0.1:8080, got {address!r}")
    return parts.hostname, port
