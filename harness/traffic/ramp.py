"""The line of users as a pure function of time: who is there when, and at which instant that changes.

users                     ____  to        user i is there while the line is at or above i + 0.5, so the number
  |                  ____/                of users is never further than half a user from the line
  |             ____/
  |  from _____/                          workers share out the users i among them (mix.py) and so follow one
  +------|-----------------|---> t        line without talking to each other
       at_ns         at_ns + ramp_ns
"""

from __future__ import annotations

from harness.traffic import Load


def wanted(load: Load, now_ns: int) -> int:
    """How many users the line wants at `now_ns`: its value rounded, a half up."""
    elapsed_ns = now_ns - load.at_ns
    if elapsed_ns >= load.ramp_ns:
        return int(load.level_to if elapsed_ns >= 0 else load.level_from)
    start, end = int(load.level_from), int(load.level_to)
    if elapsed_ns <= 0:
        return start
    climbed = start * load.ramp_ns + (end - start) * elapsed_ns
    return (2 * climbed + load.ramp_ns) // (2 * load.ramp_ns)


def crossing_ns(load: Load, index: int) -> int:
    """The first instant at which the line has user `index` come (rising) or gone (falling); `at_ns` when flat."""
    start = int(load.level_from)
    slope = int(load.level_to) - start
    if slope == 0 or load.ramp_ns == 0:
        return load.at_ns
    ahead = (2 * index + 1 - 2 * start) * load.ramp_ns
    elapsed_ns = -(-ahead // (2 * slope)) if slope > 0 else ahead // (2 * slope) + 1
    return load.at_ns + min(max(elapsed_ns, 0), load.ramp_ns)
