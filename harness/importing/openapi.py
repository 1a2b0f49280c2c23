"""OpenAPI 3.0 and 3.1: each operation becomes a request, filled from examples, defaults and schemas."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

from harness.importing.calls import (
    SAFE,
    URL_CHARACTERS,
    Body,
    Call,
    Imported,
    JsonValue,
    Request,
    can_be_sent,
    has_at_most,
    is_writable,
    literal,
    wrong,
)
from harness.importing.reading import Document
from harness.importing.references import Node, References
from harness.importing.samples import MADE_UP, NoValue, Sample, sample
from harness.importing.security import Proof, proof_of

DEFAULT_ADDRESS = "http://127.0.0.1:8080"
MAX_NAME = 90
MAX_TITLE = 200
MAX_TOLD = 8
MAX_VALUES = 10_000
CHANGES = "it may change something; --all-methods takes it in"
_METHODS = ("get", "head", "post", "put", "patch", "delete")
_NOT_OURS = frozenset({"accept", "content-type", "authorization", "content-length", "connection", "host"})
_SLOT = re.compile(r"\{([^{}]+)\}")


def from_openapi(document: Document, *, all_methods: bool = False, address: str = "") -> Imported:
    """The operations of an OpenAPI document. `address` wins over its `servers`.

    Operations that may change something are off, unless `all_methods`. Raises BadInput.
    """
    references = References(where=document.where, root=dict(document.tree))
    root = Node(value=dict(document.tree), place="#")
    base, prefix, notes = _server(references, root, address)
    reader = _Reader(references=references, root=root, prefix=prefix, all_methods=all_methods)
    requests = tuple(reader.requests())
    if not requests:
        raise wrong(document.where, "#/paths", "the document has no operations", "expected paths with get, post, ...")
    _require_one(document.where, requests)
    title = references.at(root, "info").text("title") or "the API"
    return Imported(
        what=" ".join(title.split())[:MAX_TITLE],
        address=base,
        requests=requests,
        credentials=reader.columns,
        notes=(*notes, *_to_look_at(reader.made_up)),
        left_out=_left_out(requests),
    )


def _to_look_at(made_up: list[str]) -> tuple[str, ...]:
    """Parts of paths that nobody gave an example of: the target has no such thing, most likely."""
    if not made_up:
        return ()
    more = f" and {len(made_up) - MAX_TOLD} more" if len(made_up) > MAX_TOLD else ""
    return (f"made up, so put in what your system has: {', '.join(made_up[:MAX_TOLD])}{more}",)


def _left_out(requests: tuple[Request, ...]) -> tuple[str, ...]:
    """A line for each reason, with the first few names."""
    by_reason: dict[str, list[str]] = {}
    for request in requests:
        if request.off:
            by_reason.setdefault(request.off, []).append(request.name)
    lines = []
    for reason, names in by_reason.items():
        more = f" and {len(names) - MAX_TOLD} more" if len(names) > MAX_TOLD else ""
        lines.append(f"{', '.join(names[:MAX_TOLD])}{more}: {reason}")
    return tuple(lines)


def _require_one(where: str, requests: tuple[Request, ...]) -> None:
    if all(request.off for request in requests):
        reasons = "; ".join(dict.fromkeys(request.off for request in requests))
        raise wrong(where, "#/paths", f"no operation can be taken in, of {len(requests)}: {reasons}")


def _server(references: References, root: Node, address: str) -> tuple[str, str, tuple[str, ...]]:
    """Address, path before every path, and what to tell about them."""
    servers = references.items(references.at(root, "servers"))
    url = _filled_url(references, servers[0]) if servers else ""
    notes = []
    if len(servers) > 1:
        notes.append(f"the first of {len(servers)} servers is taken")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise wrong(references.where, "#/servers/0/url", f"expected a URL, got {url!r}: {error}") from error
    if address:
        given = urlsplit(address)
        return f"{given.scheme}://{given.netloc}", given.path.rstrip("/") or parts.path.rstrip("/"), tuple(notes)
    if parts.scheme in ("http", "https") and re.fullmatch(r"[^\s{}@]+", parts.netloc):
        return f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/"), tuple(notes)
    notes.append(f"the document names no server with a host: {DEFAULT_ADDRESS} is put in, change it to yours")
    return DEFAULT_ADDRESS, f"/{parts.path.strip('/')}".rstrip("/"), tuple(notes)


def _filled_url(references: References, server: Node) -> str:
    def default(found: re.Match[str]) -> str:
        variable = references.at(server, "variables", found[1]).mapping
        return str(variable.get("default", ""))

    return _SLOT.sub(default, server.text("url"))


@dataclass(slots=True, kw_only=True)
class _Reader:
    """Walks over the operations and gathers which credentials they ask for."""

    references: References
    root: Node
    prefix: str
    all_methods: bool
    columns: dict[str, str] = field(default_factory=dict)
    made_up: list[str] = field(default_factory=list)

    def requests(self) -> Iterator[Request]:
        """Each operation, in the order of the document, with a name of its own."""
        taken: set[str] = set()
        paths = self.references.at(self.root, "paths")
        for path in paths.mapping:
            if path.startswith("x-"):
                continue
            item = self.references.at(paths, path)
            for method in _METHODS:
                operation = self.references.at(item, method)
                if isinstance(operation.value, dict):
                    request = self._request(method.upper(), path, item, operation, taken)
                    taken.add(request.name)
                    yield request

    def _request(self, method: str, path: str, item: Node, operation: Node, taken: set[str]) -> Request:
        name = " ".join((operation.text("operationId") or path).split())[:MAX_NAME]
        if name in taken:
            name = f"{name} ({method})" if f"{name} ({method})" not in taken else f"{name} ({len(taken)})"
        proof = proof_of(self.references, self.root, operation)
        draft = _Draft(references=self.references, method=method, path=path, proof=proof)
        try:
            draft.read(item, operation)
        except NoValue:
            draft.off = draft.off or "a schema requires itself without end, or too much: no value fits"
        call = draft.call(self.prefix, operation.text("summary"))
        off = draft.off or self._why_off(method, item, operation) or _unwritable(call)
        if not off:
            self.columns.update(proof.columns)
            self.made_up += [f"{made_up} of {name}" for made_up in draft.made_up]
        return Request(name=name, steps=(call,), off=off)

    def _why_off(self, method: str, item: Node, operation: Node) -> str:
        for node in (operation, item):
            servers = self.references.items(self.references.at(node, "servers"))
            if servers:
                return f"it has a server of its own: {servers[0].text('url')}"
        if method not in SAFE and not self.all_methods:
            return CHANGES
        return ""


def _unwritable(call: Call) -> str:
    """Why an experiment cannot hold the call."""
    body = call.body.value if call.body else None
    if not all(map(is_writable, (call.path, *call.query.values(), body))):
        return "a value is too long, too deep or too large a number for an experiment"
    if not all(can_be_sent(name, value) for name, value in call.headers.items()):
        return "a header cannot be sent: it is not of printable ASCII, or too long"
    if not call.path.startswith("/"):
        return "its path does not begin with /"
    return ""


@dataclass(slots=True, kw_only=True)
class _Draft:
    """A call being filled in; `remarks` tell where each value is from."""

    references: References
    method: str
    path: str
    proof: Proof
    query: dict[str, JsonValue] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    cookies: dict[str, str] = field(default_factory=dict)
    body: Body | None = None
    status: int | str = "2xx"
    remarks: list[str] = field(default_factory=list)
    made_up: list[str] = field(default_factory=list)
    off: str = ""

    def read(self, item: Node, operation: Node) -> None:
        """Everything that the operation says. Raises NoValue where a required value cannot be made up."""
        self.status = _least_status(operation.mapping.get("responses"))
        for parameter in self._parameters(item, operation):
            self._parameter(parameter)
        for name in _SLOT.findall(self.path):
            self._fill(name, Sample(value=1, source=f"{MADE_UP}: the document does not describe it"))
        body = self.references.at(operation, "requestBody")
        if body.mapping and self.method not in SAFE:
            self._read_body(body)

    def call(self, prefix: str, summary: str) -> Call:
        """The call as far as it could be filled in."""
        cookies = "; ".join(f"{name}={value}" for name, value in {**self.cookies, **self.proof.cookies}.items())
        headers = {**self.headers, **self.proof.headers, **({"Cookie": cookies} if cookies else {})}
        query = {**self.query, **self.proof.query}
        path = quote(f"{prefix}{self.path}", safe=URL_CHARACTERS)
        if any(isinstance(value, list) for value in query.values()):
            path, query = f"{path}?{_encoded(query)}", {}
        return Call(
            method=self.method,
            path=path,
            query=query,
            headers=headers,
            body=self.body,
            status=self.status,
            remarks=(*([summary] if summary else []), *self.remarks),
        )

    def _parameters(self, item: Node, operation: Node) -> list[Node]:
        """Those of the operation, which win, and of its path; the required ones and all in the path."""
        found: dict[tuple[str, str], Node] = {}
        for node in (item, operation):
            for parameter in self.references.items(self.references.at(node, "parameters")):
                found[parameter.text("name"), parameter.text("in")] = parameter
        return [one for one in found.values() if one.text("in") == "path" or one.mapping.get("required") is True]

    def _parameter(self, parameter: Node) -> None:
        name, where = parameter.text("name"), parameter.text("in")
        if where == "header" and name.lower() in _NOT_OURS:
            return
        made = _value_of(self.references, parameter)
        if where != "path":
            made = Sample(value=literal(made.value), source=made.source)
        if where == "path":
            self._fill(name, made)
            return
        self.remarks.append(f"{name}: {made.source}")
        if where == "query":
            self.query.update(_in_query(name, made.value, parameter))
        elif where == "header":
            self.headers[name] = _word(made.value)
        elif where == "cookie":
            self.cookies[name] = _word(made.value)

    def _fill(self, name: str, made: Sample) -> None:
        text = _word(made.value)
        self.remarks.append(f"{name} = {text}: {made.source}")
        if made.source.startswith(MADE_UP):
            self.made_up.append(name)
        self.path = self.path.replace("{" + name + "}", quote(text, safe=",") or "-")

    def _read_body(self, body: Node) -> None:
        content = self.references.at(body, "content")
        kind = next((key for wanted in _KINDS for key in content.mapping if re.match(wanted, key.lower())), "")
        if not kind:
            kinds = ", ".join(content.mapping) or "of no type"
            self.off = f"its body ({kinds}) cannot be written here"
            return
        made = _value_of(self.references, self.references.at(content, kind))
        made = Sample(value=literal(made.value), source=made.source)
        self.remarks.append(f"body: {made.source}")
        if "json" in kind:
            self.body = Body(kind="json", value=made.value)
            if kind.lower() != "application/json":
                self.headers["Content-Type"] = kind
        elif "form" in kind and isinstance(made.value, dict):
            self.body = Body(kind="form", value={key: _word(value) for key, value in made.value.items()})
        else:
            self.body = Body(kind="body", value=_word(made.value))
            self.headers["Content-Type"] = kind


_KINDS = (r"application/json\b", r"[\w.]+/[\w.-]*\+?json\b", r"application/x-www-form-urlencoded\b", r"text/")


def _value_of(references: References, node: Node) -> Sample:
    """Of a parameter or a media type: its own example(s), else its schema's. Raises NoValue when that is too large."""
    found = _told_or_made(references, node)
    if not has_at_most(MAX_VALUES, found.value):
        raise NoValue
    return found


