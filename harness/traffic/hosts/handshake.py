"""Who may join: both sides prove that they know the token, then compare versions. No sockets here.

    harness  {"gate": 1, "nonce": H}
    worker   {"nonce": W, "proof": HMAC(token, "worker" H W)}
    harness  {"proof": HMAC(token, "harness" H W)}          or {"refused": why}
    worker   {"about": {...}}                 signed (frames.py) from here on, with keys made of token, H and W
    harness  {"welcome": {...}}                             or {"refused": why, "hint": what to do}

The token never travels. A stranger learns a nonce and nothing else: the one who joins proves first.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from harness.journal import Json

PROTOCOL = 1
NONCE_BYTES = 32
LEAST_TOKEN = 16
MOST_LINE = 1024
"""Bytes of an unsigned line; a stranger can make us hold no more."""
_HEX = re.compile(r"[0-9a-f]{64}")
_NAME = 63
_WRONG_TOKEN = "the token is not the same on both sides"  # noqa: S105 - words, no token


class Refused(Exception):
    """The other side may not join, or is not who it should be. `reply` is what it is told; `hint` what to do."""

    def __init__(self, why: str, *, hint: str = "") -> None:
        super().__init__(why)
        self.hint = hint

    @property
    def reply(self) -> dict[str, Json]:
        """The record for the other side."""
        return {"refused": str(self), "hint": self.hint}


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """Who joins: versions that must agree with the harness's, and what a person wants to know of a machine."""

    harness: str
    python: str
    locust: str
    name: str
    host: str
    cores: int

    def to_json(self) -> dict[str, Json]:
        """The record of it."""
        return {"about": asdict(self)}


def read_about(record: Mapping[str, Any]) -> About:
    """Turns `to_json` back. Raises Refused."""
    try:
        about = About(**record["about"])
    except (KeyError, TypeError) as error:
        raise Refused("it does not say what it is") from error
    words = (about.harness, about.python, about.locust, about.name, about.host)
    if not (
        all(isinstance(word, str) and len(word) <= _NAME and word.isprintable() for word in words)
        and isinstance(about.cores, int)
    ):
        raise Refused("it does not say what it is")
    return about


def require_same(ours: About, theirs: About) -> None:
    """Raises Refused naming both versions when a worker would not run what the harness runs."""
    hints = {
        "harness": f"install the harness {ours.harness} on the worker's machine",
        "python": f"run the worker with Python {ours.python}",
        "locust": f"on the worker's machine: python -m pip install locust=={ours.locust}",
    }
    for what, hint in hints.items():
        here, there = getattr(ours, what), getattr(theirs, what)
        if here != there:
            raise Refused(f"versions differ: {what} is {here} at the harness, {there} at {theirs.name}", hint=hint)


def require_token(token: str) -> bytes:
    """The token as a key. Raises ValueError when it is too short to keep anybody out."""
    if len(token) < LEAST_TOKEN:
        raise ValueError(f"a token has at least {LEAST_TOKEN} characters, this one has {len(token)}")
    return token.encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The keys of a connection, one for each direction: made of token and nonces, used once."""

    to_worker: bytes
    to_harness: bytes


class HarnessSide:
    """One worker's handshake as the harness sees it."""

    def __init__(self, token: bytes, nonce: bytes) -> None:
        self._token = token
        self._nonce = nonce

    def hello(self) -> dict[str, Json]:
        """The first line."""
        return {"gate": PROTOCOL, "nonce": self._nonce.hex()}

    def prove(self, record: Mapping[str, Any]) -> tuple[dict[str, Json], Keys]:
        """Our proof for one that has proved itself, and the keys. Raises Refused."""
        theirs, proof = _unhex(record.get("nonce")), _unhex(record.get("proof"))
        if not theirs or not proof:
            raise Refused("it does not speak the gate's language")
        if not hmac.compare_digest(proof, _digest(self._token, "worker", self._nonce, theirs)):
            raise Refused(_WRONG_TOKEN, hint="give both the same HARNESS_TOKEN, or --token-file")
        mine = _digest(self._token, "harness", self._nonce, theirs)
        return {"proof": mine.hex()}, _keys(self._token, self._nonce, theirs)


class WorkerSide:
    """The same handshake as the worker sees it."""

    def __init__(self, token: bytes, nonce: bytes) -> None:
        self._token = token
        self._nonce = nonce
        self._theirs = b""

    def prove(self, hello: Mapping[str, Any]) -> dict[str, Json]:
        """Our proof, for the harness's nonce. Raises Refused when that is no harness, or speaks another protocol."""
        self._theirs = _unhex(hello.get("nonce"))
        if not self._theirs:
            raise Refused("what listens there is no harness that waits for workers")
        if hello.get("gate") != PROTOCOL:
            raise Refused(
                f"the harness there speaks protocol {hello.get('gate')!r:.10}, this worker {PROTOCOL}",
                hint="install the same version of the harness on both machines",
            )
        return {"nonce": self._nonce.hex(), "proof": _digest(self._token, "worker", self._theirs, self._nonce).hex()}

    def check(self, record: Mapping[str, Any]) -> Keys:
        """The keys, when the harness has proved itself too. Raises Refused."""
        if "refused" in record:
            raise refusal(record)
        good = _digest(self._token, "harness", self._theirs, self._nonce)
        if not hmac.compare_digest(_unhex(record.get("proof")), good):
            raise Refused(f"what listens there is not our harness: {_WRONG_TOKEN}")
        return _keys(self._token, self._theirs, self._nonce)


def refusal(record: Mapping[str, Any]) -> Refused:
    """The refusal that the other side has told."""
    return Refused(_printable(record["refused"]), hint=_printable(record.get("hint", "")))


def _printable(text: object) -> str:
    """Other people's words as they may go to a terminal: not long, no control characters."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(text)[:300])


def _unhex(text: object) -> bytes:
    """The 32 bytes of a nonce or proof, none when it is something else."""
    return bytes.fromhex(text) if isinstance(text, str) and _HEX.fullmatch(text) else b""


def _digest(key: bytes, what: str, first: bytes, second: bytes) -> bytes:
    return hmac.new(key, what.encode() + b"\0" + first + second, hashlib.sha256).digest()


def _keys(token: bytes, harness: bytes, worker: bytes) -> Keys:
    return Keys(
        to_worker=_digest(token, "to-worker", harness, worker), to_harness=_digest(token, "to-harness", harness, worker)
    )
