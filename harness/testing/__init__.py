"""What tests need instead of the world: journals of runs that never happened, and recording fakes on a jumping clock.

Public: ours and our users'.
"""

from harness.testing.fakes import (
    FakeCalls,
    FakeClock,
    FakeFaults,
    FakeJournal,
    FakeLease,
    FakeLedger,
    FakeLinks,
    FakeStack,
    FakeTraffic,
    World,
)
from harness.testing.journals import JournalBuilder, encoded
from harness.testing.ladder import ShopModel, ladder_document, synthetic_ladder

__all__ = [
    "FakeCalls",
    "FakeClock",
    "FakeFaults",
    "FakeJournal",
    "FakeLease",
    "FakeLedger",
    "FakeLinks",
    "FakeStack",
    "FakeTraffic",
    "JournalBuilder",
    "ShopModel",
    "World",
    "encoded",
    "ladder_document",
    "synthetic_ladder",
]
