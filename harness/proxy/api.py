"""The Toxiproxy HTTP API as a function: (method, path, body) to an answer. No socket is touched here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from harness.proxy.book import Book
from harness.proxy.forward import STREAMS, Forward
from harness.proxy.words import ApiError

VERSION = "2.12.0+embedded"
"""The API that is spoken; the build part tells logs and journals that this is not the Go server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What goes back: `value` as JSON, else `text` as it stands; neither is an empty body."""

    status: int = 200
    value: object = None
    text: str = ""


async def answer(book: Book, method: str, path: str, body: bytes) -> Answer:
    """Do what a request asks. Never raises for a bad request: that is an answer too."""
    parts = tuple(unquote(part) for part in path.partition("?")[0].strip("/").split("/"))
    try:
        handlers = _routes(book, parts, body)
        if not handlers:
            return Answer(status=404, text="404 page not found\n")
        if method not in handlers:
            return Answer(status=405)
        return await handlers[method]()
    except ApiError as error:
        return Answer(status=error.status, value=error.as_json())


Handler = Callable[[], Awaitable[Answer]]


def _routes(book: Book, parts: tuple[str, ...], body: bytes) -> Mapping[str, Handler]:
    """The methods of a path, each with what it does; empty when there is no such path."""
    if parts[0] == "proxies":
        return _proxies_routes(book, parts[1:], body)
    tables: Mapping[str, Mapping[str, Handler]] = {
        "version": {"GET": lambda: _value({"version": VERSION})},
        "metrics": {"GET": lambda: _text(metrics(book))},
        "reset": {"POST": lambda: _reset(book)},
        "populate": {"POST": lambda: _populate(book, body)},
    }
    return tables.get("/".join(parts), {})


def _proxies_routes(book: Book, rest: tuple[str, ...], body: bytes) -> Mapping[str, Handler]:
    """The methods of a path below /proxies."""
    match rest:
        case ():
            every = {name: proxy.as_json() for name, proxy in book.proxies.items()}
            return {"GET": lambda: _value(every), "POST": lambda: _create(book, body)}
        case (name,):
            return _proxy_routes(book, name, body)
        case (name, "toxics"):
            return _toxics_routes(book, name, body)
        case (name, "toxics", toxic):
            return _toxic_routes(book, name, toxic, body)
    return {}


def _proxy_routes(book: Book, name: str, body: bytes) -> Mapping[str, Handler]:
    """One proxy."""

    async def update() -> Answer:
        proxy = book.proxy(name)
        await book.update(proxy, body)
        return Answer(value=proxy.as_json())

    async def delete() -> Answer:
        book.delete(book.proxy(name))
        return Answer(status=204)

    async def show() -> Answer:
        return Answer(value=book.proxy(name).as_json())

    return {"GET": show, "POST": update, "PATCH": update, "DELETE": delete}


def _toxics_routes(book: Book, name: str, body: bytes) -> Mapping[str, Handler]:
    """The toxics of one proxy."""

    async def index() -> Answer:
        return Answer(value=book.proxy(name).as_json()["toxics"])

    async def create() -> Answer:
        return Answer(value=book.add_toxic(book.proxy(name), body).as_json())

    return {"GET": index, "POST": create}


def _toxic_routes(book: Book, name: str, toxic_name: str, body: bytes) -> Mapping[str, Handler]:
    """One toxic."""

    async def show() -> Answer:
        return Answer(value=book.toxic(book.proxy(name), toxic_name).as_json())

    async def update() -> Answer:
        proxy = book.proxy(name)
        toxic = book.toxic(proxy, toxic_name)
        book.update_toxic(proxy, toxic, body)
        return Answer(value=toxic.as_json())

    async def delete() -> Answer:
        proxy = book.proxy(name)
        proxy.remove(book.toxic(proxy, toxic_name))
        return Answer(status=204)

    return {"GET": show, "POST": update, "PATCH": update, "DELETE": delete}


async def _value(value: object) -> Answer:
    """A JSON answer."""
    return Answer(value=value)


async def _text(text: str) -> Answer:
    """A plain answer."""
    return Answer(text=text)


async def _create(book: Book, body: bytes) -> Answer:
    """A new proxy."""
    proxy = await book.create(body)
    return Answer(status=201, value=proxy.as_json())


async def _reset(book: Book) -> Answer:
    """Everything enabled, nothing toxic."""
    await book.reset()
    return Answer(status=204)


async def _populate(book: Book, body: bytes) -> Answer:
    """Many proxies; an error keeps, and names, those that were done before it."""
    done: list[Forward] = []
    status, failure = 201, {}
    try:
        await book.populate(body, done)
    except ApiError as error:
        status, failure = error.status, dict(error.as_json())
    return Answer(status=status, value={**failure, "proxies": [proxy.as_json() for proxy in done]})


def metrics(book: Book) -> str:
    """Bytes by proxy and direction in the Prometheus text format, under the names of the Go server."""
    names = ("toxiproxy_proxy_received_bytes_total", "toxiproxy_proxy_sent_bytes_total")
    lines: tuple[list[str], list[str]] = ([f"# TYPE {names[0]} counter"], [f"# TYPE {names[1]} counter"])
    for proxy in book.proxies.values():
        for stream in STREAMS:
            labels = ",".join(
                f'{key}="{_escape(value)}"'
                for key, value in (
                    ("direction", stream),
                    ("listener", proxy.listen),
                    ("proxy", proxy.name),
                    ("upstream", proxy.upstream),
                )
            )
            for name, rows, count in zip(names, lines, proxy.bytes_passed(stream), strict=True):
                rows.append(f"{name}{{{labels}}} {count}")
    return "\n".join([*lines[0], *lines[1]]) + "\n"


def _escape(value: str) -> str:
    """A label value of the text format."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
