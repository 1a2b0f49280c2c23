"""One answer, as its bytes come in: httptools (llhttp) finds where it ends, and we keep what it was made of.

Headers are not taken apart here: most scenarios never look at them, so the raw head is kept and read when asked for.
A reader is used again for the next answer, of any connection, as long as its answers end cleanly.
"""

from __future__ import annotations

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from harness.traffic.fast.headers import Headers, final_head
from harness.traffic.fast.mistakes import MOST_BODY, BadAnswer, ConnectionClosed

MOST_HEAD = 1 << 20
"""Bytes of a head, interim ones (1xx) included. No server means more, and looking for its end costs with its size."""


class Reader:
    """What came of the answer so far. `ended`: it is whole or will never be (then `error` says why)."""

    __slots__ = (
        "_headed", "_parser", "_size", "chunks", "ended", "error", "first_ns", "keep", "last_ns", "on_body", "raw",
        "status",
    )  # fmt: skip

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self.on_body = self.chunks.append
        self.reset()
        self._parser = HttpResponseParser(self)

    def reset(self) -> None:
        """Be ready for another answer."""
        self.chunks.clear()
        self.raw = b""
        self.status = 0
        self.ended = False
        self.keep = False
        self.error: Exception | None = None
        self.first_ns = self.last_ns = 0
        self._headed = False
        self._size = 0

    def on_message_begin(self) -> None:
        """An answer begins: ours, an interim one (1xx) before it, or one that nobody asked for, which is refused."""
        if self.ended:
            raise BadAnswer("one answer more than was asked for")

    def on_message_complete(self) -> None:
        """The answer is whole, unless it was an interim one."""
        status = self._parser.get_status_code()
        if status >= 200:
            self.status = status
            self.ended = True
            self.keep = self._parser.should_keep_alive()

    def feed(self, data: bytes, now_ns: int) -> bool:
        """More bytes; True when the answer has ended."""
        if not self.first_ns:
            self.first_ns = now_ns
        if not self._headed:
            self.raw = self.raw + data if self.raw else data
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            self.status, self.ended, self.keep = self._parser.get_status_code(), True, False
        except HttpParserError as error:
            if not self.ended:
                self.fail(BadAnswer(f"the answer is not HTTP/1.1: {error}"))
            self.keep = False
        if not self.ended:
            self._measure(len(data))
        if self.ended:
            self.last_ns = now_ns
        return self.ended

    def _measure(self, more: int) -> None:
        """An answer that goes on may not fill our memory: its time limit alone would let gigabytes in."""
        self._size += more
        if not self._headed:
            self._headed = self._head_is_in()
            if not self._headed and len(self.raw) > MOST_HEAD:
                self.fail(BadAnswer(f"the headers do not end within {MOST_HEAD >> 20} MB"))
        elif self._size > MOST_BODY:
            self.fail(BadAnswer(f"the body is larger than {MOST_BODY >> 20} MB, the most that is kept"))

    def fail(self, error: Exception) -> None:
        """The answer will never be whole."""
        self.error, self.ended, self.keep = error, True, False

    def close(self, error: OSError | None) -> None:
        """The connection is gone: that ends an answer without a length, and breaks any other."""
        if self.ended:
            return
        if error is None and self._lasts_until_close():
            self.status, self.ended, self.keep = self._parser.get_status_code(), True, False
        elif error is not None:
            self.fail(error)
        else:
            what = "in the middle of its answer" if self.raw else "before it answered"
            self.fail(ConnectionClosed(f"the server closed the connection {what}"))

    @property
    def untouched(self) -> bool:
        """Not a byte has come."""
        return not self.raw

    def _head_is_in(self) -> bool:
        return bool(final_head(self.raw))

    def _lasts_until_close(self) -> bool:
        head = final_head(self.raw)
        if not head:
            return False
        headers = Headers(head)
        return "content-length" not in headers and "chunked" not in headers.get("transfer-encoding", "").lower()


class HeadReader(Reader):
    """The answer to HEAD: it ends with its headers, whatever length they promise (RFC 9110, 9.3.2)."""

    __slots__ = ()

    def on_headers_complete(self) -> None:
        """The headers are all there is."""
        status = self._parser.get_status_code()
        if status >= 200:
            self.status = status
            self.ended = True

    def on_message_complete(self) -> None:
        """Of no interest: `feed` decides."""

    def feed(self, data: bytes, now_ns: int) -> bool:
        """More bytes; True when the answer has ended."""
        ended = super().feed(data, now_ns)
        if ended and self.error is None:
            headers = Headers(final_head(self.raw))
            self.keep = self.raw.endswith(b"\r\n\r\n") and headers.version >= "1.1" and not headers.asks_to_close
        return ended
