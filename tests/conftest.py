"""What every test may use: the parts that may be missing on a machine, and how strict to be about them."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess

import pytest

from harness.clients.netns import Netns

IMAGES = tuple(
    filter(None, (os.environ.get("HARNESS_TEST_IMAGE"), "harness-base:bookworm", "python:3.12-slim", "busybox"))
)


@functools.cache
def local_image() -> str:
    """An image with a shell that is on this machine already; empty when there is none."""
    for name in IMAGES:
        try:
            if not subprocess.run(
                ["docker", "image", "inspect", name], capture_output=True, timeout=20, check=False
            ).returncode:
                return name
        except (OSError, subprocess.TimeoutExpired):
            return ""
    return ""


@pytest.fixture(scope="session")
def image() -> str:
    """The image for containers of tests marked `needs("docker")`."""
    return local_image()


@functools.cache
def missing(part: str) -> str:
    """Why `part` cannot be used here, or the empty string when it can."""
    if part == "docker":
        try:
            done = subprocess.run(
                ["docker", "info", "--format", "{{.ServerVersion}}"],
                capture_output=True,
                text=True,
                timeout=20,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"no Docker client answers: {error}"
        if done.returncode:
            return "no Docker Engine answers"
        return "" if local_image() else f"no image to start containers from: {', '.join(IMAGES)} (make image-base)"
    if part in {"netns", "root"}:
        return "not run as root" if os.geteuid() else Netns().missing() if part == "netns" else ""
    binaries = {
        "toxiproxy": ("toxiproxy-server",),
        "nginx": ("nginx",),
        "dockerd": ("dockerd",),
        "chromium": ("chromium", "chromium-browser"),
    }
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


@pytest.fixture(autouse=True, scope="session")
def _own_state(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Ledgers and locks of tests lie in a folder of their own; never in that of the person who tests."""
    os.environ["HARNESS_STATE"] = str(tmp_path_factory.mktemp("state"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """`pytest --update-golden` writes tests/golden/ anew; the diff is then read by a person."""
    parser.addoption("--update-golden", action="store_true", help="write the golden files anew instead of comparing")
