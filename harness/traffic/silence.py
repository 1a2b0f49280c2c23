"""Who has fallen silent: two signs of life, told apart, as a pure function of when they were heard.

    beat    twice a second, from a thread of its own: the process is alive and scheduled (a stopped one sends none)
    row     each second, from the event loop: late when the loop is swamped, and then all the seconds come at once

A swamped worker is bad data, which its rows say themselves; a worker without beats is no worker any more.
"""

from __future__ import annotations

from collections.abc import Iterable

BEAT_LIMIT_S = 3.8
ROW_LIMIT_S = 15.0
# A pause of the listener's own says nothing about the others: their signs lie unread.
_OWN_PAUSE_S = 1.0
MASTER = -1


class Silence:
    """Times are seconds of one monotonic clock. Members are workers by number, and the master."""

    def __init__(self, workers: Iterable[int], now_s: float) -> None:
        self._rows = dict.fromkeys(workers, now_s)
        self._beats = {MASTER: now_s, **self._rows}
        self._judged_s = now_s

    def beat(self, member: int, now_s: float) -> None:
        """A member's process is alive."""
        self._beats[member] = now_s

    def row(self, worker: int, now_s: float) -> None:
        """A worker's event loop has reported."""
        self._rows[worker] = now_s

    def judge(self, now_s: float) -> list[tuple[int, str]]:
        """Who is to be given up, and why."""
        pause_s = now_s - self._judged_s
        self._judged_s = now_s
        if pause_s > _OWN_PAUSE_S:
            for heard in (self._beats, self._rows):
                for member in heard:
                    heard[member] += pause_s
        silent = [
            (member, f"no sign of life for {BEAT_LIMIT_S:g} s: stopped, or starved of CPU")
            for member, heard_s in self._beats.items()
            if now_s - heard_s > BEAT_LIMIT_S
        ]
        stuck = [
            (worker, f"its event loop has reported nothing for {ROW_LIMIT_S:.0f} s")
            for worker, heard_s in self._rows.items()
            if now_s - heard_s > ROW_LIMIT_S
        ]
        return silent + stuck
