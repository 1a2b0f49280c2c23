"""What can go wrong between a request and its answer. The base classes say what kind of failure each is."""

from __future__ import annotations

MOST_BODY = 256 << 20
"""Bytes of a body, as it comes and decoded: bodies are kept in memory whole."""


class RequestTimeout(TimeoutError):
    """The time limit of the request was over before its answer was whole."""


class ConnectionClosed(ConnectionResetError):
    """The server closed the connection before it answered, or in the middle of an answer."""


class BadAnswer(ValueError):
    """What came is not HTTP/1.1, or cannot be decoded as its headers say."""


class TooManyRedirects(ValueError):
    """One redirect followed another, beyond `max_redirects`."""
