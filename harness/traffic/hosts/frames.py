"""The signed messages of a joined host's connection.

    length (4 bytes, of what follows)  signature (32 bytes)  kind (1 byte)  payload

The signature is an HMAC-SHA256 (RFC 2104) over the message's number and content under a key of its direction: what
is changed, dropped, repeated, reordered or reflected on the way is refused. Nothing is encrypted.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from enum import Enum

HEAD = struct.Struct("!I")
_NUMBER = struct.Struct("!Q")
_SIGNATURE = 32
MOST_BYTES = 1 << 20
"""The largest message; longer things go in pieces of PIECE."""
PIECE = 1 << 18


class Kind(Enum):
    """What a message is. A stream's number is in its first four bytes."""

    RECORD = b"J"
    ARCHIVE = b"A"
    CHANNEL = b"C"
    STREAM = b"Z"
    STREAM_END = b"z"
    LOG = b"L"


class Forged(ValueError):
    """A message that its sender did not write, or not now."""


class Seal:
    """Signs the messages of one direction, in order."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._number = 0

    def message(self, kind: Kind, payload: bytes) -> bytes:
        """The whole message as it goes on the wire. Raises ValueError when it is too large."""
        content = kind.value + payload
        if len(content) + _SIGNATURE > MOST_BYTES:
            raise ValueError(f"a message of {len(content)} bytes; at most {MOST_BYTES} go at once")
        signed = self._sign(content)
        return HEAD.pack(len(signed) + len(content)) + signed + content

    def open(self, body: bytes) -> tuple[Kind, bytes]:
        """Kind and payload of a message without its length. Raises Forged."""
        signed, content = body[:_SIGNATURE], body[_SIGNATURE:]
        if not hmac.compare_digest(signed, self._sign(content)):
            raise Forged("a message that is not signed by the other side, or not in its turn")
        try:
            return Kind(content[:1]), content[1:]
        except ValueError as error:
            raise Forged(f"a message of unknown kind {content[:1]!r}") from error

    def _sign(self, content: bytes) -> bytes:
        number = _NUMBER.pack(self._number)
        self._number += 1
        return hmac.new(self._key, number + content, hashlib.sha256).digest()


def length_of(head: bytes) -> int:
    """How long the body is. Raises Forged when no message of ours is so long."""
    (length,) = HEAD.unpack(head)
    if not _SIGNATURE < length <= MOST_BYTES:
        raise Forged(f"a message of {length} bytes")
    return int(length)
