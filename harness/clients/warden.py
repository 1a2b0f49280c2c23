"""Ends process groups whose harness has gone: `python -m harness.clients.warden`, one for each process stack.

It reads pids, one a line, from its standard input. When that ends, however the harness died, SIGKILL included, it
ends the group of each. PR_SET_PDEATHSIG would be simpler and wrong: it follows the *thread* that started a child, and
the run loop calls drivers from worker threads that end long before the run does.

A service announces itself: it is started through `ANNOUNCE`, which writes its own pid to the warden before it
becomes the service (exec keeps pid and start time), so there is no instant at which it runs unknown to the warden.
"""

from __future__ import annotations

import signal
import sys

from harness.clients.process import end_groups, is_still, started_at

ANNOUNCE = """
import os, sys
warden = int(sys.argv[1])
os.write(warden, b"%d\\n" % os.getpid())
os.close(warden)
os.execvp(sys.argv[2], sys.argv[2:])
"""


def main() -> None:
    """Collect pids until standard input ends, then end their groups."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # only the end of the harness ends us
    seen = {pid: started_at(pid) for pid in map(int, sys.stdin)}
    end_groups(tuple(pid for pid, began in seen.items() if is_still(pid, began)))


if __name__ == "__main__":
    main()
