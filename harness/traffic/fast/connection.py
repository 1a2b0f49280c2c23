"""One connection to a server, in the event loop of gevent: a persistent watch instead of a wait for each read.

The watch on the socket is started once, when it is connected, and stays. While an answer is due its callback reads,
feeds the reader and wakes the greenlet once, when the answer has ended. While none is due the same watch sees the
server close the connection, so that nothing has to be asked before it is used again.
"""

from __future__ import annotations

import errno
import socket
import ssl
import time
from _socket import socket as NativeSocket  # noqa: N812 - a class; the cooperative one would watch a second time
from typing import Any

import gevent
from gevent import getcurrent

from harness.traffic.fast.mistakes import ConnectionClosed
from harness.traffic.fast.reader import Reader
from harness.traffic.fast.resolving import addresses
from harness.traffic.fast.sources import bind, sources, trouble_of
from harness.traffic.fast.writing import Origin, is_address

_BLOCK = 16_384
_READ, _WRITE = 1, 2
_hub = gevent.get_hub()
_park = _hub.switch
_clock_ns = time.monotonic_ns


class _Sleeper:
    """A greenlet that waits for a callback of the event loop."""

    __slots__ = ("_greenlet",)

    def __init__(self) -> None:
        self._greenlet: Any = None

    def wait(self) -> None:
        """Until somebody calls `wake`."""
        self._greenlet = getcurrent()
        try:
            _park()
        finally:
            self._greenlet = None

    def wake(self) -> None:
        """Go on: what was waited for is there."""
        greenlet, self._greenlet = self._greenlet, None
        if greenlet is not None:
            greenlet.switch()


class Connection(_Sleeper):
    """An open connection. `origin` is where it leads; `used`: it has carried an answer to its end."""

    __slots__ = ("_reader", "_sock", "_watch", "origin", "used")

    def __init__(self, origin: Origin, sock: NativeSocket) -> None:
        super().__init__()
        self.origin = origin
        self.used = False
        self._sock: Any = sock
        self._reader: Reader | None = None
        self._watch = _hub.loop.io(sock.fileno(), _READ)
        self._watch.start(self._readable)

    @property
    def closed(self) -> bool:
        """Whether it is of no more use."""
        return self._sock is None

    def ask(self, payload: bytes, reader: Reader, greenlet: Any) -> None:
        """Send a request and wait, in its greenlet, until the reader has ended. Whatever is raised, close it then."""
        self._reader = reader
        try:
            sent = self._sock.send(payload)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._broken(error)
            sent = len(payload)
        if sent < len(payload):
            self._send_rest(memoryview(payload)[sent:], reader)
        while not reader.ended:
            self._greenlet = greenlet
            _park()
        self._greenlet = self._reader = None

    def close(self) -> None:
        """End it. Twice is fine."""
        sock, self._sock = self._sock, None
        if sock is not None:
            self._watch.stop()
            self._watch.close()
            self._watch = None
            self._greenlet = self._reader = None
            sock.close()

    def _readable(self) -> None:
        try:
            data = self._sock.recv(_BLOCK)
        except BlockingIOError:
            return
        except OSError as error:
            self._over(error)
            return
        if data:
            self._received(data)
        else:
            self._over(None)

    def _received(self, data: bytes) -> None:
        reader = self._reader
        if reader is None:  # nobody has asked for anything
            self.close()
        elif reader.feed(data, _clock_ns()):
            greenlet = self._greenlet
            if greenlet is not None:
                self._greenlet = None
                greenlet.switch()

    def _over(self, error: OSError | None) -> None:
        """The other side has closed or reset the connection."""
        reader, greenlet = self._reader, self._greenlet
        self.close()
        if reader is not None:
            reader.close(error)
            reader.last_ns = _clock_ns()
            if greenlet is not None:
                greenlet.switch()

    def _broken(self, error: OSError) -> None:
        """Sending failed; the server may have answered before it hung up."""
        reader = self._reader
        while self._sock is not None and reader is not None and not reader.ended:
            before = len(reader.raw), len(reader.chunks)
            self._readable()
            if before == (len(reader.raw), len(reader.chunks)) and not reader.ended:
                self._over(error)

    def _send_rest(self, rest: memoryview, reader: Reader) -> None:
        """Send what did not fit at once, as the socket takes it; an answer that comes before the end ends it."""
        while rest and not reader.ended and self._sock is not None:
            _await_writable(self._sock, self)
            if reader.ended or self._sock is None:
                break
            try:
                rest = rest[self._sock.send(rest) :]
            except BlockingIOError:
                continue
            except OSError as error:
                self._broken(error)
        if rest:
            reader.keep = False


