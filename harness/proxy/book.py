"""All proxies of the server by name, and what may be done to them. Errors are `ApiError`s with Go's words."""

from __future__ import annotations

from harness.proxy.forward import STREAMS, Forward
from harness.proxy.toxic import Toxic
from harness.proxy.toxics import STAGES
from harness.proxy.words import ApiError, Words, parse


class Book:
    """The proxies. Calls come one at a time (the server sees to it), so each sees a settled state."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.proxies: dict[str, Forward] = {}

    def proxy(self, name: str) -> Forward:
        """A proxy, or 404."""
        if name not in self.proxies:
            raise ApiError(404, "proxy not found")
        return self.proxies[name]

    def toxic(self, proxy: Forward, name: str) -> Toxic:
        """A toxic of a proxy, or 404. Names are unique across both directions."""
        for toxic in proxy.toxics:
            if toxic.name == name:
                return toxic
        raise ApiError(404, "toxic not found")

    async def create(self, body: bytes) -> Forward:
        """Add a proxy and start it unless it says `enabled: false`."""
        words = Words(parse(body))
        proxy = self.draft(words, "")
        if proxy.name in self.proxies:
            raise ApiError(409, "proxy already exists")
        if words.flag("enabled", default=True):
            await start(proxy)
        self.proxies[proxy.name] = proxy
        return proxy

    async def update(self, proxy: Forward, body: bytes) -> None:
        """Change listen, upstream or enabled; a new address drops the connections."""
        words = Words(parse(body))
        listen, upstream = words.text("listen", proxy.listen), words.text("upstream", proxy.upstream)
        enabled = words.flag("enabled", default=proxy.enabled)
        if differs(proxy, listen, upstream):
            proxy.stop()
            proxy.listen, proxy.upstream = listen, upstream
        if enabled:
            await start(proxy)
        else:
            proxy.stop()

    async def populate(self, body: bytes, done: list[Forward]) -> None:
        """Add or replace a list of proxies; equal ones are kept as they are. `done` gets each in turn."""
        items = parse(body)
        if not isinstance(items, list):
            raise ApiError(400, f"bad request body: expected a list, got {type(items).__name__}")
        drafts = [
            (self.draft(words, f" at proxy {index}"), words.flag("enabled", default=True))
            for index, words in enumerate(map(Words, items), 1)
        ]
        for proxy, enabled in drafts:
            done.append(await self.replace(proxy, enabled=enabled))

    async def replace(self, proxy: Forward, *, enabled: bool) -> Forward:
        """The proxy of that name that is there when it has the same addresses, else this one."""
        existing = self.proxies.get(proxy.name)
        if existing is not None:
            if not differs(existing, proxy.listen, proxy.upstream):
                return existing
            existing.stop()
        if enabled:
            await start(proxy)
        self.proxies[proxy.name] = proxy
        return proxy

    def delete(self, proxy: Forward) -> None:
        """Stop a proxy and forget it."""
        proxy.stop()
        del self.proxies[proxy.name]

    async def reset(self) -> None:
        """Start every proxy and remove every toxic."""
        for proxy in self.proxies.values():
            await start(proxy)
            for toxic in tuple(proxy.toxics):
                proxy.remove(toxic)

    def close(self) -> None:
        """Stop everything."""
        for proxy in self.proxies.values():
            proxy.stop()

    def draft(self, words: Words, place: str) -> Forward:
        """A proxy that is not started, or 400."""
        name, upstream = words.text("name", ""), words.text("upstream", "")
        for field, value in (("name", name), ("upstream", upstream)):
            if not value:
                raise ApiError(400, f"missing required field: {field}{place}")
        return Forward(name=name, listen=words.text("listen", ""), upstream=upstream, seed=self.seed)

    def add_toxic(self, proxy: Forward, body: bytes) -> Toxic:
        """Put a toxic on a proxy: downstream, on all connections, named `<type>_<stream>` when not said."""
        words = Words(parse(body))
        kind, stream = words.text("type", ""), words.text("stream", "downstream").lower()
        if stream not in STREAMS:
            raise ApiError(400, "stream was invalid, can be either upstream or downstream")
        name = words.text("name", "") or f"{kind}_{stream}"
        if kind not in STAGES:
            raise ApiError(400, "invalid toxic type")
        if any(toxic.name == name for toxic in proxy.toxics):
            raise ApiError(409, "toxic already exists")
        toxicity, attributes = settings(words, STAGES[kind].words, 1.0, {})
        toxic = proxy.new_toxic(name=name, kind=kind, stream=stream)
        toxic.toxicity = toxicity
        toxic.attributes.update(attributes)
        proxy.add(toxic)
        return toxic

    def update_toxic(self, proxy: Forward, toxic: Toxic, body: bytes) -> None:
        """Change toxicity and attributes; what is not given stays."""
        toxicity, attributes = settings(Words(parse(body)), STAGES[toxic.kind].words, toxic.toxicity, toxic.attributes)
        toxic.toxicity = toxicity
        toxic.attributes.update(attributes)
        proxy.change(toxic)


def settings(
    words: Words, known: tuple[str, ...], toxicity: float, attributes: dict[str, int]
) -> tuple[float, dict[str, int]]:
    """Toxicity and attributes, all checked before anything is changed; unknown ones are ignored, as in Go."""
    inner = words.inner("attributes")
    values = {key: inner.whole(key, attributes.get(key, 0)) for key in known}
    return words.number("toxicity", toxicity), values


async def start(proxy: Forward) -> None:
    """Start a proxy, or 500 with the reason, as Go does."""
    try:
        await proxy.start()
    except (OSError, ValueError) as error:
        raise ApiError(500, str(error)) from None


def differs(proxy: Forward, listen: str, upstream: str) -> bool:
    """Whether other addresses are asked for, or 500 when `listen` is none."""
    try:
        return proxy.differs(listen, upstream)
    except ValueError as error:
        raise ApiError(500, str(error)) from None
