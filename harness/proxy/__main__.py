"""`python -m harness.proxy`: start the server, print one JSON line when it listens, end with the parent."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import signal
import sys
from collections.abc import Mapping
from typing import cast

from harness.errors import ExitCode
from harness.proxy.book import Book
from harness.proxy.http import ApiServer


def main(argv: list[str] | None = None) -> int:
    """Parse, serve until told to stop, and return an exit code."""
    options = _parser().parse_args(argv)
    _raise_file_limit()
    seed = options.seed if options.seed is not None else int.from_bytes(os.urandom(4), "big")
    try:
        with asyncio.Runner(loop_factory=_new_loop) as runner:
            runner.run(serve(options.host, options.port, seed, exit_on_eof=options.exit_on_eof))
    except OSError as error:
        print(f"cannot listen on {options.host}:{options.port}: {error.strerror or error}", file=sys.stderr)
        return ExitCode.BROKEN
    return ExitCode.PASS


async def serve(host: str, port: int, seed: int, *, exit_on_eof: bool) -> None:
    """Serve the API until SIGTERM, SIGINT or, with `exit_on_eof`, the end of standard input."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_say)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if exit_on_eof:
        loop.add_reader(sys.stdin.fileno(), _read_until_eof, stop)
    book = Book(seed)
    server = await asyncio.start_server(ApiServer(book).serve, host, port)
    bound = server.sockets[0].getsockname()
    print(json.dumps({"host": bound[0], "port": bound[1], "pid": os.getpid(), "seed": seed}), flush=True)
    await stop.wait()
    server.close()
    book.close()


def _parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(prog="python -m harness.proxy", description=__doc__)
    option = parser.add_argument
    option("--host", default="127.0.0.1", help="address of the control API (default: %(default)s)")
    option("--port", type=int, default=8474, help="its port; 0 takes a free one (default: %(default)s)")
    option("--seed", type=int, help="source of toxicity, jitter and sizes (default: a random one)")
    option("--exit-on-eof", action="store_true", help="end when standard input does: with the parent")
    return parser


def _new_loop() -> asyncio.AbstractEventLoop:
    """Run on uvloop where it is installed (a third less CPU for each request), else on asyncio."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return cast(asyncio.AbstractEventLoop, uvloop.new_event_loop())


def _say(loop: asyncio.AbstractEventLoop, context: Mapping[str, object]) -> None:  # noqa: ARG001
    """An error of one connection (no file left, a listener closed while a client was arriving) costs one line."""
    print(f"{context.get('message')}: {context.get('exception')!r}", file=sys.stderr)


def _read_until_eof(stop: asyncio.Event) -> None:
    """Our parent holds the other end of the pipe and writes nothing: readable means that it has gone."""
    if not os.read(sys.stdin.fileno(), 4096):
        stop.set()


def _raise_file_limit() -> None:
    """Two sockets for each connection: 5,000 users do not fit into the usual 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    sys.exit(main())
