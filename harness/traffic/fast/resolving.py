"""Addresses of hosts, asked once by all users together and kept for a while."""

from __future__ import annotations

import itertools
import socket
import time
from typing import Any

from gevent.event import AsyncResult
from gevent.socket import getaddrinfo

KEPT_S = 30.0
Address = tuple[int, Any]
_known: dict[tuple[str, int], tuple[float, AsyncResult]] = {}
_turn = itertools.count()


def addresses(host: str, port: int) -> list[Address]:
    """(family, address) of a host, in the order to be tried. Raises OSError (socket.gaierror).

    What the resolver says holds for KEPT_S. Each call begins with the next address of the preferred family, so that
    the connections of many users spread over the machines of a name, as they do when each user asks for itself.
    """
    until_s, answer = _known.get((host, port), (0.0, None))
    if answer is None or time.monotonic() >= until_s:
        answer = AsyncResult()
        _known[host, port] = (time.monotonic() + KEPT_S, answer)
        try:
            found = getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except BaseException as error:
            _known.pop((host, port), None)
            # Those who wait ask again if only this user was stopped, and fail as it did if the name has no address.
            answer.set_exception(error if isinstance(error, OSError) else OSError(f"{host} was not looked up"))
            raise
        answer.set([(family, address) for family, _, _, _, address in found])
    found = answer.get()
    first = [entry for entry in found if entry[0] == found[0][0]]
    turn = next(_turn) % len(first)
    return first[turn:] + first[:turn] + [entry for entry in found if entry[0] != found[0][0]]
