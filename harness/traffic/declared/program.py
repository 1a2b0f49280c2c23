"""Declared steps made ready: each request as bytes as far as it never changes, the rest as templates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.declared import BUILT_IN, Between, DeclaredTraffic, Pairs, Send, Step, Value, parts_of
from harness.traffic.declared.checks import Judge
from harness.traffic.declared.templates import Text, Values, filled, form_of, header_value, json_of, target_of, text_of
from harness.traffic.mix import Turns

_TYPES = {"json": "application/json", "form": "application/x-www-form-urlencoded"}
_WITH_LENGTH = {"POST", "PUT", "PATCH"}

ReadFile = Callable[[str], bytes]


class Order:
    """A request to be sent: `headers` never change, `varying` and the rest may. `activity` is what it belongs to."""

    __slots__ = ("activity", "body", "headers", "judge", "method", "name", "names", "target", "varying")

    def __init__(self, send: Send, common: Pairs, activity: str, read_file: ReadFile) -> None:
        self.activity = activity
        self.method = send.method
        self.name = send.name
        self.judge = Judge(send.name, send.expect, send.extract)
        self.target: Text = target_of(send.url, send.query)
        self.body: bytes | Text = _body(send, read_file)
        every = {name.lower(): (name, text_of(value, header_value)) for name, value in (*common, *send.headers)}
        if send.body_kind in _TYPES:
            every.setdefault("content-type", ("Content-Type", _TYPES[send.body_kind]))
        self.headers = {name: value for name, value in every.values() if isinstance(value, str)}
        self.varying = tuple((name, value) for name, value in every.values() if not isinstance(value, str))
        texts = (self.target, self.body, *(value for _, value in self.varying))
        self.names: frozenset[str] = self.judge.names.union(*(getattr(text, "names", ()) for text in texts))

    @property
    def fixed(self) -> bool:
        """Whether every request of it is the same."""
        return not self.varying and isinstance(self.target, str) and isinstance(self.body, bytes | str)

    def fill(self, prefix: str, block: bytes, values: Values) -> tuple[str, bytes, bytes]:
        """Path, head without its empty line, and body. `block` holds the fixed headers, `prefix` comes before the path.

        Raises ValueError for a value that cannot stand where it is wanted.
        """
        target = filled(self.target, values)
        body = self.body if isinstance(self.body, bytes) else filled(self.body, values).encode()
        head = b"%b %b HTTP/1.1\r\n%b" % (self.method.encode(), (prefix + target).encode(), block)
        for name, value in self.varying:
            head += f"{name}: {filled(value, values)}\r\n".encode("latin-1")
        if body or self.method in _WITH_LENGTH:
            head += b"Content-Length: %d\r\n" % len(body)
        return target, head, body


Planned = Order | Between


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """All that a user may do. `picks` are numbers of `activities`, to be gone through in a circle; `names` all values
    that are needed; `kept` those that the login extracts."""

    login: tuple[Planned, ...]
    activities: tuple[tuple[Planned, ...], ...]
    picks: tuple[int, ...]
    names: frozenset[str]
    kept: tuple[str, ...]


def compiled(traffic: DeclaredTraffic, read_file: ReadFile) -> Program:
    """The program of declared traffic. `read_file` gives the bytes of a file by its written path."""
    data = {source.name for source in traffic.data}
    early = tuple(pair for pair in traffic.headers if not _extracted(pair[1], data))
    login = _planned(traffic.login, early, "login", read_file)
    activities = tuple(_planned(each.steps, traffic.headers, each.name, read_file) for each in traffic.activities)
    orders = [step for steps in (login, *activities) for step in steps if isinstance(step, Order)]
    return Program(
        login=login,
        activities=activities,
        picks=picks_of([each.weight for each in traffic.activities]),
        names=frozenset().union(*(order.names for order in orders)),
        kept=tuple(one.name for step in traffic.login if isinstance(step, Send) for one in step.extract),
    )


def picks_of(weights: Sequence[int]) -> tuple[int, ...]:
    """One round of numbers in which each has its weight; at every prefix none is a whole one away from its share."""
    turns = Turns(dict(enumerate(weights)))
    return tuple(turns.next() for _ in range(turns.period))


def _planned(steps: Sequence[Step], headers: Pairs, activity: str, read_file: ReadFile) -> tuple[Planned, ...]:
    return tuple(Order(step, headers, activity, read_file) if isinstance(step, Send) else step for step in steps)


def _extracted(text: str, data: set[str]) -> bool:
    """Whether a header's text needs what the login extracts."""
    values = (part.name for part in parts_of(text) if isinstance(part, Value))
    return any(name not in BUILT_IN and name.partition(".")[0] not in data for name in values)


def _body(send: Send, read_file: ReadFile) -> bytes | Text:
    content = send.content
    if send.body_kind == "body_file":
        return read_file(str(content))
    if send.body_kind == "json":
        text = json_of(content)
    elif send.body_kind == "form" and isinstance(content, dict):
        text = form_of(content.items())
    else:
        text = text_of(str(content)) if send.body_kind == "body" else ""
    return text.encode() if isinstance(text, str) else text
