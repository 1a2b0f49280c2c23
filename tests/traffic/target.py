"""A small real HTTP server to shoot at, in a thread of the test: it counts what it was asked, misbehaves by path."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections import Counter

_ANSWER = b"HTTP/1.1 %d X\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nok"


class Target:
    """`seen` counts by method and path. /status/N answers N, /never never, /drip a byte at a time, /reset RST."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self._host = host
        self.seen: Counter[str] = Counter()
        self._loop = asyncio.new_event_loop()
        self._flowing: asyncio.Event | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)
        self.address = ""

    def __enter__(self) -> Target:
        self._thread.start()
        assert self._ready.wait(5)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(5)

    def freeze(self, frozen: bool) -> None:
        """Stop answering, or answer all that has waited."""
        assert self._flowing is not None
        self._loop.call_soon_threadsafe(self._flowing.clear if frozen else self._flowing.set)

    async def _serve(self) -> None:
        self._over = asyncio.Event()
        self._flowing = asyncio.Event()
        self._flowing.set()
        server = await asyncio.start_server(self._client, self._host, 0, backlog=1024)
        self.address = f"http://{self._host}:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        await self._over.wait()
        server.close()
        for client in asyncio.all_tasks() - {asyncio.current_task()}:
            client.cancel()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
            while await self._answer(reader, writer):
                pass
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, path = head.split(" ")[:2]
        for line in head.lower().split("\r\n"):
            if line.startswith("content-length:"):
                await reader.readexactly(int(line.partition(":")[2]))
        self.seen[f"{method} {path}"] += 1
        assert self._flowing is not None
        await self._flowing.wait()
        if path == "/reset":
            linger_none = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_none)
            writer.transport.abort()
            return False
        if path == "/never":
            await asyncio.sleep(60)
        if path == "/drip":
            writer.write(b"HTTP/1.1 200 X\r\nContent-Length: 1000\r\n\r\n")
            for _ in range(1000):
                writer.write(b".")
                await asyncio.sleep(0.05)
            return True
        status = int(path.removeprefix("/status/")) if path.startswith("/status/") else 200
        writer.write(_ANSWER % status)
        return True
