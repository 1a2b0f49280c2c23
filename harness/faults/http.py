"""Faults of the user's own, as HTTP calls: one puts it in force, one takes it back, one tells whether it is in force.

Addresses of services and proxies, `{name}` in a URL, are filled in by `before`: healing needs no run to know them.
A call under way when its caller dies may still be served; so long as its time limit, `settle_ns` says. A service that
the harness started itself ends with it, and what it had in force too: `before` holds its process.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.clients.http import Page, ask
from harness.clients.process import started_at
from harness.clock import SystemClock
from harness.errors import BadInput, EnvironmentBroke
from harness.experiment import Fault
from harness.faults import Before, Felt
from harness.faults.confirm import CHECK_NS, FELT_NS, MARGIN_NS, keep, must_know_undo, must_not_be, read_back
from harness.journal import Json
from harness.secrets import hide
from harness.units import NS_PER_MS, NS_PER_S

KIND = "call"
STEPS = ("inject", "heal", "confirm")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
KEPT_BYTES = 64 << 10
_SAID = 300
_MILLISECONDS = 5_000
_YES = range(200, 300)
_SAYS_NOTHING = (401, 403, 407, 408, 429)
_SERVICE = re.compile(r"https?://\{([^{}]+)\}")
_RANGE = re.compile(r"([1-5]\d\d)(?:-([1-5]\d\d))?")
_BODIES = {"inject": "body", "heal": "heal_body"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """One call, complete."""

    method: str
    url: str
    body: str
    headers: Mapping[str, str]

    def __str__(self) -> str:
        return hide(f"{self.method} {self.url}")


class HttpFaults:
    """Makes the calls of `http: call`; their answers are kept in `log_dir`, when there is one."""

    def __init__(
        self,
        *,
        log_dir: Path | None = None,
        fill: Callable[[str], str] = lambda url: url,
        pid_of: Callable[[str], int | None] = lambda _: None,
    ) -> None:
        self._log_dir = log_dir
        self._fill = fill
        self._pid_of = pid_of

    def check(self, fault: Fault) -> None:
        """Refuse a fault without undo, calls that cannot be made, and what is in force already."""
        if fault.kind != KIND:
            raise BadInput(f"fault {fault.name}: there is no HTTP fault {fault.kind!r}", hint=f"known: {KIND}")
        must_know_undo(fault)
        _statuses(fault)
        before = self.before(fault)
        for step in STEPS:
            if before[step]:
                _call(fault, before, step)
        if before["confirm"]:
            yes = self._in_force(fault, before, min(CHECK_NS, _timeout_ns(fault)))
            must_not_be(fault, yes, str(_call(fault, before, "confirm")))

    def before(self, fault: Fault) -> Before:
        """The three calls with addresses filled in; the state itself is known to the user's service alone."""
        calls: dict[str, Json] = {step: self._fill(str(fault.params.get(step, ""))) for step in STEPS}
        named = _SERVICE.search(str(fault.params.get("heal", "")))
        pid = self._pid_of(named[1]) if named else None
        return {**calls, "pid": pid, "pid_started": None if pid is None else started_at(pid)}

    def inject(self, fault: Fault, before: Before) -> None:
        """Make the call, then ask `confirm` until it says yes, all within `timeout`. Raises EnvironmentBroke."""
        self._do(fault, before, "inject", wanted=True)

    def heal(self, fault: Fault, before: Before) -> None:
        """Make the call, then ask `confirm` until it says no, all within `timeout`. Nothing for one without `heal`."""
        if not before.get("heal"):
            return
        try:
            self._do(fault, before, "heal", wanted=False)
        except EnvironmentBroke:
            if not _has_ended(before):
                raise

    def felt(self, fault: Fault, before: Before) -> Felt:
        """What `confirm` says; without one there is only the answer that `inject` had."""
        if not before.get("confirm"):
            return Felt(felt=True, proof="inject was answered well; without `confirm` nothing shows that it had effect")
        yes = self._in_force(fault, before, min(FELT_NS, _timeout_ns(fault)))
        return Felt(felt=yes, proof=f"{_call(fault, before, 'confirm')} says {'yes' if yes else 'no'}")

    def by_hand(self, fault: Fault, before: Before) -> str:
        """The heal call, as curl makes it."""
        if not before.get("heal"):
            return ""
        call = _call(fault, before, "heal")
        headers = [word for name, value in call.headers.items() for word in ("-H", f"{name}: {value}")]
        body = ["--data-binary", call.body] if call.body else []
        return shlex.join(["curl", "-sS", "-i", "-X", call.method, *headers, *body, call.url])

    def settle_ns(self, fault: Fault, before: Before) -> int:  # noqa: ARG002 - the contract's shape
        """As long as we would have waited for an answer, the server may still be at work."""
        return _timeout_ns(fault)

    def limits_ns(self, fault: Fault, before: Before) -> tuple[int, int]:  # noqa: ARG002 - the contract's shape
        """As long as the user says, for either."""
        return _timeout_ns(fault) + MARGIN_NS, _timeout_ns(fault) + MARGIN_NS

    def _do(self, fault: Fault, before: Before, step: str, *, wanted: bool) -> None:
        clock = SystemClock()
        limit_ns = _timeout_ns(fault)
        call = _call(fault, before, step)
        try:
            page = _asked(step, call, limit_ns)
        except EnvironmentBroke as error:
            keep(self._log_dir, fault, str(error))
            raise
        keep(self._log_dir, fault, f"{step}: {call}: answered {page.status}\n{page.text[-KEPT_BYTES:]}")
        if not any(page.status in span for span in _statuses(fault)):
            raise EnvironmentBroke(
                f"{step}: {call}: answered {page.status}, expected {fault.params.get('expect')}{_tail(page)}"
            )
        if before.get("confirm"):
            read_back(
                lambda left_ns: self._in_force(fault, before, left_ns),
                wanted=wanted,
                left_ns=limit_ns - clock.now(),
                what=f"{call}: answered {page.status}",
            )

    def _in_force(self, fault: Fault, before: Before, limit_ns: int) -> bool:
        """What `confirm` says. Raises EnvironmentBroke when it cannot tell."""
        call = _call(fault, before, "confirm")
        page = _asked("confirm", call, limit_ns)
        if page.status >= 500 or page.status in _SAYS_NOTHING:
            raise EnvironmentBroke(f"confirm: {call}: answered {page.status}, which tells nothing{_tail(page)}")
        return page.status in _YES and str(fault.params.get("confirm_text", "")) in page.text


