"""Which of this machine's addresses a user connects from.

A connection is told apart by both addresses and both ports (RFC 9293), so from one address to one port of a target
there are only as many as there are local ports: 28,232 by Linux's default. Where addresses were given, users take them
in turn. To a target on loopback Linux has all of 127.0.0.0/8 to connect from: the first users are left to the system,
which takes 127.0.0.1, and each further `LOOPBACK_USERS` of this machine have an address of their own.

These are fewer than half of the ports on purpose: the kernel looks through one half of them, the even ones, before it
takes any of the other (__inet_hash_connect), so that from there on a connect() costs a millisecond instead of 40 us.
"""

from __future__ import annotations

import errno
import functools
import itertools
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

LOOPBACK_USERS = 12_000
LOOPBACK_ADDRESSES = 250
_BIND_ADDRESS_NO_PORT = 24  # IP_BIND_ADDRESS_NO_PORT, ip(7): the port is chosen in connect(), among all that fit
_LOOPBACK = "127."
_LINUX = sys.platform == "linux"
_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")


class Sources:
    """Gives each user its address."""

    def __init__(self) -> None:
        self._given: tuple[str, ...] = ()
        self._each = LOOPBACK_USERS
        self._turn = itertools.count()

    def use(self, given: Sequence[str], workers: int) -> None:
        """Only these addresses, or by the rule for loopback when there are none; so many processes share the ports."""
        self._given = tuple(given)
        self._each = max(1, LOOPBACK_USERS // workers)
        self._turn = itertools.count()

    def next(self) -> str | None:
        """The address of one more user, None: as the system chooses."""
        turn = next(self._turn)
        if self._given:
            return self._given[turn % len(self._given)]
        block = turn // self._each if _LINUX else 0
        return _loopback(block % LOOPBACK_ADDRESSES)

    def fits(self, address: str) -> bool:
        """Whether a user's own address is to be used towards this one: if it was given, else on loopback only."""
        return bool(self._given) or address.startswith(_LOOPBACK)


sources = Sources()


def bind(sock: Any, source: str) -> None:
    """Let this socket connect from `source`. Raises OSError when that is no address of this machine."""
    if _LINUX:
        sock.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
    try:
        sock.bind((source, 0))
    except OSError as error:
        raise OSError(error.errno, f"cannot connect from {source} (traffic: source_addresses): {error}") from error


def trouble_of(code: int, source: str | None, address: str, port: int) -> OSError:
    """Why a connection could not be made; where this machine is short of something, with what to do about it."""
    words = f"{os.strerror(code)}: {address} port {port}"
    if code == errno.EADDRNOTAVAIL:
        words = (
            f"no local port is left from {source or 'this machine'} to {address} port {port} "
            f"({_range()}): give more source_addresses, widen that range, or use more machines"
        )
    return OSError(code, words)


@functools.cache  # one text for all users of an address
def _loopback(block: int) -> str | None:
    return f"127.0.0.{1 + block}" if block else None


def _range() -> str:
    try:
        low, high = _PORTS.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return "the ephemeral ports of the system"
    return f"net.ipv4.ip_local_port_range {low}-{high}"
