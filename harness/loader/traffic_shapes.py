"""The shapes of the traffic section: of a locustfile, or of users that are declared step by step."""

from __future__ import annotations

import contextlib
import ipaddress
import re
from typing import Annotated, Literal

from pydantic import Field, PlainValidator, WithJsonSchema

from harness.declared import Between
from harness.loader.document import (
    DURATION_PATTERN,
    MAX_PROCESSES,
    Bind,
    Filled,
    MostUsers,
    Name,
    Processes,
    Setting,
    Shape,
    Span,
    Tag,
    Text,
    Workers,
    integer,
    matching,
    span,
    string,
    whole,
)
from harness.loader.problems import shown
from harness.units import NS_PER_S, duration_ns

__all__ = ["MAX_PROCESSES", "DataShape", "ExpectShape", "RequestShape", "SendShape", "TrafficShape", "WaitShape"]

MAX_WEIGHT = 10_000
MAX_PATH = 8_000
VALUE_NAME = r"[A-Za-z_][A-Za-z0-9_-]{0,62}"
VALUE_NAME_WORDS = "a name of letters, digits, - and _ (the first a letter or _)"
# A path may hold spaces and such within its {{values}} only.
PATH_PATTERN = r"^/([^\s{]|\{(?!\{)|\{\{[^{}]*\}\}|\{\{(?![^{}]*\}\}))*$"
_DURATION = DURATION_PATTERN.strip("^$")
BETWEEN_PATTERN = rf"^{_DURATION}(\.\.{_DURATION})?$"
_STATUS = re.compile(r"([1-5])xx|[1-5]\d\d", re.ASCII)


def _between(value: object) -> Between:
    """5s, or 3s..7s."""
    least, dots, most = value.partition("..") if isinstance(value, str) else ("", "", "")
    expected = "expected a duration such as 5s or a range such as 3s..7s"
    try:
        found = Between(least_ns=duration_ns(least), most_ns=duration_ns(most if dots else least))
    except ValueError:
        raise ValueError(f"{expected}, got {shown(value)}") from None
    if found.least_ns > found.most_ns:
        raise ValueError(f"{expected}, the shorter one first, got {shown(value)}")
    span(most if dots else least)  # above zero, and at most 30 days
    return found


def _statuses(value: object) -> tuple[tuple[int, int], ...]:
    """200, 2xx, or a list of such."""
    return tuple(_status(one) for one in (value if isinstance(value, list) and value else [value]))


def _status(value: object) -> tuple[int, int]:
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    match = _STATUS.fullmatch(text)
    if match is None:
        raise ValueError(f"expected a status such as 200, 2xx or [200, 404], got {shown(value)}")
    if match[1]:
        return int(match[1]) * 100, int(match[1]) * 100 + 99
    return int(text), int(text)


def _path(value: object) -> str:
    if not isinstance(value, str) or not value.startswith("/"):
        raise ValueError(f"expected a path such as /products/{{{{id}}}}, got {shown(value)}")
    if re.fullmatch(PATH_PATTERN, value) is None:
        raise ValueError(f"expected a path without spaces (write %20), got {shown(value)}")
    if len(value) > MAX_PATH:
        raise ValueError(f"expected a path of at most {MAX_PATH} characters, got {len(value)}")
    return value


def _source_address(value: object) -> str:
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(value if isinstance(value, str) else "")
        if not (address.is_unspecified or address.is_multicast):
            return str(address)
    raise ValueError(f"expected an IP address of this machine such as 10.0.0.5, got {shown(value)}")


def _tree(value: object) -> object:
    return value


_STATUS_SCHEMA = {
    "oneOf": [
        {"type": "integer", "minimum": 100, "maximum": 599},
        {"type": "string", "pattern": "^([1-5]xx|[1-5]\\d\\d)$"},
    ]
}
Range = Annotated[Between, PlainValidator(_between), string(BETWEEN_PATTERN, "a duration such as 5s, or 3s..7s")]
Weight = Annotated[int, PlainValidator(whole(0, MAX_WEIGHT)), integer(0, MAX_WEIGHT, "a share beside the others'")]
Path = Annotated[str, PlainValidator(_path), string("^/", "a path; the target's address comes before it")]
SourceAddress = Annotated[
    str, PlainValidator(_source_address), string(r"^[0-9a-fA-F:.]+$", "an IP address of this machine")
]
Tree = Annotated[object, PlainValidator(_tree), WithJsonSchema({"description": "any JSON"})]
Statuses = Annotated[
    tuple[tuple[int, int], ...],
    PlainValidator(_statuses),
    WithJsonSchema({"oneOf": [*_STATUS_SCHEMA["oneOf"], {"type": "array", "minItems": 1, "items": _STATUS_SCHEMA}]}),
]
ValueName = Annotated[
    str, PlainValidator(matching(VALUE_NAME, VALUE_NAME_WORDS)), string(f"^{VALUE_NAME}$", "a value's name")
]
Label = Annotated[
    str,
    PlainValidator(matching(r"[^\r\n]*\S[^\r\n]{0,120}", "a name on one line, at most 120 characters")),
    string(r"\S", "a name"),
]


