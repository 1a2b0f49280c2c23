"""The token that lets a worker join, and what this machine says of itself when it does."""

from __future__ import annotations

import os
import platform
import secrets
import socket
from importlib.metadata import version
from pathlib import Path

from harness.errors import BadInput
from harness.traffic.children import TOKEN
from harness.traffic.hosts.handshake import About, require_token
from harness.version import VERSION

_HINT = f'make one: python3 -c "import secrets; print(secrets.token_urlsafe(32))", and give it to both as {TOKEN}'


def given_token(file: Path | None) -> bytes:
    """The token of `--token-file`, else of the environment; empty when there is none. Raises BadInput.

    It is taken out of the environment: nothing that this process starts is to see it.
    """
    where, token = TOKEN, os.environ.pop(TOKEN, "")
    if file is not None:
        where = str(file)
        try:
            token = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(f"{file}: the token cannot be read: {error}", hint=_HINT) from error
    if not token and file is None:
        return b""
    try:
        return require_token(token)
    except ValueError as error:
        raise BadInput(f"{where}: {error}", hint=_HINT) from error


def required_token(file: Path | None) -> bytes:
    """As `given_token`, for a side that cannot make one up. Raises BadInput."""
    token = given_token(file)
    if not token:
        raise BadInput(
            f"no token: neither {TOKEN} nor --token-file is given",
            hint="the harness prints the line to type when it waits for workers",
        )
    return token


def made_token() -> bytes:
    """A new token: 256 bits of chance."""
    return secrets.token_urlsafe(32).encode()


def about_this(name: str = "") -> About:
    """This machine and its versions. `name` is for people; the host's name unless given."""
    host = socket.gethostname()[:63]
    major, minor, _ = platform.python_version_tuple()
    return About(
        harness=VERSION,
        python=f"{major}.{minor}",
        locust=version("locust"),
        name=name or host,
        host=host,
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
    )
