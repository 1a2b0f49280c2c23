"""Where workers join: one TCP listener, open from the start of the traffic until all that are expected are there."""

from __future__ import annotations

import ipaddress
import secrets
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable

from harness.errors import BadInput, EnvironmentBroke
from harness.experiment import WorkersSpec
from harness.secrets import remember
from harness.traffic.children import TOKEN
from harness.traffic.hosts.handshake import NONCE_BYTES, About, HarnessSide, Refused, read_about, require_same
from harness.traffic.hosts.link import Link, LinkLost, read_line, send_line
from harness.traffic.hosts.remote import MEASURE_LIMIT_S, Host, is_loopback
from harness.traffic.hosts.token import made_token
from harness.units import NS_PER_S, format_duration

Say = Callable[[str], None]
DEFAULT_PORT = 5557
STRANGER_LIMIT_S = 5.0
"""Whoever has not proved itself by then is sent away."""
_MOST_AT_ONCE = 64
_TOLD_EVERY_S = 10.0
_POLL_S = 0.2


class Gate:
    """Lets workers in. `say` tells the person who waits; `refused` counts who was not let in, by reason."""

    def __init__(self, spec: WorkersSpec, token: bytes, about: About, say: Say) -> None:
        self._spec = spec
        self._made = b"" if token else made_token()
        self._token = token or self._made
        self._about = about
        self._say = say
        self._joined: list[Host] = []
        self._changed = threading.Condition()
        self._pending = threading.BoundedSemaphore(_MOST_AT_ONCE)
        self._listener: socket.socket | None = None
        self._closed = threading.Event()
        self.refused: Counter[str] = Counter()
        remember(self._token.decode())

    @property
    def expect(self) -> int:
        """How many workers have to join."""
        return self._spec.expect

    def open(self) -> str:
        """Begin to listen; returns where, as host:port. Raises BadInput or EnvironmentBroke."""
        host, port = split_address(self._spec.bind)
        try:
            family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
            self._listener = socket.create_server((host, port), family=family, backlog=_MOST_AT_ONCE)
        except OSError as error:
            raise EnvironmentBroke(
                f"workers cannot join at {self._spec.bind}: {error.strerror or error}",
                hint="traffic.workers.bind is host:port, an address of this machine and a free port",
            ) from error
        self._listener.settimeout(_POLL_S)
        threading.Thread(target=self._accept, args=(self._listener,), name="gate", daemon=True).start()
        where = f"{_bracketed(host)}:{self._listener.getsockname()[1]}"
        self._say(f"waiting for {self.expect} workers at {where} ({self._within()}); on each machine type:")
        known = f"{TOKEN}={self._made.decode()} " if self._made else ""
        to_type = where if not _is_any(host) else f"{self._about.host}:{where.rpartition(':')[2]}"
        self._say(f"  {known}harness worker --master {to_type}")
        return where

    def gather(self) -> tuple[Host, ...]:
        """Wait until all have joined. Raises EnvironmentBroke when they have not in time, or when closed meanwhile."""
        deadline_s = time.monotonic() + self._spec.join_within_ns / NS_PER_S
        tell_s = time.monotonic() + _TOLD_EVERY_S
        with self._changed:
            while len(self._alive()) < self.expect:
                if self._closed.is_set():
                    raise EnvironmentBroke("stopped while waiting for workers")
                now_s = time.monotonic()
                if now_s >= deadline_s:
                    raise self._too_few()
                if now_s >= tell_s:
                    tell_s = now_s + _TOLD_EVERY_S
                    self._say(f"waiting for workers: {len(self._joined)} of {self.expect} have joined")
                self._changed.wait(_POLL_S)
            self._closed.set()
            return tuple(self._joined)

    def close(self) -> None:
        """Nobody can join any more, and whoever waits in `gather` stops waiting."""
        self._closed.set()

    def dismiss(self) -> None:
        """Close, and send away whoever has joined: for a start that came to nothing."""
        self.close()
        with self._changed:
            for host in self._joined:
                host.refuse("the harness gave up its run before it began")

    def _within(self) -> str:
        return f"at most {format_duration(self._spec.join_within_ns)}"

    def _too_few(self) -> EnvironmentBroke:
        names = ", ".join(host.about.name for host in self._joined)
        joined = f"{len(self._joined)} of {self.expect} workers joined" + (f" ({names})" if names else "")
        refused = f"; refused: {self.told_refused()}" if self.refused else ""
        return EnvironmentBroke(
            f"{joined} within {format_duration(self._spec.join_within_ns)}{refused}",
            hint="start them first, or give them longer: traffic.workers.within",
        )

    def told_refused(self) -> str:
        """Who was refused, in words."""
        return ", ".join(f"{count} x {why}" for why, count in self.refused.most_common(5))

    def _alive(self) -> list[Host]:
        left = [host for host in self._joined if not host.over.is_set()]
        for host in self._joined:
            if host not in left:
                self._say(f"worker {host.about.name} has left again: {host.how}")
        self._joined = left
        return left

    def _accept(self, listener: socket.socket) -> None:
        with listener:
            while not self._closed.is_set():
                try:
                    sock, peer = listener.accept()
                except OSError:  # nobody came; or one that had left before it was let in
                    continue
                if not self._pending.acquire(blocking=False):
                    self._count("too many at once", peer[0])
                    sock.close()
                    continue
                threading.Thread(target=self._meet, args=(sock, peer[0]), name="gate-meets", daemon=True).start()

    def _meet(self, sock: socket.socket, peer: str) -> None:
        try:
            self._join(sock, peer)
        except Refused as error:
            self._count(str(error), peer)
            self._say(f"a worker from {peer} was refused: {error}")
        except OSError as error:
            self._count("no worker of ours", peer)
            if not isinstance(error, LinkLost):
                sock.close()
        finally:
            self._pending.release()

    def _join(self, sock: socket.socket, peer: str) -> None:
        """Prove, compare versions, measure the clock, then count it as joined. Raises Refused, LinkLost."""
        deadline_s = time.monotonic() + STRANGER_LIMIT_S
        side = HarnessSide(self._token, secrets.token_bytes(NONCE_BYTES))
        try:
            sock.settimeout(STRANGER_LIMIT_S)
            send_line(sock, side.hello())
            proof, keys = side.prove(read_line(sock, deadline_s))
            send_line(sock, proof)
        except Refused as error:
            with sock:
                send_line(sock, error.reply)
            raise
        except OSError:
            sock.close()
            raise
        link = Link(sock, out=keys.to_worker, back=keys.to_harness)
        try:
            about = read_about(link.record())
            require_same(self._about, about)
            link.tell({"welcome": {"harness": self._about.host}})
        except (Refused, LinkLost) as error:
            if isinstance(error, Refused):
                link.tell(error.reply)
            link.close()
            raise
        far = peer != sock.getsockname()[0] and not is_loopback(peer)
        self._admit(Host(link, about, peer, far=far))

    def _admit(self, host: Host) -> None:
        host.open()
        if not host.measured.wait(MEASURE_LIMIT_S):
            host.release("did not answer the pings by which its clock is measured")
            raise LinkLost(host.how)
        with self._changed:
            if self._closed.is_set() or len(self._alive()) >= self.expect:
                host.refuse("the harness has all the workers that it expects")
                return
            self._joined.append(host)
            about = host.about
            self._say(
                f"{about.name} has joined, {len(self._joined)} of {self.expect} workers (host {about.host} at "
                f"{host.address}, {about.cores} cores), its clock {host.offset}"
            )
            self._changed.notify_all()

    def _count(self, why: str, peer: str) -> None:
        with self._changed:
            self.refused[f"{why} (from {peer})"] += 1


def split_address(text: str, *, default_host: str = "127.0.0.1") -> tuple[str, int]:
    """Host and port of host, host:port or [v6]:port; the port is 5557 unless given. Raises BadInput."""
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]") or (":" in host and not host.endswith("]")):
        host, port = text, str(DEFAULT_PORT)
    if not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise BadInput(f"{text}: expected host or host:port", hint=f"for example 10.0.0.5:{DEFAULT_PORT}")
    return host.strip("[]") or default_host, int(port)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _is_any(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False
