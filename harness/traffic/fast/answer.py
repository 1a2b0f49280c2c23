"""What a scenario gets for a request, and the with-block in which it may judge it."""

from __future__ import annotations

import json
import time
import zlib
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol

from locust.exception import CatchResponseError, LocustError, ResponseError

from harness.traffic.fast.headers import Headers, final_head
from harness.traffic.fast.mistakes import MOST_BODY, BadAnswer

_NO_BLOCK = "to judge a request pass catch_response=True and use it in a with-block"


class Asker(Protocol):
    """Who asked: the user's client, as far as its answers need it."""

    user: Any

    def absolute(self, url: str) -> str:
        """A URL with its host."""

    def report(self, response: Response, exception: BaseException | None) -> None:
        """Tell the outcome of a request, once."""

    def leave_block(self, response: Response, error: BaseException | None) -> None:
        """The with-block of a response is over."""


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time went (us), from the call: to connect (0 on a kept connection), to the first byte, in total."""

    connect_us: int
    first_byte_us: int
    total_us: int


class Response:
    """An answer, or, with status_code 0 and `error` set, the want of one.

    Judged in a with-block (catch_response=True) by success() and failure(); without a word a status below 400 is
    good. What few scenarios look at is worked out when they do.
    """

    # Class attributes, so that an answer that nobody looks at costs nothing for them.
    status_code = 0
    error: Exception | None = None
    encoding: str | None = None
    history: tuple[Response, ...] = ()
    js: Any = None
    token: Any = None
    awaited = False
    raw = b""
    body: bytes | None = None
    connect_ns = first_ns = last_ns = 0
    sent_url = ""
    _content: bytes | None = None
    _headers: Headers | None = None
    _meta: dict[str, Any] | None = None
    _entered = False
    _judged = False
    _judgement: Exception | None = None

    def __init__(self, session: Asker, method: str, url: str, name: str, context: dict[str, Any] | None) -> None:
        self.session = session
        self.method = method
        self.asked_url = url
        self.name = name
        self.context = context
        self.began_ns = time.monotonic_ns()

    def __repr__(self) -> str:
        return f"<Response {self.method} {self.asked_url} [{self.status_code}]>"

    @property
    def unseen(self) -> bool:
        """Whether nobody has looked at what the event will be told, so that nobody can have changed it."""
        return self._meta is None

    @property
    def ok(self) -> bool:
        """Whether an answer came whose status is below 400."""
        return 0 < self.status_code < 400

    @property
    def url(self) -> str:
        """The absolute URL that gave this answer, after redirects."""
        return self.sent_url or self.session.absolute(self.asked_url)

    @property
    def headers(self) -> Headers:
        """The header fields; none when no answer came."""
        if self._headers is None:
            self._headers = Headers(final_head(self.raw))
        return self._headers

    @property
    def content(self) -> bytes | None:
        """The body, decoded from gzip or deflate; None when no answer came. Raises BadAnswer when it is damaged."""
        if self._content is None and self.body is not None:
            self._content = decoded(self.body, self.headers.get("content-encoding", "")) if self.body else b""
        return self._content

    @property
    def text(self) -> str | None:
        """The body as text, in the charset that the answer names, else UTF-8; None when no answer came."""
        content = self.content
        if content is None:
            return None
        if self.encoding is None:
            self.encoding = _charset(self.headers.get("content-type", ""))
        return content.decode(self.encoding, errors="replace")

    def json(self) -> Any:
        """The body read as JSON. Raises json.JSONDecodeError (a ValueError)."""
        return json.loads(self.text or "")

    @property
    def service_us(self) -> int:
        """From the call to the last byte, or to the failure."""
        return (self.last_ns - self.began_ns) // 1000

    @property
    def timings(self) -> Timings:
        """Connect, first byte, total."""
        first_ns = max(0, self.first_ns - self.began_ns) if self.first_ns else 0
        return Timings(self.connect_ns // 1000, first_ns // 1000, self.service_us)

    @property
    def request_meta(self) -> dict[str, Any]:
        """What Locust's request event will be told. A with-block may change it, the name for instance."""
        if self._meta is None:
            user = self.session.user
            self._meta = {
                "request_type": self.method,
                "name": self.name,
                "response_time": (self.last_ns - self.began_ns) / 1e6,
                "response_length": len(self.body or b""),
                "exception": self.error,
                "context": {**(user.context() if user is not None else {}), **(self.context or {})},
                "response": self,
                "start_time": time.time() - (time.monotonic_ns() - self.began_ns) / 1e9,
                "url": self.session.absolute(self.asked_url),
            }
        return self._meta

    def raise_for_status(self) -> None:
        """Raise what the request failed with, a status from 400 up included."""
        error = self._judgement if self._judged else self.error
        if error is not None:
            raise error

    def success(self) -> None:
        """It was good, whatever its status."""
        self._judge(None)

    def failure(self, reason: object) -> None:
        """It was not: `reason` is an exception, or text for one."""
        self._judge(reason if isinstance(reason, Exception) else CatchResponseError(reason))

    def _judge(self, judgement: Exception | None) -> None:
        if not self._entered:
            raise LocustError(_NO_BLOCK)
        self._judged, self._judgement = True, judgement

    def __enter__(self) -> Response:
        if not self.awaited:
            raise LocustError(_NO_BLOCK)
        self._entered = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """As FastHttpUser does: a word of the scenario wins, and an exception of its own passes through."""
        try:
            if self._judged:
                self.session.report(self, self._judgement)
                return kind is None
            if isinstance(error, ResponseError):
                self.session.report(self, error)
                return True
            if error is None:
                self.session.report(self, self.error)
                return True
            return False
        finally:
            self.session.leave_block(self, error)


def decoded(body: bytes, encodings: str) -> bytes:
    """A body freed of its content encodings (RFC 9110, 8.4). Raises BadAnswer."""
    for encoding in reversed([word.strip().lower() for word in encodings.split(",") if word.strip()]):
        try:
            if encoding in {"gzip", "x-gzip"}:
                body = _inflated(body, 31)
            elif encoding == "deflate":
                body = _inflated(body, 15 if body[:1] == b"\x78" else -15)
            elif encoding != "identity":
                raise BadAnswer(f"the body is encoded as {encoding}: ask for gzip or deflate (Accept-Encoding)")
        except zlib.error as error:
            raise BadAnswer(f"the body is not {encoding} as its header says: {error}") from error
    return body


def _inflated(body: bytes, wbits: int) -> bytes:
    """Raises zlib.error, or BadAnswer for a body that would fill our memory."""
    stream = zlib.decompressobj(wbits)
    whole = stream.decompress(body, MOST_BODY)
    if stream.unconsumed_tail:
        raise BadAnswer(f"the body is larger than {MOST_BODY >> 20} MB when decoded, the most that is kept")
    if not stream.eof:
        raise zlib.error("it ends too early")
    return whole


def _charset(content_type: str) -> str:
    for part in content_type.split(";")[1:]:
        key, _, value = part.partition("=")
        if key.strip().lower() == "charset":
            name = value.strip().strip("\"'")
            try:  # a byte, since an empty text is of every charset; "replace", since not all can (idna)
                b" ".decode(name, errors="replace")
            except (LookupError, ValueError):
                break
            return name
    return "utf-8"