def healer() -> HttpFaults:
    """Heals from the ledger alone."""
    return HttpFaults()


def _has_ended(before: Before) -> bool:
    """Whether the service was a process of ours that is no more; whatever it had in force went with it."""
    pid = before.get("pid")
    return isinstance(pid, int) and started_at(pid) != before.get("pid_started")


def _asked(step: str, call: _Call, limit_ns: int) -> Page:
    try:
        return ask(call.method, call.url, timeout_s=limit_ns / NS_PER_S, body=call.body, headers=call.headers)
    except EnvironmentBroke as error:
        raise EnvironmentBroke(f"{step}: {hide(str(error))}") from error


def _call(fault: Fault, before: Before, step: str) -> _Call:
    """One of the three. Raises BadInput for what is no method and URL, or no header."""
    written = str(before[step])
    method, _, url = written.partition(" ")
    if method not in METHODS or re.fullmatch(r"https?://[^\s/{}]+\S*", url.strip()) is None:
        raise BadInput(
            f"fault {fault.name}: {step}: expected a method and a URL such as POST http://127.0.0.1:8080/flags/x,"
            f" got {hide(written)!r}",
            hint=f"methods: {', '.join(METHODS)}",
        )
    body = str(fault.params.get(_BODIES.get(step, ""), ""))
    content = {"Content-Type": "application/json" if body.lstrip()[:1] in ("{", "[") else "text/plain"} if body else {}
    return _Call(method=method, url=url.strip(), body=body, headers={**content, **_headers(fault)})


def _headers(fault: Fault) -> dict[str, str]:
    found = {}
    for line in str(fault.params.get("headers", "")).splitlines():
        name, colon, value = line.partition(":")
        if not colon or re.fullmatch(r"[\w!#$%&'*+.^`|~-]+", name.strip()) is None:
            raise BadInput(f"fault {fault.name}: headers: expected `Name: value` on each line, got {hide(line)!r}")
        found[name.strip()] = value.strip()
    return found


def _statuses(fault: Fault) -> tuple[range, ...]:
    """What `expect` allows: 204, or 200-299, or several with commas. Raises BadInput."""
    written = str(fault.params.get("expect", "200-299"))
    spans = [_RANGE.fullmatch(part.strip()) for part in written.split(",")]
    found = tuple(range(int(span[1]), int(span[2] or span[1]) + 1) for span in spans if span)
    if len(found) != len(spans):
        raise BadInput(f"fault {fault.name}: expect: expected statuses such as 200-299,404, got {written!r}")
    return found


def _timeout_ns(fault: Fault) -> int:
    return int(fault.params.get("timeout", _MILLISECONDS)) * NS_PER_MS


def _tail(page: Page) -> str:
    """The beginning of what it answered."""
    text = " ".join(hide(page.text).split())
    return f": {text[:_SAID]}" if text else ""
