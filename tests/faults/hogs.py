"""Helpers in memory, as harness.clients.hogs.Hogs has them in the process table."""

# ruff: noqa: D102 - the calls are those of Hogs

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.clients.hogs import Helper, Hogs
from harness.journal import Json
from tests.faults.crash import Fate


class FakeHogs(Hogs):
    """`running` is (mark, work), shared by all that look; each helper that starts or ends is a step."""

    def __init__(self, running: list[tuple[str, Mapping[str, Json]]], fate: Fate | None = None) -> None:
        super().__init__()
        self.running = running
        self.fate = fate or Fate()
        self.dies: Exception | None = None

    def start(self, marked: str, specs: Sequence[Mapping[str, Json]]) -> None:
        for spec in specs:
            self.running.append((marked, spec))
            self.fate.step()
        if self.dies is not None:
            self.running.clear()
            raise self.dies

    def find(self, marked: str) -> tuple[Helper, ...]:
        return tuple(
            Helper(
                pid=number,
                started_at=1.0,
                mark=mark,
                parent=0,
                age_ns=1_000_000_000,
                cpu_ns=500_000_000,
                waited_ns=0,
                rss_bytes=int(str(spec.get("bytes", 0))),
                written_bytes=1,
            )
            for number, (mark, spec) in enumerate(self.running, start=1)
            if mark.startswith(marked)
        )

    def end(self, marked: str) -> None:
        for one in [one for one in self.running if one[0] == marked]:
            self.running.remove(one)
            self.fate.step()
