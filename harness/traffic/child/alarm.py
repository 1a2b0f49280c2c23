"""A timer for the event loop that is exact to some ten microseconds.

libev's own timers wake by epoll's time limit, which counts whole milliseconds, rounded up: half a millisecond late on
average. An arrival's latency counts from its due time, so that would be in every latency. A timerfd (timerfd_create(2))
is a descriptor that becomes readable at an instant of CLOCK_MONOTONIC, in nanoseconds.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from typing import Any

import gevent

_CLOCK_MONOTONIC = 1
_ABSOLUTE = 1
_READABLE = 1
_NS_PER_S = 1_000_000_000


class _Setting(ctypes.Structure):
    """struct itimerspec: the interval (unused), then the instant."""

    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("at_s", ctypes.c_long),
        ("at_ns", ctypes.c_long),
    )


class Alarm:
    """Calls `ring` in the event loop's own greenlet, which must not block. It has to set the next instant, or clear."""

    def __init__(self, ring: Callable[[], None]) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._file = int(libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC))
        if self._file < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._settime = libc.timerfd_settime
        self._settime.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
        self._setting = _Setting()
        self._address = ctypes.addressof(self._setting)
        self._watcher: Any = gevent.get_hub().loop.io(self._file, _READABLE)
        self._watcher.start(ring)

    def set(self, at_ns: int) -> None:
        """Ring at this instant of time.monotonic_ns(), at once when it is past. Replaces the one set before."""
        self._setting.at_s, self._setting.at_ns = divmod(max(1, at_ns), _NS_PER_S)
        self._settime(self._file, _ABSOLUTE, self._address, None)

    def clear(self) -> None:
        """Do not ring."""
        self._setting.at_s = self._setting.at_ns = 0
        self._settime(self._file, _ABSOLUTE, self._address, None)

    def close(self) -> None:
        """Never ring again. A second call does nothing."""
        if self._file >= 0:
            self._watcher.stop()
            self._watcher.close()
            os.close(self._file)
            self._file = -1
