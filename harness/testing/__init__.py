"""What tests need instead of the world: journals of runs that never happened, and recording fakes on a jumping clock.

Public: ours and our users'.
"""

from harness.testing.arrivals import QueueModel, arrivals_document, synthetic_arrivals
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
    "QueueModel",
    "ShopModel",
    "World",
    "arrivals_document",
    "encoded",
    "ladder_document",
    "synthetic_arrivals",
    "synthetic_ladder",
]
