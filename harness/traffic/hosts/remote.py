"""A joined host as the harness holds it, and the worker process there as one of the harness's children."""

from __future__ import annotations

import contextlib
import ipaddress
import queue
import signal
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from harness.errors import BadInput
from harness.journal import Json, WorkerJoined
from harness.traffic.channel import Channel, control_of
from harness.traffic.children import tail_of
from harness.traffic.hosts.frames import PIECE, Kind
from harness.traffic.hosts.handshake import About
from harness.traffic.hosts.link import Link, LinkLost, read_record
from harness.traffic.hosts.shipment import Shipment
from harness.traffic.hosts.skew import UNSURE_NS, Drift, Offset, Sample, estimate
from harness.traffic.hosts.streams import Streams, number_of
from harness.traffic.settings import ChildSettings

FIRST_PINGS = 8
PING_EVERY_S = 1.0
MEASURE_LIMIT_S = 5.0
MOST_LOG_BYTES = 4 << 20
_CONNECT_LIMIT_S = 2.0
_LAST_WORDS_S = 1.0


class Host:
    """A worker that has proved itself: measured at once, pinged each second, given a run by `begin`."""

    def __init__(self, link: Link, about: About, address: str, *, far: bool) -> None:
        self.about = about
        self.address = address
        self.far = far  # on another machine, so that loopback there is not ours
        self.offset: Offset | None = None
        self.measured = threading.Event()
        self.over = threading.Event()
        self.how = ""
        self._notes: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._link = link
        self._streams = Streams(link)
        self._samples: queue.SimpleQueue[Sample] = queue.SimpleQueue()
        self._theirs: socket.socket | None = None
        self._log: Path | None = None
        self._port = 0

    def open(self) -> None:
        """Begin to listen, and to measure its clock."""
        for act, what in ((self._read, "reads"), (self._watch_clock, "clock")):
            threading.Thread(target=act, name=f"host-{self.about.name}-{what}", daemon=True).start()

    def begin(self, settings: ChildSettings, shipment: Shipment, log: Path) -> RemoteChild:
        """Send the scenario and have the worker process started. Raises LinkLost."""
        offset_ns = self.offset.offset_ns if self.offset else 0
        there = replace(settings, origin_ns=settings.origin_ns + offset_ns, scenario=shipment.scenario)
        ours, self._theirs = socket.socketpair()
        self._log = log
        log.touch()  # local ones have theirs from the start, too
        start: dict[str, Json] = {
            "settings": there.to_json(),
            "bytes": len(shipment.archive),
            "files": shipment.files,
            "base": shipment.base,
        }
        self._link.tell({"start": start})
        for at in range(0, len(shipment.archive), PIECE):
            self._link.send(Kind.ARCHIVE, shipment.archive[at : at + PIECE])
        name = f"worker-{settings.worker}"
        threading.Thread(target=self._forward, args=(self._theirs,), name=f"host-{name}-channel", daemon=True).start()
        if self.over.is_set():  # it left meanwhile, and nobody closed the channel that was not there yet
            self._close_channel()
        return RemoteChild(name=name, worker=settings.worker, channel=Channel(ours), log=log, host=self)

    def tell_signal(self, number: int) -> None:
        """Have the worker process signalled; SIGKILL lets go of the host, which ends the process there."""
        if number == signal.SIGKILL:
            self.release("was given up")
        else:
            with contextlib.suppress(LinkLost):
                self._link.tell({"signal": number})

    def release(self, why: str) -> None:
        """Close the connection: the host ends what it runs for us."""
        self._finish(why)
        self._streams.close()
        self._link.close()

    def noted(self) -> Iterator[str]:
        """What has been noted since the last time."""
        with contextlib.suppress(queue.Empty):
            while True:
                yield self._notes.get_nowait()

    def refuse(self, why: str) -> None:
        """Send it away: it may come again."""
        with contextlib.suppress(LinkLost):
            self._link.tell({"refused": why, "again": True})
        self.release(why)

    def _read(self) -> None:
        try:
            while not self.how:
                self._take(*self._link.receive())
        except LinkLost as error:
            self.release(f"was lost with its host {self.about.name}: {error}")
        except (KeyError, TypeError, ValueError, OSError) as error:
            self.release(f"was lost with its host {self.about.name}: it said what cannot be understood: {error!r:.100}")
        else:
            self._link.close()  # it has said its last

    def _take(self, kind: Kind, payload: bytes) -> None:
        match kind:
            case Kind.CHANNEL:
                if self._theirs is not None:
                    with contextlib.suppress(OSError):  # we have hung up
                        self._theirs.sendall(payload)
            case Kind.STREAM:
                number, data = number_of(payload)
                if not self._streams.knows(number):
                    self._connect(number)
                self._streams.write(number, data)
            case Kind.STREAM_END:
                self._streams.ended(number_of(payload)[0])
            case Kind.LOG:
                self._keep_log(payload)
            case Kind.RECORD:
                self._take_record(read_record(payload))
            case Kind.ARCHIVE:
                raise ValueError("an archive from a worker")

    def _take_record(self, record: dict[str, Any]) -> None:
        if "pong" in record:
            received_ns = time.monotonic_ns()
            there, back = (int(reading) for reading in record["there"])
            self._samples.put(
                Sample(
                    sent_ns=int(record["pong"]),
                    received_there_ns=there,
                    answered_there_ns=back,
                    received_ns=received_ns,
                )
            )
        elif "ended" in record:
            self._finish(str(record["ended"])[:200])

    def _connect(self, number: int) -> None:
        """The worker process there has connected to its master: so do we, on loopback."""
        if self._port and not self._streams.full():
            with contextlib.suppress(OSError):  # the master is gone, which the listener finds out by itself
                sock = socket.create_connection(("127.0.0.1", self._port), timeout=_CONNECT_LIMIT_S)
                sock.settimeout(None)
                self._streams.add(number, sock)

    def _forward(self, theirs: socket.socket) -> None:
        """What the harness tells the worker, until it hangs up."""
        with contextlib.suppress(OSError):
            for line in Channel(theirs).lines():
                record = control_of(line) or {}
                self._port = int(record.get("port", self._port))
                self._link.send(Kind.CHANNEL, line.encode() + b"\n")
            self._link.tell({"hangup": True})

    def _watch_clock(self) -> None:
        samples: list[Sample] = []
        drift: Drift | None = None
        while not self.over.is_set():
            try:
                self._link.tell({"ping": time.monotonic_ns()})
                sample = self._samples.get(timeout=PING_EVERY_S)
            except LinkLost:
                return  # the reader says how
            except queue.Empty:
                continue
            if drift is not None:
                if told := drift.add(sample):
                    self._notes.put(told)
                self.over.wait(PING_EVERY_S)
                continue
            samples.append(sample)
            if len(samples) == FIRST_PINGS:
                self.offset = estimate(samples)
                drift = Drift(self.offset)
                self._tell_clock(self.offset)

    def _tell_clock(self, offset: Offset) -> None:
        if offset.uncertainty_ns > UNSURE_NS:
            self._notes.put(f"its clock is known only as {offset}: its seconds may be off by as much")
        with contextlib.suppress(LinkLost):
            self._link.tell({"clock": asdict(offset)})
        self.measured.set()

    def _keep_log(self, piece: bytes) -> None:
        if self._log is not None:
            with contextlib.suppress(OSError), self._log.open("ab") as file:
                if file.tell() < MOST_LOG_BYTES:
                    file.write(piece)

    def _finish(self, how: str) -> None:
        self.how = self.how or how
        self.over.set()
        self._close_channel()

    def _close_channel(self) -> None:
        if self._theirs is not None:
            with contextlib.suppress(OSError):
                self._theirs.shutdown(socket.SHUT_RDWR)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteChild:
    """The worker process on a joined host; its channel is carried by the host's link."""

    name: str
    worker: int
    channel: Channel
    log: Path
    host: Host

    def hang_up(self) -> None:
        """Close its channel, which ends it there; its log comes back."""
        with contextlib.suppress(OSError):
            self.channel.sock.shutdown(socket.SHUT_RDWR)
        self.channel.sock.close()

    def send_signal(self, number: int) -> None:
        """Signal it there."""
        self.host.tell_signal(number)

    def exited(self, deadline_s: float) -> bool:
        """Whether its host has said so, or is lost."""
        return self.host.over.wait(max(0.0, deadline_s - time.monotonic()))

    def how_ended(self) -> str:
        """As its host has told, or how the host was lost."""
        return self.host.how if self.host.over.wait(_LAST_WORDS_S) else "closed its channel"

    def log_tail(self) -> str:
        """The end of what its host has sent back."""
        return tail_of(self.log)


def joined(host: Host, worker: int, at_ns: int) -> WorkerJoined:
    """The event of a host that has been given its number."""
    offset = host.offset or Offset(offset_ns=0, uncertainty_ns=0)
    return WorkerJoined(
        at_ns=at_ns,
        worker=worker,
        name=host.about.name,
        host=host.about.host,
        address=host.address,
        cores=host.about.cores,
        offset_ns=offset.offset_ns,
        uncertainty_ns=offset.uncertainty_ns,
    )


def require_reachable(address: str, hosts: Iterable[Host]) -> None:
    """Raises BadInput when the target is on our loopback and a worker is not on this machine: it would meet itself."""
    target = urlsplit(address).hostname or ""
    far = [host for host in hosts if host.far]
    if far and is_loopback(target):
        raise BadInput(
            f"the target's address is {address}: on the worker {far[0].about.name} (at {far[0].address}) that is the "
            "worker's own machine",
            hint="give it an address that the workers reach: `listen:` of a proxy, or that of an external service",
        )


def is_loopback(host: str) -> bool:
    """Whether a name or address means the machine that says it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
