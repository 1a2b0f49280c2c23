"""HTTP/1.1, as much as a control API needs: keep-alive, Content-Length bodies, limits on time and size."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus

from harness.proxy.api import Answer, answer
from harness.proxy.book import Book

IDLE_S = 60.0
READ_S = 15.0
MAX_BODY_BYTES = 4 * 1024 * 1024


class RequestError(Exception):
    """What came is not a request that we can answer; the connection ends after saying so."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request."""

    method: str
    path: str
    agent: str
    keep_alive: bool
    body: bytes


class ApiServer:
    """Serves the API on any number of connections; requests are answered one at a time, as they come."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.turn = asyncio.Lock()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until it closes, falls silent or sends nonsense."""
        try:
            while request := await self.read(reader, writer):
                writer.write(_encode(await self.respond(request), keep_alive=request.keep_alive))
                await asyncio.wait_for(writer.drain(), READ_S)
                if not request.keep_alive:
                    break
        except RequestError as error:
            writer.write(_encode(Answer(status=error.status, text=f"{error}\n"), keep_alive=False))
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass  # the caller has gone or is stuck: there is nobody to tell
        finally:
            with suppress(OSError):
                writer.close()

    async def read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request | None:
        """The next request; None when the caller has closed."""
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), IDLE_S)
        except asyncio.IncompleteReadError:
            return None
        except asyncio.LimitOverrunError:
            raise RequestError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE) from None
        first, *rest = head.decode("latin-1").split("\r\n")
        words = first.split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            raise RequestError(HTTPStatus.BAD_REQUEST)
        pairs = (line.partition(":") for line in rest)
        headers = {key.strip().lower(): value.strip() for key, _, value in pairs}
        if "transfer-encoding" in headers:
            raise RequestError(HTTPStatus.LENGTH_REQUIRED)
        length = headers.get("content-length", "0")
        if not length.isdigit():
            raise RequestError(HTTPStatus.BAD_REQUEST)
        if int(length) > MAX_BODY_BYTES:
            raise RequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        if headers.get("expect", "").lower() == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return Request(
            method=words[0],
            path=words[1],
            agent=headers.get("user-agent", ""),
            keep_alive=words[2] == "HTTP/1.1" and headers.get("connection", "").lower() != "close",
            body=await asyncio.wait_for(reader.readexactly(int(length)), READ_S),
        )

    async def respond(self, request: Request) -> Answer:
        """Browsers are refused, as in Go: a web page must not be able to break a network."""
        if request.agent.startswith("Mozilla/"):
            return Answer(status=403, text="User agent not allowed\n")
        async with self.turn:
            return await answer(self.book, request.method, request.path, request.body)


def _encode(reply: Answer, *, keep_alive: bool) -> bytes:
    """The bytes of an answer."""
    body, kind = reply.text.encode(), "text/plain; charset=utf-8"
    if reply.value is not None:
        body, kind = json.dumps(reply.value, separators=(",", ":")).encode(), "application/json"
    head = f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}\r\nConnection: "
    head += "keep-alive\r\n" if keep_alive else "close\r\n"
    if reply.status != HTTPStatus.NO_CONTENT:
        head += f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body
