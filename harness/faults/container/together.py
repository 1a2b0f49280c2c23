"""The same thing done to several containers at one time, and every error of it kept."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from harness.errors import EnvironmentBroke, HarnessError
from harness.faults import Before


def together(act: Callable[[Before], None], victims: Sequence[Before]) -> None:
    """Act on each in a thread of its own: three stops of 10 s take 10 s, and all replicas fall at one instant.

    Goes on past failures; raises the one error, or EnvironmentBroke with all of them.
    """
    if len(victims) == 1:
        act(victims[0])
        return
    errors: dict[int, Exception] = {}

    def one(number: int, victim: Before) -> None:
        try:
            act(victim)
        except Exception as error:  # noqa: BLE001 - raised below, in the caller's thread
            errors[number] = error

    # Daemons: a call that hangs in the Engine must not keep the process from ending.
    threads = [threading.Thread(target=one, args=each, daemon=True) for each in enumerate(victims)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    _raise([errors[number] for number in sorted(errors)])


def _raise(errors: Sequence[Exception]) -> None:
    for error in errors:
        if len(errors) == 1 or not isinstance(error, HarnessError):
            raise error
    if errors:
        hints = dict.fromkeys(error.hint for error in errors if isinstance(error, HarnessError) and error.hint)
        raise EnvironmentBroke("; ".join(map(str, errors)), hint="; ".join(hints))
