"""Faults of the user's own: commands and HTTP calls that put something in force, take it back, and show it."""

from __future__ import annotations

from harness.loader.catalogue.kind import Kind
from harness.loader.parameter import Param
from harness.units import NS_PER_MS

LONGEST_MS = 30 * 60_000
"""A deployment may take minutes; what never ends must not hold a run for ever."""
_CALL = r"(GET|HEAD|POST|PUT|PATCH|DELETE) +(https?://(\{[\w.-]+\}|[^\s/{}?#]+)|\{[\w.-]+\})([/?#:]\S*)?\s*"
_HEADERS = r"\s*([\w!#$%&'*+.^`|~-]+[ \t]*:[^\n]*(\n\s*|$))*"
_STATUSES = r"\s*[1-5]\d\d(-[1-5]\d\d)?(\s*,\s*[1-5]\d\d(-[1-5]\d\d)?)*\s*"


def _call(name: str, doc: str, *, required: bool = False, required_unless_irreversible: bool = False) -> Param:
    such_as = "a method and a URL such as POST http://127.0.0.1:8080/flags/x or PUT http://{api}/flags/x"
    return Param(
        name=name,
        unit="text",
        pattern=_CALL,
        such_as=such_as,
        doc=doc,
        required=required,
        required_unless_irreversible=required_unless_irreversible,
    )


def _timeout(default: str) -> Param:
    return Param(
        name="timeout",
        unit="duration",
        scale=NS_PER_MS,
        minimum=100,
        maximum=LONGEST_MS,
        default=default,
        doc="most time for each step, its reading back by `confirm` included; at most 30m",
    )


COMMAND = Kind(
    driver="command",
    name="run",
    params=(
        Param(name="inject", unit="command", required=True, doc="puts the fault in force; exit code 0: done"),
        Param(
            name="heal",
            unit="command",
            required_unless_irreversible=True,
            doc="takes it back; must do so also when it is called twice, or before or in the middle of `inject`",
        ),
        Param(
            name="confirm",
            unit="command",
            doc="exit code 0: in force; 1 to 125: not in force. Must change nothing",
        ),
        Param(name="shell", unit="flag", default=False, doc="`true`: the three are given to `sh -c`"),
        _timeout("10s"),
    ),
    felt="`confirm` exits with 0; without it the exit code of `inject` alone, and the proof says so",
    undo="runs `heal`, then `confirm` until it fails",
    leaves="what `heal` leaves",
    new_connection="whatever the command does",
    held_connection="whatever the command does",
    knob_param="heal",
)

HTTP = Kind(
    driver="http",
    name="call",
    params=(
        _call("inject", "method and URL that put the fault in force", required=True),
        _call(
            "heal",
            "method and URL that take it back; also when called twice, or before or in the middle of `inject`",
            required_unless_irreversible=True,
        ),
        _call("confirm", "method and URL that tell; answered 2xx: in force. Must change nothing"),
        Param(name="confirm_text", unit="text", doc="in force only if the answer to `confirm` contains this"),
        Param(name="body", unit="text", doc="sent with `inject`"),
        Param(name="heal_body", unit="text", doc="sent with `heal`"),
        Param(
            name="headers",
            unit="text",
            pattern=_HEADERS,
            such_as="`Name: value` on each line",
            doc="sent with all three, one `Name: value` a line",
        ),
        Param(
            name="expect",
            unit="text",
            pattern=_STATUSES,
            such_as="statuses such as 204 or 200-299,404",
            default="200-299",
            doc="statuses of `inject` and `heal` that mean done",
        ),
        _timeout("5s"),
    ),
    felt="`confirm` is answered 2xx, with `confirm_text`; without it `inject` was answered well, and the proof says so",
    undo="calls `heal`, then `confirm` until it says no",
    leaves="what `heal` leaves",
    new_connection="whatever the call does",
    held_connection="whatever the call does",
    knob_param="heal",
)

CALLS = (COMMAND, HTTP)
