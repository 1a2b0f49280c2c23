"""FastUser: a Locust user whose HTTP client costs a quarter of FastHttpUser's."""

from __future__ import annotations

import functools
import ssl
from typing import Any

from locust import User
from locust.exception import StopTest
from locust.user.users import RestMixin

from harness.traffic.fast.answer import Response
from harness.traffic.fast.session import Session
from harness.traffic.fast.writing import writer_for


class FastUser(User, RestMixin[Response]):
    """Same shape as FastHttpUser: `self.client.get(...)`, `with self.rest(...)`. Set these in a subclass."""

    abstract = True

    timeout: float = 60.0
    """Seconds for a whole request: connect, TLS, send, answer, redirects. In a run: `traffic.timeout`, unless set."""

    insecure: bool = False
    """True: take any TLS certificate."""

    ca_file: str | None = None
    """Certificates (PEM) to trust instead of the system's."""

    max_redirects: int = 30
    """How many redirects a request with allow_redirects=True follows."""

    default_headers: dict[str, Any] | None = None
    """Headers of every request."""

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        if self.host is None:
            raise StopTest("FastUser needs to know its host: set `host` in the class, or --host on the command line")
        writer = writer_for(self.host, tuple((self.default_headers or {}).items()))
        self.client = Session(
            writer,
            user=self,
            request_event=environment.events.request,
            timeout=self.timeout,
            max_redirects=self.max_redirects,
            tls=functools.partial(tls_context, self.insecure, self.ca_file),
        )

    def start(self, group: Any) -> Any:
        """As every user; its connections are closed when it ends."""
        greenlet = super().start(group)
        greenlet.rawlink(self._close)
        return greenlet

    def _close(self, _: object) -> None:
        self.client.close()


@functools.lru_cache(maxsize=32)
def tls_context(insecure: bool, ca_file: str | None) -> ssl.SSLContext:
    """The TLS settings that all users of a class share: some 500 KB of certificates."""
    context = ssl.create_default_context(cafile=ca_file)
    context.set_alpn_protocols(["http/1.1"])
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
