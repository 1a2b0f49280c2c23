"""What `harness worker` does: find the harness, join it, serve its run, and wait for the next."""

from __future__ import annotations

import re
import secrets
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from harness.errors import BadInput, EnvironmentBroke, ExitCode
from harness.secrets import mask_text, remember
from harness.traffic.hosts.gate import split_address
from harness.traffic.hosts.handshake import NONCE_BYTES, About, Refused, WorkerSide, refusal
from harness.traffic.hosts.link import Link, LinkLost, read_line, send_line
from harness.traffic.hosts.relay import Relay
from harness.traffic.hosts.token import about_this, required_token
from harness.units import duration_ns, format_duration

Say = Callable[[str], None]
_CONNECT_LIMIT_S = 5.0
_ANSWER_LIMIT_S = 10.0
_FIRST_WAIT_S = 0.2
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_LONGEST_WAIT_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Which harness, and for how long: `wait_ns` without a harness (None: for ever), one run or all."""

    host: str
    port: int
    token: bytes
    about: About
    once: bool
    wait_ns: int | None

    @property
    def master(self) -> str:
        """The harness's address for people."""
        return f"{self.host}:{self.port}"


def serve(master: str, *, token_file: Path | None, once: bool, name: str, wait: str | None, say: Say) -> ExitCode:
    """The command: read its words, then `work` until interrupted. Raises BadInput, EnvironmentBroke."""
    host, port = split_address(master)
    terms = Terms(
        host=host,
        port=port,
        token=required_token(token_file),
        about=about_this(_name(name)),
        once=once,
        wait_ns=None if wait is None else _duration_ns(wait),
    )
    remember(terms.token.decode())
    with _terminable():
        return work(terms, lambda line: say(mask_text(line)))


def work(terms: Terms, say: Say) -> ExitCode:
    """Serve until interrupted, or one run. Raises BadInput when refused, EnvironmentBroke when nobody came in time."""
    while True:
        relay = Relay(_joined(terms, say), terms.about.name, say)
        served = relay.serve()
        if relay.refusal and not relay.refusal.get("again"):
            raise _refused(terms, refusal(relay.refusal))
        if relay.refusal:
            say(f"not needed: {relay.refusal['refused']}")
            time.sleep(_LONGEST_WAIT_S)
            continue
        say(f"the run is over: the worker process {relay.how}" if served else "the run was cut off")
        if terms.once:
            return ExitCode.PASS if served else ExitCode.BROKEN


def _joined(terms: Terms, say: Say) -> Link:
    """The connection to a harness that knows us, whenever it comes. Raises BadInput, EnvironmentBroke."""
    say(f"waiting for a harness at {terms.master}")
    deadline_s = None if terms.wait_ns is None else time.monotonic() + terms.wait_ns / 1e9
    pause_s, last = _FIRST_WAIT_S, ""
    while True:
        try:
            link = _join(terms)
        except Refused as error:
            raise _refused(terms, error) from error
        except OSError as error:
            last = str(error.strerror or error)
        else:
            say(f"joined the harness at {terms.master} as {terms.about.name}")
            return link
        if deadline_s is not None and time.monotonic() + pause_s > deadline_s:
            waited = format_duration(terms.wait_ns or 0)
            raise EnvironmentBroke(
                f"no harness waited for workers at {terms.master} within {waited}: {last}",
                hint="start `harness run` with `traffic.workers`, and look at its `bind`: by default only this machine",
            )
        time.sleep(pause_s)
        pause_s = min(_LONGEST_WAIT_S, pause_s * 1.5)


def _join(terms: Terms) -> Link:
    """One try. Raises Refused, or OSError when there is no harness."""
    sock = socket.create_connection((terms.host, terms.port), timeout=_CONNECT_LIMIT_S)
    try:
        deadline_s = time.monotonic() + _ANSWER_LIMIT_S
        side = WorkerSide(terms.token, secrets.token_bytes(NONCE_BYTES))
        send_line(sock, side.prove(read_line(sock, deadline_s)))
        keys = side.check(read_line(sock, deadline_s))
        link = Link(sock, out=keys.to_harness, back=keys.to_worker)
        link.tell(terms.about.to_json())
        answer = link.record()
    except BaseException:
        sock.close()
        raise
    if "welcome" not in answer:
        link.close()
        raise refusal(answer) if "refused" in answer else LinkLost("it did not say welcome")
    return link


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM and SIGHUP end us as Ctrl-C does, so that nothing stays behind. Ctrl-Z would leave the load on, unled."""
    before = {number: signal.signal(number, _interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    before[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, signal.SIG_IGN)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the shape of a handler
    raise KeyboardInterrupt(signal.Signals(number).name)


def _name(text: str) -> str:
    if text and not _NAME.fullmatch(text):
        raise BadInput(f"--name {text!r:.80}: expected at most 63 letters, digits, - _ .")
    return text


def _duration_ns(text: str) -> int:
    try:
        return duration_ns(text)
    except ValueError as error:
        raise BadInput(f"--wait: {error}") from error


def _refused(terms: Terms, error: Refused) -> BadInput:
    return BadInput(f"the harness at {terms.master} was not joined: {error}", hint=error.hint)
