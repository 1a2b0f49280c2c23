"""A user's HTTP client: requests over connections that are kept, each told to the books and to Locust once."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Protocol

from gevent import getcurrent
from locust.contrib.fasthttp import LocustBadStatusCode

from harness.traffic.fast.answer import Response
from harness.traffic.fast.connection import Connection, connect
from harness.traffic.fast.cookies import Cookies
from harness.traffic.fast.headers import Headers, final_head
from harness.traffic.fast.limits import Limits
from harness.traffic.fast.mistakes import BadAnswer, TooManyRedirects
from harness.traffic.fast.reader import HeadReader, Reader
from harness.traffic.fast.sources import sources
from harness.traffic.fast.writing import Body, Call, Origin, Request, Writer, redirected

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
_FAILURES = (OSError, BadAnswer, TooManyRedirects)
_limits = Limits()
_readers: list[Reader] = []


class Recording(Protocol):
    """The harness's books. Without them (plain `locust -f`) only Locust's request event is told."""

    listener: Any

    def open(self, user: Any, method: str, name: str) -> Any:
        """A request is sent now; returns its token."""

    def close(self, token: Any, exception: BaseException | None, response: Response) -> None:
        """It is over, and nobody else wants to know."""

    def fire(self, token: Any, event: Any, meta: dict[str, Any]) -> None:
        """It is over: fire Locust's event, of which the books are one listener."""

    def abandon(self, token: Any, error: BaseException) -> None:
        """Its user was killed, or something that is not a failed request was raised."""

    def await_judgement(self, token: Any, response: Response) -> None:
        """A with-block is to judge it."""

    def leave_block(self, token: Any, error: BaseException | None) -> None:
        """The with-block is left, by `error` unless that is None; not yet closed, it counts by the wire."""


