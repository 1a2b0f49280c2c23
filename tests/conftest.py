"""What every test may use: the parts that may be missing on a machine, and how strict to be about them."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess

import pytest


@functools.cache
def missing(part: str) -> str:
    """Why `part` cannot be used here, or the empty string when it can."""
    if part == "docker":
        try:
            done = subprocess.run(
                ["docker", "info", "--format", "{{.ServerVersion}}"], capture_output=True, text=True, timeout=20, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"no Docker client answers: {error}"
        return "" if done.returncode == 0 else "no Docker Engine answers"
    binaries = {"toxiproxy": ("toxiproxy-server",), "nginx": ("nginx",), "chromium": ("chromium", "chromium-browser")}
    if any(shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin") for name in binaries[part]):
        return ""
    return f"{binaries[part][0]} is not on PATH"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip, with its reason, a test whose part is missing; fail it when HARNESS_REQUIRE names the part."""
    required = set(filter(None, os.environ.get("HARNESS_REQUIRE", "").split(",")))
    for mark in item.iter_markers("needs"):
        for part in mark.args:
            why = missing(part)
            if why and part in required:
                pytest.fail(f"HARNESS_REQUIRE names {part}, but {why}", pytrace=False)
            if why:
                pytest.skip(f"needs {part}: {why}")
