"""`python -m harness`, and the entry point of the `harness` command."""

from __future__ import annotations

import sys

from harness.cli import cli
from harness.errors import ExitCode


def main() -> None:
    """Run the command line; the exit code is from errors.ExitCode."""
    try:
        code = cli.main(standalone_mode=False)
    except KeyboardInterrupt:
        code = ExitCode.INTERRUPTED
    except BaseException as error:  # noqa: BLE001 - the last place: told to the user in one message
        from harness.cli import explain

        code = explain(error)
    sys.exit(int(code or 0))


if __name__ == "__main__":
    main()
