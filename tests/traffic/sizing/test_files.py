"""Open files: as many as this process may have."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from harness.traffic.sizing import files
from harness.traffic.sizing.files import MOST_FILES, files_at_most

RAISE = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 512))
from harness.traffic.sizing import files
from pathlib import Path
files._STATUS, files._NR_OPEN = Path(sys.argv[1]), Path(sys.argv[2])
promised = files.files_at_most()
print(promised, files.raise_file_limit(), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def raised(tmp_path: Path, capabilities: int, nr_open: str = "1048576") -> list[int]:
    """In a process with hard limit 512: what was promised, what was returned, and the limits afterwards."""
    status, bound = tmp_path / "status", tmp_path / "nr_open"
    status.write_text(f"Name:\tx\nCapEff:\t{capabilities:016x}\n")
    bound.write_text(nr_open)
    command = [sys.executable, "-c", RAISE, str(status), str(bound)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    return [int(word) for word in done.stdout.split()]


def test_without_the_capability_the_hard_limit_is_all(tmp_path: Path) -> None:
    """The soft limit is raised to it."""
    assert raised(tmp_path, capabilities=0) == [512, 512, 512, 512]


def test_with_the_capability_the_hard_limit_is_raised_too(tmp_path: Path) -> None:
    """As far as the kernel lets anybody, and no further than is of use; 512 where it does not let us after all."""
    promised, *found = raised(tmp_path, capabilities=1 << 24, nr_open="1024")
    assert promised == 1024
    assert found in ([1024] * 3, [512] * 3)
    assert raised(tmp_path, capabilities=1 << 24, nr_open="100000000")[0] == MOST_FILES


def test_a_limit_that_is_high_enough_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is it lowered."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4_000_000))
    monkeypatch.setattr(files, "_raised_to", lambda: MOST_FILES)
    assert files_at_most() == 4_000_000
