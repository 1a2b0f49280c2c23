"""A run that only holds its lease: `python -m tests.reaper.holder LEDGER LOGS LEASE_NS`. Ended from outside."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from harness.ledger import Ledger
from harness.reaper.lease import ReaperLease


def main() -> None:
    """Start a reaper, say so, renew until killed."""
    ledger, logs, lease_ns = sys.argv[1:]
    lease = ReaperLease(Ledger(Path(ledger)), log_dir=Path(logs), drivers=("command",), lease_ns=int(lease_ns))
    lease.start()
    print("held", flush=True)
    while True:
        lease.renew()
        time.sleep(0.2)


if __name__ == "__main__":
    main()
