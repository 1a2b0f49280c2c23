"""A target that answers at once, to measure a generator by: `python -m harness.traffic.sizing.null_target [N]`.

It prints its address, answers every GET of HTTP/1.1 with two bytes, and ends when its standard input does: so it
cannot outlive whoever started it. Until it has had N connections its answers come late, so that a pool of users fills.
Only for our own users: it takes the end of a head for a request and reads nothing else of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import sys
from typing import cast

LATE_S = 0.5
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nok"
_END = b"\r\n\r\n"
_BACKLOG = 4096


class Connection(asyncio.Protocol):
    """One of them. `awaited` is how many more there shall be before answers come at once."""

    awaited = 0

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._rest = b""
        Connection.awaited -= 1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody has connected."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is not derived from it

    def data_received(self, data: bytes) -> None:
        """Answer each head that is whole by now."""
        if self._rest:
            data = self._rest + data
        asked = data.count(_END)
        self._rest = b"" if data.endswith(_END) else data[data.rfind(_END) + len(_END) if asked else 0 :]
        if asked and Connection.awaited > 0:
            asyncio.get_running_loop().call_later(LATE_S, self._answer, asked)
        elif asked:
            self._answer(asked)

    def _answer(self, times: int) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(_ANSWER * times)


async def serve() -> None:
    """Serve on a free port of 127.0.0.1 until standard input ends."""
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()
    server = await loop.create_server(Connection, "127.0.0.1", 0, backlog=_BACKLOG)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    loop.add_reader(sys.stdin.fileno(), _finish, over)
    await over


def _finish(over: asyncio.Future[None]) -> None:
    if not over.done():
        over.set_result(None)


def main() -> None:
    """Take all the open files there are, serve, end."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    Connection.awaited = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    with contextlib.suppress(KeyboardInterrupt):
        try:
            import uvloop
        except ImportError:  # no wheel for this system
            asyncio.run(serve())
        else:
            uvloop.run(serve())


if __name__ == "__main__":
    main()
