"""`python -m harness`, and the entry point of the `harness` command."""

from __future__ import annotations

import os
import sys

from harness.cli import cli
from harness.errors import ExitCode


def main() -> None:
    """Run the command line; the exit code is from errors.ExitCode."""
    _open_closed_streams()
    try:
        code = cli.main(standalone_mode=False)
    except KeyboardInterrupt:
        code = ExitCode.INTERRUPTED
    except SystemExit:  # Click's way out when nobody reads standard output any more; there is nobody to tell
        code = ExitCode.BROKEN
    except BaseException as error:  # noqa: BLE001 - the last place: told to the user in one message
        from harness.cli import explain

        code = explain(error)
    sys.exit(int(code or 0))


def _open_closed_streams() -> None:
    """A standard stream that we were started without leads nowhere, instead of into the next file that is opened."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: the stream's own
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))


if __name__ == "__main__":
    main()
