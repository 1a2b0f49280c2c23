"""HAR 1.2 (w3c.github.io/web-performance/specs/HAR): a recorded session becomes one sequence of calls and waits."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import parse_qsl, quote, urlsplit

from harness.importing.calls import (
    MAX_TEXT,
    METHODS,
    URL_CHARACTERS,
    Body,
    Call,
    Imported,
    JsonValue,
    Request,
    Wait,
    can_be_sent,
    is_writable,
    wrong,
)
from harness.importing.correlation import Exchange, correlated
from harness.importing.reading import Document

MAX_WAIT_NS = 10_000_000_000
MIN_WAIT_NS = 100_000_000
MAX_STEPS = 400
_STATIC_TYPES = ("image", "stylesheet", "script", "font", "media", "manifest", "texttrack")
_STATIC_PATH = re.compile(
    r"\.(png|jpe?g|gif|webp|avif|svg|ico|bmp|css|m?js|map|woff2?|ttf|otf|eot|mp[34]|webm|ogg|wasm|webmanifest)$", re.I
)
_STATIC_MIME = re.compile(r"(image|font|audio|video)/|text/css|(text|application)/(x-)?javascript", re.I)
_KEPT_HEADERS = re.compile(r"accept|content-type|prefer|if-match|idempotency-key|soapaction|x-.+", re.I)
_DROPPED_HEADERS = re.compile(
    r"x-(forwarded-.*|real-ip|client-data|requested-from|amzn-trace-id|devtools.*|b3-.*|cloud-trace-context)", re.I
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """An entry of the log, as far as it is used."""

    place: str
    origin: str
    began: datetime
    took: timedelta
    request: Mapping[str, JsonValue]
    response: Mapping[str, JsonValue]
    kind: str
    page: str


def from_har(document: Document, *, host: str = "", assets: bool = False, address: str = "") -> Imported:
    """The session in a HAR file, of its most frequent origin or that of `host` (name or name:port).

    Static assets are left out, unless `assets`; `address` is where the calls go instead. Raises BadInput.
    """
    log = document.tree["log"]
    said = log.get("entries") if isinstance(log, dict) else None
    if not isinstance(said, list) or not said:
        raise wrong(document.where, "log.entries", "the HAR file has no entries", "record the session, then save it")
    left: Counter[str] = Counter()
    entries = [entry for number, one in enumerate(said) if (entry := _entry(document.where, number, one, left))]
    origin = _origin(document.where, entries, host)
    for other, count in Counter(one.origin for one in entries if one.origin != origin).items():
        left[f"requests to {other} (--host takes another host)"] += count
    own = sorted((one for one in entries if one.origin == origin), key=lambda one: one.began)
    kept = [one for one in own if assets or not _is_static(one)]
    left["static assets (--assets takes them in)"] += len(own) - len(kept)
    exchanges = [(one, exchange) for one in kept if (exchange := _exchange(one, left)) is not None]
    if len(exchanges) > MAX_STEPS:
        left[f"requests after the first {MAX_STEPS}"] += len(exchanges) - MAX_STEPS
    exchanges = exchanges[:MAX_STEPS]
    if not exchanges:
        raise wrong(document.where, "log.entries", f"nothing is left of {len(said)} entries: {_told(left)}")
    found = correlated([exchange for _, exchange in exchanges])
    steps = _steps([entry for entry, _ in exchanges], found.calls, _titles(log))
    only = found.calls[0].path if len(found.calls) == 1 else ""
    return Imported(
        what=f"The recorded session of {len(found.calls)} request{'s' * (len(found.calls) != 1)}",
        address=address or origin,
        requests=(Request(name=only or f"session of {urlsplit(origin).hostname}", steps=steps),),
        credentials=found.credentials,
        notes=(*found.notes, *_cookies(kept)),
        left_out=tuple(f"{count} {what}" for what, count in left.items() if count),
    )


def _cookies(entries: list[_Entry]) -> tuple[str, ...]:
    sent = any(name.lower() == "cookie" for entry in entries for name, _ in _pairs(entry.request.get("headers")))
    return ("no cookie is written: users keep those that the target sets",) if sent else ()


def _told(left: Counter[str]) -> str:
    return "; ".join(f"{count} {what}" for what, count in left.items() if count)


def _entry(where: str, number: int, said: JsonValue, left: Counter[str]) -> _Entry | None:
    """An entry that was sent over HTTP and answered. Raises BadInput for one that is none at all."""
    place = f"log.entries[{number}]"
    entry = _mapping(said)
    request, response = _mapping(entry.get("request")), _mapping(entry.get("response"))
    url, method, began = request.get("url"), request.get("method"), entry.get("startedDateTime")
    if not isinstance(url, str) or not isinstance(method, str) or not isinstance(began, str):
        raise wrong(where, place, "expected request.url, request.method and startedDateTime, as HAR 1.2 has them")
    try:
        at = datetime.fromisoformat(began)
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise wrong(where, place, f"expected a URL and an ISO 8601 time, got {error}") from error
    kind = str(entry.get("_resourceType") or "").lower()
    if parts.scheme not in ("http", "https") or not parts.hostname or kind == "websocket":
        left["of another protocol (websocket, data:, blob:)"] += 1
        return None
    if kind == "preflight" or method.upper() == "OPTIONS":
        left["preflights of the browser (OPTIONS)"] += 1
        return None
    status = response.get("status")
    if not isinstance(status, int) or not 100 <= status <= 599:
        left["without an answer"] += 1
        return None
    took = entry.get("time")
    return _Entry(
        place=place,
        origin=f"{parts.scheme}://{parts.netloc.rpartition('@')[2].lower()}",
        began=at if at.tzinfo else at.astimezone(),
        took=timedelta(milliseconds=took if isinstance(took, int | float) and 0 <= took < 1e9 else 0),
        request=request,
        response=response,
        kind=kind,
        page=str(entry.get("pageref") or ""),
    )


def _mapping(value: object) -> Mapping[str, JsonValue]:
    return value if isinstance(value, dict) else {}


def _origin(where: str, entries: list[_Entry], host: str) -> str:
    counts = Counter(one.origin for one in entries)
    if not counts:
        raise wrong(where, "log.entries", "no entry is an HTTP request with an answer")
    if not host:
        return counts.most_common(1)[0][0]
    for origin, _ in counts.most_common():
        parts = urlsplit(origin)
        if host.lower() in (parts.hostname, parts.netloc, origin):
            return origin
    raise wrong(where, "log.entries", f"--host {host}: no request went there, but to {', '.join(counts)}")


def _is_static(entry: _Entry) -> bool:
    """By the browser's own word, else by the path, else by the type of the answer."""
    if entry.kind in ("document", "xhr", "fetch"):
        return False
    mime = str(_mapping(entry.response.get("content")).get("mimeType") or "")
    return (
        entry.kind in _STATIC_TYPES
        or _STATIC_PATH.search(urlsplit(str(entry.request["url"])).path) is not None
        or _STATIC_MIME.match(mime) is not None
    )