class TrafficShape(Shape):
    """Whose users go where: those of a locustfile, or those that are declared."""

    scenario: Annotated[Filled | None, Field(description="path of a locustfile; or write requests")] = None
    requests: Annotated[list[object] | None, Field(description="what users do, without a locustfile", min_length=1)] = (
        None
    )
    target: Annotated[Name, Field(description="the service or proxy that users are sent to")]
    timeout: Annotated[Span, Field(description="time limit of each request")] = 10 * NS_PER_S
    think: Annotated[Range | None, Field(description="wait of a user between two iterations; requests only")] = None
    pace: Annotated[Span | None, Field(description="from one iteration of a user to its next; requests only")] = None
    headers: Annotated[
        dict[str, Setting], Field(description="sent with every request; requests only", default_factory=dict)
    ]
    data: Annotated[
        dict[str, object], Field(description="rows of files by name, for {{name.column}}", default_factory=dict)
    ]
    login: Annotated[
        list[object], Field(description="steps that each user does once; requests only", default_factory=list)
    ]
    processes: Annotated[Processes, Field(description="traffic processes on this machine; auto: by its cores")] = 1
    source_addresses: Annotated[
        list[SourceAddress],
        Field(description="addresses of this machine that users connect from, in turn", default_factory=list),
    ]
    workers: Annotated[dict[str, object] | None, Field(description="workers on other hosts instead")] = None
    arrivals: Annotated[
        Literal["poisson", "uniform"] | None, Field(description="how a rate's instants are drawn; default: poisson")
    ] = None
    max_users: Annotated[
        MostUsers | None, Field(description="to how many users a rate may grow; default: rate x timeout")
    ] = None
    tags: Annotated[list[Tag], Field(description="only tasks with one of these tags", default_factory=list)]
    exclude_tags: Annotated[list[Tag], Field(description="no tasks with one of these tags", default_factory=list)]


class WorkersShape(Shape):
    """Workers on other hosts, each started there by `harness worker --master HOST`."""

    expect: Annotated[Workers, Field(description="how many join")]
    bind: Annotated[Bind, Field(description="the address of this machine that they join at")] = "127.0.0.1:5557"
    within: Annotated[Span, Field(description="how long to wait for them")] = 60 * NS_PER_S


class DataShape(Shape):
    """A file whose rows give values."""

    file: Annotated[Filled, Field(description="path of a .csv with a header, or of JSON lines (.jsonl, .ndjson)")]
    order: Annotated[Literal["sequential", "random"], Field(description="how rows are drawn")] = "sequential"
    per: Annotated[Literal["user", "iteration"], Field(description="who draws a new row")] = "user"
    at_end: Annotated[Literal["again", "stop"] | None, Field(description="when all rows are used; default: again")] = (
        None
    )


class SendShape(Shape):
    """A step: one request, and what is wanted of its answer."""

    name: Annotated[Label | None, Field(description="its name in the results; default: the path as written")] = None
    get: Annotated[Path | None, Field(description="the path to GET")] = None
    post: Annotated[Path | None, Field(description="the path to POST to")] = None
    put: Annotated[Path | None, Field(description="the path to PUT to")] = None
    patch: Annotated[Path | None, Field(description="the path to PATCH")] = None
    delete: Annotated[Path | None, Field(description="the path to DELETE")] = None
    head: Annotated[Path | None, Field(description="the path to ask for its HEAD")] = None
    options: Annotated[Path | None, Field(description="the path to ask for its OPTIONS")] = None
    query: Annotated[dict[str, Setting], Field(description="added to the path after ?", default_factory=dict)]
    headers: Annotated[dict[str, Setting], Field(description="sent with this request", default_factory=dict)]
    json_body: Annotated[Tree, Field(description="body as JSON", alias="json")] = None
    form: Annotated[dict[str, Setting] | None, Field(description="body as an HTML form sends it")] = None
    body: Annotated[Text | None, Field(description="body as text")] = None
    body_file: Annotated[Filled | None, Field(description="path of a file that is the body, as it is")] = None
    expect: Annotated[
        dict[str, object],
        Field(description="what the answer must be like; default: status < 400", default_factory=dict),
    ]
    extract: Annotated[
        dict[str, object], Field(description="values taken from the answer, by name", default_factory=dict)
    ]


class RequestShape(SendShape):
    """What one iteration may be: a request, or steps one after another."""

    weight: Annotated[Weight, Field(description="its share beside the others'")] = 1
    steps: Annotated[list[object] | None, Field(description="requests and waits, in this order", min_length=1)] = None


class WaitShape(Shape):
    """A step that only waits."""

    wait: Annotated[Range, Field(description="how long")]


class ExpectShape(Shape):
    """What an answer must be like, else the request has failed."""

    status: Annotated[Statuses | None, Field(description="200, 2xx, or [200, 404]; default: below 400")] = None
    body: Annotated[Filled | None, Field(description="a text that the body holds")] = None
    json_body: Annotated[
        dict[str, Tree], Field(description="JMESPath: the value found there", alias="json", default_factory=dict)
    ]
    header: Annotated[
        dict[str, Setting], Field(description="header: a text that its value holds", default_factory=dict)
    ]
    under: Annotated[Span | None, Field(description="the longest time it may take")] = None
