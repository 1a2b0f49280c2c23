"""Calls that may hang, each in a daemon thread: a hung one costs a thread, never the run."""

from __future__ import annotations

import threading

from harness.clock import Outbox
from harness.run.loop import Call, Done


class ThreadCalls:
    """Makes each call in a thread of its own and posts its Done."""

    def __init__(self, inbox: Outbox[Done]) -> None:
        self._inbox = inbox

    def submit(self, number: int, call: Call) -> None:
        """Start the call; its answer or error comes through the inbox."""
        threading.Thread(target=self._make, args=(number, call), name=f"call-{number}", daemon=True).start()

    def _make(self, number: int, call: Call) -> None:
        try:
            done = Done(call=number, result=call())
        except Exception as error:  # noqa: BLE001 - carried to the loop, which decides
            done = Done(call=number, error=error)
        self._inbox.put(done)