def _exchange(entry: _Entry, left: Counter[str]) -> Exchange | None:
    """Request and answer as a call; None for what cannot be written, which is counted."""
    request = entry.request
    method = str(request["method"]).upper()
    parts = urlsplit(str(request["url"]))
    headers = _headers(request)
    sent = {name.lower(): value for name, value in headers.items()}
    body, why = _body(_mapping(request.get("postData")), sent.get("content-type", ""))
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    query: dict[str, JsonValue] = dict(pairs)
    path = quote(parts.path, safe=URL_CHARACTERS) or "/"
    if len(query) != len(pairs) or (parts.query and not pairs):
        query, path = {}, f"{path}?{quote(parts.query, safe=URL_CHARACTERS + '?')}"
    if method not in METHODS:
        why = f"with the method {method}"
    if why:
        left[why] += 1
        return None
    if body is not None and body.kind != "body":
        headers = {
            name: value
            for name, value in headers.items()
            if name.lower() != "content-type" or not re.match(_IMPLIED[body.kind], value, re.I)
        }
    status = entry.response["status"]
    call = Call(
        method=method,
        path=path,
        query=query,
        headers=headers,
        body=body,
        status="2xx" if status == 304 else f"{str(status)[0]}xx",  # nothing is cached here
    )
    return Exchange(call=call, authorization=_authorization(request), answer=_answer(entry.response))


