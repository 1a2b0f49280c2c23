"""The private line between the harness and a traffic process: JSON lines over a socket that the child inherits.

A line is a journal event (as in journal.py) or, after an equals sign, a control record with one key, what it is about:

    to a child      {"config": {...}}  first of all, then to a worker {"port": n}, to the master {"load": {...}},
                    {"stop": {"drain_ns": n}}, {"quit": true}
    from a child    {"port": n}  {"joined": k}  {"ready": true}  {"failed": {...}}
                    {"ended": {"worker": k, "unanswered": n}}  {"beat": true} twice a second

The end of the line is news too: whoever is left alone ends. The kernel closes it however a process died.
"""

from __future__ import annotations

import json
import socket
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from harness.journal import Json

_CHUNK = 1 << 16
_CONTROL = "="


def control(record: Mapping[str, Json]) -> str:
    """The line of a control record."""
    return _CONTROL + json.dumps(record, separators=(",", ":"))


def control_of(line: str) -> dict[str, Any] | None:
    """The control record of a line, or None when it is an event."""
    if not line.startswith(_CONTROL):
        return None
    record: dict[str, Any] = json.loads(line[len(_CONTROL) :])
    return record


class Channel:
    """One end. `lines` blocks; `feed` and `drain` are for those who wait for many ends at once."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._buffer = b""
        self._whole: deque[str] = deque()

    def send(self, record: Mapping[str, Json]) -> None:
        """Send a control record. Raises OSError when the other side has gone."""
        self.send_line(control(record))

    def send_line(self, line: str) -> None:
        """Send a line that is ready made, without its newline."""
        self.sock.sendall(line.encode() + b"\n")

    def records(self) -> Iterator[dict[str, Any]]:
        """Control records as they come, until the other side has gone."""
        for line in self.lines():
            record = control_of(line)
            if record is not None:
                yield record

    def feed(self) -> bool:
        """Read what is there. False when the other side has gone."""
        try:
            data = self.sock.recv(_CHUNK)
        except (BlockingIOError, InterruptedError):
            return True
        except OSError:
            return False
        self._buffer += data
        return bool(data)

    def drain(self) -> list[str]:
        """The whole lines read so far, each once."""
        self._split()
        lines = list(self._whole)
        self._whole.clear()
        return lines

    def lines(self) -> Iterator[str]:
        """Lines as they come, until the other side has gone. Who stops in between finds the rest when it asks again:
        two lines may come in one piece, and the second is for another reader.
        """
        while True:
            self._split()
            while self._whole:
                yield self._whole.popleft()
            if not self.feed():
                return

    def _split(self) -> None:
        *lines, self._buffer = self._buffer.split(b"\n")
        self._whole += [line.decode() for line in lines]

    def rebind(self, sock: socket.socket) -> None:
        """Go on with another socket object for the same descriptor, keeping what was read."""
        self.sock = sock