def _told_or_made(references: References, node: Node) -> Sample:
    if "example" in node.mapping:
        return Sample(value=node.mapping["example"], source="the example")
    for example in references.items(references.at(node, "examples")):
        if "value" in example.mapping:
            return Sample(value=example.mapping["value"], source="the example")
    if "content" in node.mapping and "schema" not in node.mapping:
        content = references.items(references.at(node, "content"))
        return _told_or_made(references, content[0]) if content else Sample(value="text", source=MADE_UP)
    return sample(references, references.at(node, "schema"))


def _in_query(name: str, value: JsonValue, parameter: Node) -> Mapping[str, JsonValue]:
    """As the parameter's style says (OpenAPI 3.1, 4.8.12.3); a list stays one where it is repeated."""
    explode = parameter.mapping.get("explode", True) is not False
    if isinstance(value, dict):
        if parameter.text("style") == "deepObject":
            return {f"{name}[{key}]": _word(item) for key, item in value.items()}
        return {key: _word(item) for key, item in value.items()} if explode else {name: _word(value)}
    if isinstance(value, list):
        items: list[JsonValue] = [_word(item) for item in value]
        return {name: items if explode and len(items) > 1 else _word(value)}
    return {name: value if isinstance(value, int | float) and not isinstance(value, bool) else _word(value)}


def _encoded(query: Mapping[str, JsonValue]) -> str:
    """A query string, for names that stand in it more than once; a template stays as it is."""
    pairs = [(name, one) for name, value in query.items() for one in (value if isinstance(value, list) else [value])]
    words = [(quote(name, safe=""), _word(value)) for name, value in pairs]
    return "&".join(f"{name}={word if word.startswith('{{') else quote(word, safe='')}" for name, word in words)


def _word(value: JsonValue) -> str:
    """A value as one word of a URL, header or form field."""
    if isinstance(value, list) and not any(isinstance(item, dict | list) for item in value):
        return ",".join(map(_word, value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _least_status(responses: JsonValue) -> int | str:
    """The lowest success that is documented, else the lowest redirect, else any success."""
    codes = sorted(str(code).upper() for code in responses) if isinstance(responses, dict) else []
    for first in "23":
        for code in codes:
            if re.fullmatch(rf"{first}\d\d", code):
                return int(code)
        if f"{first}XX" in codes:
            return f"{first}xx"
    return "2xx"