class TlsConnection(Connection):
    """The same through TLS: OpenSSL works on memory, the socket stays ours."""

    __slots__ = ("_incoming", "_outgoing", "_shaking", "_tls")

    def __init__(self, origin: Origin, sock: NativeSocket, context: ssl.SSLContext) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        name = None if is_address(origin.host) and not context.check_hostname else origin.host
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        self._shaking = True
        super().__init__(origin, sock)

    def shake_hands(self) -> None:
        """Agree on keys and verify the certificate. Raises OSError (ssl.SSLError among them)."""
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._flush()
                self.wait()
                if self._sock is None:
                    raise ConnectionClosed("the server closed the connection during the TLS handshake") from None
            except ssl.SSLError:
                self._flush()  # tell the server why
                raise
        self._flush()
        self._shaking = False

    def ask(self, payload: bytes, reader: Reader, greenlet: Any) -> None:
        """As over plain TCP."""
        self._tls.write(payload)
        super().ask(self._outgoing.read(), reader, greenlet)

    def _readable(self) -> None:
        try:
            data = self._sock.recv(_BLOCK)
        except BlockingIOError:
            return
        except OSError as error:
            self._over(error)
            return
        self._incoming.write(data)
        if not data:
            self._incoming.write_eof()
        if self._shaking:
            if data:
                self.wake()
            else:
                self._over(None)
            return
        self._decrypt(ended=not data)

    def _over(self, error: OSError | None) -> None:
        greenlet = self._greenlet if self._shaking else None
        super()._over(error)
        if greenlet is not None:
            greenlet.switch()

    def _decrypt(self, *, ended: bool) -> None:
        parts = []
        broken: OSError | None = None
        try:
            while part := self._tls.read(_BLOCK):
                parts.append(part)
            ended = True  # the server has said goodbye
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLEOFError:
            ended = True
        except ssl.SSLError as error:
            broken, ended = error, True
        self._flush()  # an answer of TLS itself, such as to a new key
        if parts:
            self._received(b"".join(parts))
        if ended and self._sock is not None:
            self._over(broken)

    def _flush(self) -> None:
        """Send what TLS itself has to say: a few hundred bytes at most, which the socket's buffer takes."""
        data = self._outgoing.read()
        if data and self._sock is not None:
            try:
                self._sock.send(data)
            except OSError:
                return  # the watch sees what is wrong


def connect(origin: Origin, context: ssl.SSLContext | None, source: str | None = None) -> Connection:
    """A new connection, within whatever time limit the greenlet stands under. Raises OSError.

    `source` is the address of this machine to connect from, where one is wanted.
    """
    trouble: OSError | None = None
    for family, address in addresses(origin.host, origin.port):
        try:
            sock = _connected(family, address, source)
        except OSError as error:
            trouble = trouble or error
            continue
        if context is None:
            return Connection(origin, sock)
        connection = TlsConnection(origin, sock, context)
        try:
            connection.shake_hands()
        except BaseException:
            connection.close()
            raise
        return connection
    raise trouble or OSError(f"{origin.host} has no address")


def _await_writable(sock: NativeSocket, sleeper: _Sleeper) -> None:
    watch = _hub.loop.io(sock.fileno(), _WRITE)
    watch.start(sleeper.wake)
    try:
        sleeper.wait()
    finally:
        watch.stop()
        watch.close()


def _connected(family: int, address: Any, source: str | None) -> NativeSocket:
    sock = NativeSocket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK, 0)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if source is not None and sources.fits(address[0]):
            bind(sock, source)
        code = sock.connect_ex(address)
        if code == errno.EINPROGRESS:
            _await_writable(sock, _Sleeper())
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise trouble_of(code, source, address[0], address[1])
    except BaseException:
        sock.close()
        raise
    return sock