class Session:
    """The `client` of a FastUser. One per user; requests of several greenlets of a user take a connection each."""

    recording: ClassVar[Recording | None] = None

    def __init__(
        self,
        writer: Writer,
        *,
        user: Any,
        request_event: Any,
        timeout: float,
        max_redirects: int,
        tls: Callable[[], ssl.SSLContext],
    ) -> None:
        self.user = user
        self.timeout = timeout
        self.cookies = Cookies()
        self.request_name: str | None = None
        self._writer = writer
        self._origin = writer.origin
        self._event = request_event
        self._max_redirects = max_redirects
        self._tls = tls
        self._source = sources.next()
        self._idle: Connection | None = None
        self._spare: list[Connection] | None = None
        self._closed = False

    @property
    def base_url(self) -> str:
        """What paths are relative to."""
        return self._writer.base_url

    def request(
        self,
        method: str,
        url: str,
        name: str | None = None,
        data: Body = None,
        catch_response: bool = False,
        headers: Mapping[str, Any] | None = None,
        auth: tuple[str | bytes, str | bytes] | None = None,
        json: Any = None,
        allow_redirects: bool = False,
        context: dict[str, Any] | None = None,
        params: Body = None,
        timeout: float | None = None,
    ) -> Response:
        """Send a request and wait for its whole answer, `timeout` seconds at most (the user's, unless given here).

        `name` is what it is called in rows and statistics instead of its URL. What goes wrong on the wire is in
        the response's `error`; a call that cannot be sent raises ValueError, and is no request.
        """
        call = None
        if data is None and json is None and headers is None and auth is None and params is None:
            request = self._writer.plain(method, url)
        else:
            call = Call(method, url, data, json, headers, auth, params)
            request = self._writer.write(call)
        response = Response(self, method, url, name or self.request_name or url, context)
        follow = (call or Call(method, url)) if allow_redirects else None
        self._carry_out(request, response, timeout or self.timeout, follow)
        if response.status_code >= 400 and response.error is None:
            response.error = LocustBadStatusCode(response.url, code=response.status_code)
        if catch_response:
            response.awaited = True
            if self.recording is not None:
                self.recording.await_judgement(response.token, response)
        else:
            self.report(response, response.error)
        return response

    def send(
        self, request: Request, url: str, name: str, judge: Callable[[Response], Exception | None] | None = None
    ) -> Response:
        """Send a request that is written already, for `url` of this session. `judge` says what is wrong with an answer
        that came, None for nothing; without one a status below 400 is good."""
        response = Response(self, request.method, url, name, None)
        self._carry_out(request, response, self.timeout, None)
        if response.error is None:
            if judge is not None:
                response.error = judge(response)
            elif response.status_code >= 400:
                response.error = LocustBadStatusCode(response.url, code=response.status_code)
        self.report(response, response.error)
        return response

    def _carry_out(self, request: Request, response: Response, limit_s: float, follow: Call | None) -> None:
        """Open the request in the books and have it answered, or failed; redirects of `follow` are followed."""
        recording = self.recording
        if recording is not None:
            response.token = recording.open(self.user, request.method, response.name)
        line = _limits.line(limit_s)
        greenlet = getcurrent()
        line[greenlet] = response.began_ns + int(limit_s * 1e9)
        try:
            self._exchange(request, response, greenlet)
            if follow is not None and response.status_code in _REDIRECTS:
                self._follow(follow, response, greenlet)
        except _FAILURES as error:
            _fail(response, error)
        except BaseException as error:
            if recording is not None:
                recording.abandon(response.token, error)
            raise
        finally:
            line.pop(greenlet, None)

    def get(self, url: str, **kwargs: Any) -> Response:
        """GET."""
        return self.request("GET", url, **kwargs)

    def head(self, url: str, **kwargs: Any) -> Response:
        """HEAD."""
        return self.request("HEAD", url, **kwargs)

    def options(self, url: str, **kwargs: Any) -> Response:
        """OPTIONS."""
        return self.request("OPTIONS", url, **kwargs)

    def delete(self, url: str, **kwargs: Any) -> Response:
        """DELETE."""
        return self.request("DELETE", url, **kwargs)

    def post(self, url: str, data: Body = None, json: Any = None, **kwargs: Any) -> Response:
        """POST."""
        return self.request("POST", url, data=data, json=json, **kwargs)

    def put(self, url: str, data: Body = None, **kwargs: Any) -> Response:
        """PUT."""
        return self.request("PUT", url, data=data, **kwargs)

    def patch(self, url: str, data: Body = None, **kwargs: Any) -> Response:
        """PATCH."""
        return self.request("PATCH", url, data=data, **kwargs)

    @contextmanager
    def rename_request(self, name: str) -> Iterator[None]:
        """Call all requests inside the block `name`, unless they say a name of their own."""
        self.request_name = name
        try:
            yield
        finally:
            self.request_name = None

    def absolute(self, url: str) -> str:
        """A URL with its host."""
        return self._writer.absolute(url)

    def close(self) -> None:
        """Close the connections; those that are busy when they are done. Twice is fine."""
        self._closed = True
        for connection in (self._idle, *(self._spare or ())):
            if connection is not None:
                connection.close()
        self._idle = self._spare = None

    def report(self, response: Response, exception: BaseException | None) -> None:
        """Tell the outcome of a request, once."""
        recording = self.recording
        handlers = self._event._handlers
        if recording is None:
            meta = response.request_meta
            meta["exception"] = exception
            self._event.fire(**meta)
        elif response.unseen and len(handlers) == 1 and handlers[0] is recording.listener:
            recording.close(response.token, exception, response)
        else:
            meta = response.request_meta
            meta["exception"] = exception
            recording.fire(response.token, self._event, meta)

    def leave_block(self, response: Response, error: BaseException | None) -> None:
        """The with-block of a response is over."""
        if self.recording is not None:
            self.recording.leave_block(response.token, error)

    def _exchange(self, request: Request, response: Response, greenlet: Any) -> None:
        """Send, and fill the response. A kept connection that turns out to be closed is replaced once.

        That is done for methods that may be repeated (RFC 9110, 9.2.2) and only before any byte of an answer.
        """
        connection = self._take(request.origin) or self._connect(request.origin, response)
        while True:
            reader = HeadReader() if request.method == "HEAD" else _readers.pop() if _readers else Reader()
            payload = request.ready if not self.cookies else self._with_cookies(request)
            try:
                connection.ask(payload, reader, greenlet)
            except BaseException:
                connection.close()
                raise
            if reader.error is None:
                break
            connection.close()
            if not (connection.used and reader.untouched and request.method in _IDEMPOTENT):
                response.first_ns = reader.first_ns
                raise reader.error
            connection = self._connect(request.origin, response)
        self._fill(response, request, reader)
        if reader.keep:
            connection.used = True
            self._give_back(connection)
            if type(reader) is Reader:
                reader.reset()
                _readers.append(reader)
        else:
            connection.close()

    def _fill(self, response: Response, request: Request, reader: Reader) -> None:
        chunks = reader.chunks
        response.status_code = reader.status
        raw = response.raw = reader.raw
        response.body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        response.first_ns = reader.first_ns
        response.last_ns = reader.last_ns
        if b"ookie:" in raw or b"OOKIE:" in raw:
            self.cookies.keep(Headers(final_head(raw)).all("set-cookie"), request.origin.host, request.target)
        if request.decodes:
            response._content = None
            _ = response.content

    def _with_cookies(self, request: Request) -> bytes:
        value = self.cookies.header(request.origin.host, request.target, tls=request.origin.tls)
        if not value or b"\r\ncookie:" in request.head.lower():
            return request.ready
        return b"%bCookie: %b\r\n\r\n%b" % (request.head, value.encode("latin-1", errors="replace"), request.body)

    def _follow(self, call: Call, response: Response, greenlet: Any) -> None:
        """Go where the redirects lead, within the same time limit and as the same request."""
        history: list[Response] = []
        url = self.absolute(call.url)
        while response.status_code in _REDIRECTS and (location := response.headers.get("location")):
            if len(history) >= self._max_redirects:
                raise TooManyRedirects(f"more than {self._max_redirects} redirects, the last to {location}")
            history.append(_copied(response))
            try:
                call = redirected(call, response.status_code, location, url)
                request = self._writer.write(call)
            except ValueError as error:
                raise BadAnswer(f"a redirect that cannot be followed, to {location!r}: {error}") from error
            url = response.sent_url = request.url
            response._headers = response._content = None
            self._exchange(request, response, greenlet)
            response.history = tuple(history)

    def _connect(self, origin: Origin, response: Response) -> Connection:
        began_ns = time.monotonic_ns()
        connection = connect(origin, self._tls() if origin.tls else None, self._source)
        response.connect_ns += time.monotonic_ns() - began_ns
        return connection

    def _take(self, origin: Origin) -> Connection | None:
        connection = self._idle
        if connection is not None and origin is self._origin:
            self._idle = None
            if not connection.closed:
                return connection
        if self._spare:
            self._spare = [spare for spare in self._spare if not spare.closed]
            for number, spare in enumerate(self._spare):
                if spare.origin == origin:
                    return self._spare.pop(number)
        return None

    def _give_back(self, connection: Connection) -> None:
        if self._closed:
            connection.close()
        elif connection.origin is self._origin and self._idle is None:
            self._idle = connection
        elif self._spare is None:
            self._spare = [connection]
        else:
            self._spare.append(connection)


def _fail(response: Response, error: Exception) -> None:
    response.status_code = 0
    response.body = response._content = None
    response.raw = b""
    response._headers = None
    response.error = error
    response.last_ns = time.monotonic_ns()


def _copied(response: Response) -> Response:
    """One station of a chain of redirects, as it was."""
    made = Response.__new__(Response)
    made.__dict__.update(response.__dict__)
    made.token = None
    return made
