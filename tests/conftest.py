"""What every test may use: the parts that may be missing on a machine, and how strict to be about them."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

from harness.clients.netns import Netns

IMAGES = tuple(
    filter(None, (os.environ.get("HARNESS_TEST_IMAGE"), "harness-base:bookworm", "python:3.12-slim", "busybox"))
)

settings.register_profile("no-deadline", deadline=None)  # nothing here depends on how fast a shared machine is
settings.load_profile("no-deadline")


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
    if part in {"docker-python", "netns", "root"}:
        return _lacking(part)
    binaries = {
        "toxiproxy": ("toxiproxy-server",),
        "nginx": ("nginx",),
        "dockerd": ("dockerd",),
        "chromium": ("chromium", "chromium-browser"),
        "postgres": ("postgres",),
        "redis": ("redis-server",),
    }
    off_path = ("/usr/sbin", *map(str, Path("/usr/lib/postgresql").glob("*/bin")))
    if any(shutil.which(name, path=":".join([os.environ.get("PATH", ""), *off_path])) for name in binaries[part]):
        return ""
    return f"{binaries[part][0]} is not on PATH"


def _lacking(part: str) -> str:
    """The same of the parts that are no programs."""
    if part == "docker-python":
        return missing("docker") or _other_python(local_image())
    return "not run as root" if os.geteuid() else Netns().missing() if part == "netns" else ""


def _other_python(name: str) -> str:
    """Why an image cannot run our installed packages: its Python is of another version."""
    ask = "import sys; print('%d.%d' % sys.version_info[:2])"
    command = ["docker", "run", "--rm", "--network", "none", name, "python3", "-c", ask]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{name}: {error}"
    ours = f"{sys.version_info[0]}.{sys.version_info[1]}"
    return "" if done.stdout.strip() == ours else f"{name} has no Python {ours}: {done.stdout or done.stderr:.80}"


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
