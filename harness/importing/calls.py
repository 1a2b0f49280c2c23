"""What an import found, before it is written down: calls, the waits between them, and what is told about them.

Texts in calls are those of declarative traffic: `{{credentials.token}}` is filled in by the run, and a text of the
document that has such braces itself went through `literal`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from harness.errors import BadInput, Problem

JsonValue = str | int | float | bool | None | list["JsonValue"] | dict[str, "JsonValue"]

SAFE = ("GET", "HEAD")
"""Methods that change nothing (RFC 9110, 9.2.1) and are worth a load; OPTIONS and TRACE are not."""
CREDENTIALS = "credentials"
"""The data source that secrets come from: a file of its own, not the experiment."""
MAX_TEXT = 10_000
"""Characters of a text in an experiment: a file that a person reads."""
URL_CHARACTERS = "/%:@!$&'()*+,;=~-._"
"""What of a path need not be encoded, besides letters and digits (RFC 3986, 3.3)."""
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """What a call sends: a JSON value, form fields, or a text."""

    kind: Literal["json", "form", "body"]
    value: JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One HTTP request. `status` is what is expected: 200 or a class such as 2xx; `extract` is name to JMESPath."""

    method: str
    path: str
    query: Mapping[str, JsonValue] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body | None = None
    status: int | str = "2xx"
    extract: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """A pause between two calls, in nanoseconds."""

    wait_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A row of `traffic: requests:`: one call, or a sequence. `off` says why it is written as a comment only."""

    name: str
    steps: tuple[Call | Wait, ...]
    weight: int = 1
    off: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """Everything of a document that goes into an experiment.

    `address` is scheme://host[:port]; `credentials` is column of the credentials file to what it is for; `notes` are
    told to the user and written into the file; `left_out` is what did not go in, with the reason.
    """

    what: str
    address: str
    requests: tuple[Request, ...]
    credentials: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def wrong(where: str, place: str, message: str, hint: str = "") -> BadInput:
    """The one error about a document: its file, the place inside and what to do."""
    return BadInput(problems=[Problem(where=where, path=place, message=message, hint=hint)])


def literal(value: JsonValue) -> JsonValue:
    """A value of the document with {{ written as it has to be where it is no template."""
    if isinstance(value, str):
        return value.replace("{{", "{{{{")
    if isinstance(value, dict):
        return {key: literal(item) for key, item in value.items()}
    return [literal(item) for item in value] if isinstance(value, list) else value


def has_at_most(most: int, value: JsonValue) -> bool:
    """Whether a value has at most so many parts, written out: aliases of YAML may multiply, or be a circle."""
    waiting = [value]
    while waiting and most > 0:
        most -= 1
        part = waiting.pop()
        if isinstance(part, dict | list):
            waiting += part.values() if isinstance(part, dict) else part
    return not waiting


def can_be_sent(name: str, value: str) -> bool:
    """Whether a header can be sent: a token (RFC 9110, 5.6.2) and printable ASCII of reasonable length."""
    fine = value.isascii() and value.isprintable() and len(value) <= MAX_TEXT
    return fine and re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) is not None


def is_writable(value: JsonValue, depth: int = 0) -> bool:
    """Whether an experiment can hold a value: whole numbers of at most 17 digits, not too deep, no text too long."""
    if depth > 15:
        return False
    if isinstance(value, dict):
        return all(len(key) < 500 and is_writable(item, depth + 1) for key, item in value.items())
    if isinstance(value, list):
        return all(is_writable(item, depth + 1) for item in value)
    if isinstance(value, str):
        return len(value) <= MAX_TEXT
    return value is None or isinstance(value, bool) or abs(value) < 10**17
