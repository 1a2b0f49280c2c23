"""What tests need instead of the world: journals of runs that never happened. Public: ours and our users'."""

from harness.testing.journals import JournalBuilder, encoded
from harness.testing.ladder import ShopModel, ladder_document, synthetic_ladder

__all__ = ["JournalBuilder", "ShopModel", "encoded", "ladder_document", "synthetic_ladder"]
