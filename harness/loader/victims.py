"""What a fault acts on: the name that stands for it, and whether two faults may meet on one thing."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

from harness.experiment import ComposeStack, ExternalStack, Fault, ProcessStack, Selector
from harness.loader.draft import Draft, no_such
from harness.loader.faults import Effect
from harness.loader.problems import Path, Problems
from harness.units import format_percent

_WILD = "*?["
_PLACE = re.compile(r"(?<!\$)\{([A-Za-z_][\w.-]*)\}")


def resolve_on(effect: Effect, path: Path, draft: Draft, problems: Problems) -> str:
    """What the fault acts on, in words; a toxic's service becomes the one proxy before it."""
    on, driver, place = effect.on, effect.kind.driver, (*path, "on")
    if driver == "container":
        _container(effect, path, draft, problems)
    if driver == "http":
        _places(effect, path, draft, problems)
    if isinstance(on, Selector):
        return words(on)
    if driver == "toxiproxy":
        return _proxy_of(on, place, draft, problems)
    if driver == "process":
        needs_process(on, place, draft, problems)
    return on


def words(selector: Selector) -> str:
    """A selector as the plan tells it: service api (2), label tier=db (all), name shop-* (30%)."""
    how_many = {"count": f"{selector.amount:g}", "share": format_percent(selector.amount)}
    return f"{selector.by} {selector.pattern} ({how_many.get(selector.mode, selector.mode)})"


def may_meet(one: Fault, two: Fault) -> bool:
    """Whether two faults of one driver may hit the same thing. In doubt they may: nobody has drawn yet."""
    if one.select is None and two.select is None:
        return one.on == two.on
    if one.select is None or two.select is None:
        chosen, name = (two.select, one.on) if one.select is None else (one.select, two.on)
        return chosen is None or _may_be(chosen, name)
    return _selectors_meet(one.select, two.select)


def _may_be(selector: Selector, name: str) -> bool:
    """Whether a plain name, of a service or a container, may be among a selector's."""
    if selector.by == "service":
        return selector.pattern in name
    return selector.by == "label" or fnmatchcase(name, selector.pattern) or name in selector.pattern


def _selectors_meet(one: Selector, two: Selector) -> bool:
    if one.by == two.by == "service":
        return one.pattern == two.pattern
    if one.by == two.by == "label":
        (key, _, value), (other_key, _, other) = one.pattern.partition("="), two.pattern.partition("=")
        return key != other_key or not value or not other or value == other
    if one.by == two.by == "name":
        start, other_start = _fixed(one.pattern), _fixed(two.pattern)
        return start.startswith(other_start) or other_start.startswith(start)
    return True


def _fixed(pattern: str) -> str:
    """What every name that fits begins with."""
    return next((pattern[:at] for at, letter in enumerate(pattern) if letter in _WILD), pattern)


def _container(effect: Effect, path: Path, draft: Draft, problems: Problems) -> None:
    named = effect.on if isinstance(effect.on, str) else effect.on.pattern if effect.on.by == "service" else ""
    services = draft.services or frozenset()
    if isinstance(draft.stack, ProcessStack) and named in services:
        problems.add((*path, "on"), f"{named} is a process, not a container", hint=f"process: {effect.kind.name}")
    if not isinstance(draft.stack, ComposeStack) or draft.services is None:
        return
    if named and named not in services:
        hint = "" if isinstance(effect.on, Selector) else f"a container outside of the stack: on: {{name: {named}}}"
        problems.add((*path, "on"), no_such("service", named, services), hint=hint)
    other = effect.params.get("from")
    if isinstance(other, str) and other not in services:
        problems.add((*path, "from"), no_such("service", other, services))


def _places(effect: Effect, path: Path, draft: Draft, problems: Problems) -> None:
    """Every {name} in a call's URL has an address."""
    for step in ("inject", "heal", "confirm"):
        for name in _PLACE.findall(str(effect.params.get(step, ""))):
            if draft.links is not None and name not in draft.links:
                problems.add((*path, step), no_such("service or proxy", name, draft.links))


def _proxy_of(on: str, place: Path, draft: Draft, problems: Problems) -> str:
    if on in draft.named["proxies"]:
        return on
    before = [proxy.value.name for proxy in draft.proxies if proxy.value.upstream == on]
    if len(before) == 1:
        return before[0]
    if before:
        problems.add(place, f"{on} has {len(before)} proxies before it", hint=f"name one of {', '.join(before)}")
    elif "proxies" in draft.partial:
        pass
    elif on in (draft.services or ()):
        hint = f"add proxies: {{{on}-link: {{upstream: {on}}}}}, and let its clients use {on}-link"
        problems.add(place, f"no proxy stands before {on}, so no toxic can reach it", hint=hint)
    else:
        problems.add(place, no_such("proxy", on, draft.named["proxies"] | (draft.services or frozenset())))
    return on


def needs_process(on: str, place: Path, draft: Draft, problems: Problems) -> None:
    """Only what the harness started itself is known as a process."""
    if isinstance(draft.stack, ExternalStack | ComposeStack):
        hint = "use container: for a container; process: needs stack: {process: ...}"
        problems.add(place, f"{on} is no process that the harness started", hint=hint)
    elif draft.services is not None and on not in draft.services:
        problems.add(place, no_such("service", on, draft.services))