_IMPLIED = {"json": r"application/json\s*(;\s*charset=utf-8)?$", "form": r"application/x-www-form-urlencoded\s*(;|$)"}


def _pairs(value: JsonValue) -> list[tuple[str, str]]:
    """A HAR list of {name, value}."""
    found = [_mapping(one) for one in value] if isinstance(value, list) else []
    return [(str(one.get("name") or ""), str(one.get("value") or "")) for one in found]


def _headers(request: Mapping[str, JsonValue]) -> dict[str, str]:
    """Those that decide what is answered; what a browser says of itself and cookies are not among them."""
    return {
        name: value
        for name, value in _pairs(request.get("headers"))
        if _KEPT_HEADERS.fullmatch(name)
        and not _DROPPED_HEADERS.fullmatch(name)
        and value != "*/*"  # as if it were not there
        and can_be_sent(name, value)
    }


def _authorization(request: Mapping[str, JsonValue]) -> str:
    return next((value for name, value in _pairs(request.get("headers")) if name.lower() == "authorization"), "")


def _body(post: Mapping[str, JsonValue], content_type: str) -> tuple[Body | None, str]:
    """The body, or why it cannot be written."""
    if not post:
        return None, ""
    text = str(post.get("text") or "")
    mime = str(post.get("mimeType") or content_type).lower()
    params = _pairs(post.get("params"))
    if "multipart/" in mime:
        return None, "with an upload of several parts"
    body: Body | None = None
    if "form-urlencoded" in mime:
        fields = parse_qsl(text, keep_blank_values=True) if text else params
        body = Body(kind="form", value=dict(fields)) if fields and len(dict(fields)) == len(fields) else None
    elif "json" in mime and (value := _json(text)) is not None:
        body = Body(kind="json", value=value)
    if body is not None or not text:
        return body, ""
    return _text_body(text)


def _text_body(text: str) -> tuple[Body | None, str]:
    if len(text) > MAX_TEXT:
        return None, f"with a body of more than {MAX_TEXT} characters"
    if any(not letter.isprintable() and letter not in "\r\n\t" for letter in text):
        return None, "with a body that is no text"
    return Body(kind="body", value=text), ""


def _json(text: str) -> JsonValue:
    """The value, or None where it is none, or could not be written again as it is."""
    try:
        value: JsonValue = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict | list) and is_writable(value) else None


def _answer(response: Mapping[str, JsonValue]) -> JsonValue:
    """The JSON of an answer, or None."""
    content = _mapping(response.get("content"))
    text = content.get("text")
    if not isinstance(text, str) or "json" not in str(content.get("mimeType") or "").lower():
        return None
    if content.get("encoding") == "base64":
        try:
            text = base64.b64decode(text, validate=True).decode("utf-8")
        except (binascii.Error, UnicodeDecodeError):
            return None
    try:
        value: JsonValue = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value


def _titles(log: JsonValue) -> Mapping[str, str]:
    """Page id -> title."""
    pages = _mapping(log).get("pages")
    found = [_mapping(page) for page in pages] if isinstance(pages, list) else []
    return {str(page.get("id") or ""): str(page.get("title") or "") for page in found}


def _steps(entries: list[_Entry], calls: tuple[Call, ...], titles: Mapping[str, str]) -> tuple[Call | Wait, ...]:
    """Calls with the pauses between them; a remark where a page begins."""
    steps: list[Call | Wait] = []
    page, quiet_from = "", entries[0].began
    for entry, call in zip(entries, calls, strict=True):
        gap_s = (entry.began - quiet_from).total_seconds()
        if gap_s >= MIN_WAIT_NS / 1e9:
            steps.append(Wait(wait_ns=min(round(gap_s * 10) * MIN_WAIT_NS, MAX_WAIT_NS)))
        quiet_from = max(quiet_from, entry.began + entry.took)
        begins = entry.page and entry.page != page
        page = entry.page or page
        remarks = (f"page: {titles.get(page) or page}",) if begins else ()
        steps.append(
            Call(
                method=call.method,
                path=call.path,
                query=call.query,
                headers=call.headers,
                body=call.body,
                status=call.status,
                extract=call.extract,
                remarks=(*remarks, *call.remarks),
            )
        )
    return tuple(steps)
