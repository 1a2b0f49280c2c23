"""An import as the text of an experiment: what a person would write, with comments that say what to look at."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from urllib.parse import urlsplit

from harness.importing.calls import CREDENTIALS, Call, Imported, JsonValue, Request, Wait

WIDTH = 116
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")

_HEAD = """\
# Made from {source}. Try it first: harness check {file}    All keys: harness schema
name: {name}
why: {why}
stack:
  external: {{api: {address}}}   # runs already; nothing is started or stopped
"""

_LINK = """\
# A fault needs a link that it can be put on: take these lines in, and send the traffic to `front` instead of `api`.
# proxies:
#   front: {upstream: api}
# faults:
#   - {name: lag, toxic: latency, on: front, latency: 100ms, jitter: 10ms, during: steady, after: 10s, for: 15s}
"""

_NO_LINK = """\
# No proxy can stand in front of TLS and keep its certificate: for faults, give the plain-HTTP address behind it.
"""

_STAGES = """\
stages:                               # small on purpose: raise `users` once the answers are right
  - {name: warm,   role: warmup, users: 2,  ramp: 2s, hold: 5s}
  - {name: steady, role: steady, users: 20, ramp: 5s, hold: 30s}
budget:
  - p95 < 500ms
  - p99 < 2s
  - errors < 0.5%
abort: [errors > 50% for 10s]
questions: [budget]
"""


def experiment_text(
    imported: Imported, *, name: str, file: str, source: str, credentials: str, show_off: bool = True
) -> str:
    """The YAML. `file` is where it will stand, `credentials` the path of the file with the secrets, if there is one.

    Requests that are off stand in it as comments, unless `show_off` is false.
    """
    if not show_off:
        imported = replace(imported, requests=tuple(request for request in imported.requests if not request.off))
    host = urlsplit(imported.address).hostname or "the target"
    why = f"{imported.what} at {host} answers 20 users in time, and rightly."
    head = _HEAD.format(source=source, file=file, name=name, why=_quoted(why), address=_quoted(imported.address))
    lines = [head, _NO_LINK if imported.address.startswith("https:") else _LINK]
    lines += [f"# {_one_line(note)}\n" for note in imported.notes]
    lines.append("\n".join(_traffic(imported, credentials)) + "\n")
    lines.append(_STAGES)
    return "".join(lines)


def _traffic(imported: Imported, credentials: str) -> Iterator[str]:
    shared = _shared_headers(imported.requests)
    yield "traffic:"
    yield "  target: api"
    yield "  timeout: 10s                        # of each request"
    yield "  think: 1s..3s                       # a user's pause after each of the requests below"
    if shared:
        yield f"  headers: {flow(dict(shared))}"
    if imported.credentials:
        yield f"  # Fill in {_one_line(credentials)}, a line for each user: " + "; ".join(
            f"{name} is {_one_line(what)}" for name, what in imported.credentials.items()
        )
        yield f"  data: {{{CREDENTIALS}: {{file: {_quoted(credentials)}, per: user, at_end: again}}}}"
    yield "  requests:"
    for request in imported.requests:
        yield from _request(request, shared)


def _shared_headers(requests: tuple[Request, ...]) -> Mapping[str, str]:
    """Headers that every call has alike: said once."""
    calls = [step for request in requests for step in request.steps if isinstance(step, Call) and not request.off]
    if len(calls) < 2:
        return {}
    return {
        name: value
        for name, value in calls[0].headers.items()
        if all(call.headers.get(name) == value for call in calls) and name.lower() != "content-type"
    }


def _request(request: Request, shared: Mapping[str, str]) -> Iterator[str]:
    lines = list(_remarks(request, shared))
    if request.off:
        yield f"    # left out: {_one_line(request.off)}"
        yield from (line if line.lstrip().startswith("#") else f"    # {line[4:]}" for line in lines)
    else:
        yield from lines


def _remarks(request: Request, shared: Mapping[str, str]) -> Iterator[str]:
    single = request.steps[0] if len(request.steps) == 1 else None
    if isinstance(single, Call):
        yield from (f"    # {_one_line(remark)}" for remark in single.remarks)
        yield f"    - name: {_quoted(request.name)}"
        yield f"      weight: {request.weight}"
        yield from _call(single, shared, "      ", "      ")
        return
    yield f"    - name: {_quoted(request.name)}"
    yield f"      weight: {request.weight}"
    yield "      steps:"
    for step in request.steps:
        if isinstance(step, Wait):
            yield f"        - wait: {_span(step.wait_ns)}"
        else:
            yield from (f"        # {_one_line(remark)}" for remark in step.remarks)
            yield from _call(step, shared, "        - ", "          ")


def _call(call: Call, shared: Mapping[str, str], first: str, indent: str) -> Iterator[str]:
    yield f"{first}{call.method.lower()}: {_quoted(call.path)}"
    headers = {name: value for name, value in call.headers.items() if name not in shared}
    if call.query:
        yield from _entry("query", dict(call.query), indent)
    if headers:
        yield from _entry("headers", dict(headers), indent)
    if call.body is not None:
        yield from _entry(call.body.kind, call.body.value, indent)
    if call.extract:
        yield from _entry("extract", {name: {"json": path} for name, path in call.extract.items()}, indent)
    yield f"{indent}expect: {{status: {call.status}}}"


def _entry(key: str, value: JsonValue, indent: str) -> Iterator[str]:
    """On one line where it fits, else an entry a line."""
    line = f"{indent}{key}: {flow(value)}"
    if len(line) <= WIDTH or not isinstance(value, dict | list) or not value:
        yield line
        return
    yield f"{indent}{key}:"
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _entry(_key(name), item, f"{indent}  ")
    else:
        yield from (f"{indent}  - {flow(item)}" for item in value)


def flow(value: JsonValue) -> str:
    """A value in YAML's flow style: that of JSON, with plain keys bare."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(key)}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow, value)) + "]"
    return _quoted(value) if isinstance(value, str) else json.dumps(value)


def _key(key: str) -> str:
    plain = _PLAIN_KEY.fullmatch(key) and key.lower() not in ("true", "false", "null")
    return key if plain else _quoted(key)


def _quoted(text: str) -> str:
    """A double-quoted scalar that YAML reads as JSON would; half a surrogate pair becomes U+FFFD."""

    def escaped(found: re.Match[str]) -> str:
        code = ord(found[0])
        return "\\ufffd" if 0xD800 <= code <= 0xDFFF else f"\\u{code:04x}"

    return _UNPRINTABLE.sub(escaped, json.dumps(text, ensure_ascii=False))


def _one_line(text: str) -> str:
    """A text of the document as a comment: on one line, nothing in it ends the comment."""
    words = " ".join(_UNPRINTABLE.sub(" ", text).split())
    printable = "".join(letter for letter in words if letter.isprintable())
    return printable if len(printable) <= 200 else f"{printable[:197]}..."


def _span(wait_ns: int) -> str:
    return f"{wait_ns / 1_000_000_000:g}s" if wait_ns >= 1_000_000_000 else f"{wait_ns // 1_000_000}ms"
