"""One run on a joined host: the worker process started here, its channel and its messages carried to the harness."""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.traffic.channel import Channel, control, control_of
from harness.traffic.children import LocalChild, end, launch, tail_of
from harness.traffic.hosts.frames import PIECE, Kind
from harness.traffic.hosts.link import Link, LinkLost, read_record
from harness.traffic.hosts.shipment import MOST_BYTES, MOST_FILES, inside, unpack
from harness.traffic.hosts.skew import Offset
from harness.traffic.hosts.streams import Streams, number_of
from harness.traffic.settings import read_settings

Say = Callable[[str], None]
_LOG_BYTES = 1 << 20
_FLUSH_LIMIT_S = 3.0
_MOST_ARCHIVE = MOST_BYTES + MOST_FILES * 2048 + (1 << 16)


class Relay:
    """Serves one run. All that it starts and writes is gone when `serve` returns, whichever way that is."""

    def __init__(self, link: Link, name: str, say: Say) -> None:
        self._link = link
        self._name = name
        self._say = say
        self._streams = Streams(link)
        self._start: dict[str, Any] = {}
        self._archive = bytearray()
        self._child: LocalChild | None = None
        self._listener: socket.socket | None = None
        self._over = threading.Event()
        self._how = ""
        self.refusal: dict[str, Any] = {}

    def serve(self) -> bool:
        """Until the harness lets go. True when a run was served to its end, False when it was cut off."""
        served = False
        with tempfile.TemporaryDirectory(prefix="harness-worker-", ignore_cleanup_errors=True) as folder:
            try:
                while not self.refusal:
                    self._take(*self._link.receive(), Path(folder))
            except LinkLost as error:
                served = self._over.is_set()
                if not served:
                    self._say(f"the harness is gone: {error}")
            finally:
                self._end()
        return served

    @property
    def how(self) -> str:
        """How the worker process ended; empty when none was started."""
        return self._how

    def _take(self, kind: Kind, payload: bytes, folder: Path) -> None:
        try:
            match kind:
                case Kind.RECORD:
                    self._take_record(read_record(payload))
                case Kind.ARCHIVE:
                    self._archive += payload
                case Kind.CHANNEL:
                    self._tell_child(payload.decode())
                case Kind.STREAM:
                    number, data = number_of(payload)
                    self._streams.write(number, data)
                case Kind.STREAM_END:
                    self._streams.ended(number_of(payload)[0])
                case Kind.LOG:
                    raise ValueError("a log from the harness")
            if self._start and self._child is None and len(self._archive) >= self._start["bytes"]:
                self._begin(folder)
        except (KeyError, TypeError, ValueError) as error:
            raise LinkLost(f"it said what cannot be understood: {error!r:.200}") from error

    def _take_record(self, record: dict[str, Any]) -> None:
        if "ping" in record:
            received_ns = time.monotonic_ns()
            self._link.tell({"pong": record["ping"], "there": [received_ns, time.monotonic_ns()]})
        elif "clock" in record:
            self._say(f"this clock against the harness's: {Offset(**record['clock'])}")
        elif "start" in record:
            if not 0 <= record["start"]["bytes"] <= _MOST_ARCHIVE:
                raise ValueError("an archive that no harness sends")
            self._start = record["start"]
        elif "refused" in record:
            self.refusal = record
        elif self._child is not None and "signal" in record:
            self._child.send_signal(int(record["signal"]))
        elif self._child is not None and "hangup" in record:
            self._child.hang_up()

    def _begin(self, folder: Path) -> None:
        """Unpack what came and start the worker process on it."""
        place = folder / "run"
        place.mkdir(mode=0o700)
        unpack(bytes(self._archive), place)
        self._archive.clear()
        cwd = inside(place, self._start["base"])
        cwd.mkdir(parents=True, exist_ok=True)
        settings = replace(read_settings(self._start["settings"]), relayed=True, base_dir=str(cwd))
        if settings.scenario:
            settings = replace(settings, scenario=str(inside(place, settings.scenario)))
        self._say(f"running as worker {settings.worker} (of {settings.workers}, from 0) against {settings.address}")
        self._listener = socket.create_server(("127.0.0.1", 0))
        try:
            self._child = launch(settings, f"worker-{settings.worker}", folder / "logs", cwd=cwd)
        except OSError as error:
            raise LinkLost(f"the worker process could not be started: {error}") from error
        for act, words in ((self._carry, (self._listener,)), (self._hear, (self._child, f"{place}{os.sep}"))):
            threading.Thread(target=act, args=words, daemon=True).start()

    def _tell_child(self, line: str) -> None:
        """Pass on what the harness says; the master's port becomes that of our own door to it."""
        if self._child is None or self._listener is None:
            return
        line = line.rstrip("\n")
        if "port" in (control_of(line) or {}):
            line = control({"port": self._listener.getsockname()[1]})
        with contextlib.suppress(OSError):  # it has ended, which `_hear` tells
            self._child.channel.send_line(line)

    def _carry(self, listener: socket.socket) -> None:
        number = 0
        with contextlib.suppress(OSError):
            while not self._streams.full():
                sock, _ = listener.accept()
                number += 1
                self._streams.add(number, sock)

    def _hear(self, child: LocalChild, place: str) -> None:
        """Pass on what the worker process says; at its end its last messages, its log and how it ended, in this order.

        Places of its copy of the scenario are told as places at this worker.
        """
        said = Channel(child.channel.sock)
        with contextlib.suppress(OSError):
            for line in said.lines():
                self._link.send(Kind.CHANNEL, line.replace(place, f"{self._name}:").encode() + b"\n")
        end([child])
        self._how = child.how_ended()
        with contextlib.suppress(OSError):
            self._streams.wait(_FLUSH_LIMIT_S)
            log = tail_of(child.log, _LOG_BYTES).encode()
            for at in range(0, len(log), PIECE):
                self._link.send(Kind.LOG, log[at : at + PIECE])
            self._over.set()
            self._link.tell({"ended": self._how})

    def _end(self) -> None:
        if self._child is not None:
            end([self._child])
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        self._streams.close()
        self._link.close()
