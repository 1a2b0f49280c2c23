"""Death at every instant: a counter that all doors share, and which ends us after the n-th thing done outside."""

from __future__ import annotations

from typing import Any


class Died(BaseException):
    """As by SIGKILL: nothing of ours runs any more, no `except Exception` included."""


class Fate:
    """Dies after `at` steps; 0: never."""

    def __init__(self, at: int = 0) -> None:
        self.at = at
        self.steps = 0

    def step(self) -> None:
        """Something has been done outside."""
        self.steps += 1
        if self.steps == self.at:
            raise Died


class Door:
    """Any door; each of its calls is a step once it has been made."""

    def __init__(self, inner: Any, fate: Fate) -> None:
        self._inner = inner
        self._fate = fate

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not callable(found):
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            result = found(*args, **kwargs)
            self._fate.step()
            return result

        return call
