"""What must be true across the sections of an experiment: names that exist, times that fit, faults that do not fight.

Sections arrive already read; a section that could not be read is left out, and nothing is said about what refers to
it. `resolve` fills in what follows from other sections: a toxic's proxy, a fault's length, the subject of a reading.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from itertools import pairwise

from harness.experiment import (
    ROLES,
    ComposeStack,
    Fault,
    Limit,
    ProbeSpec,
    ProcessStack,
    Proxy,
    Question,
    Stage,
)
from harness.loader.draft import Draft, no_such
from harness.loader.limits import HOST, MEMORY_AS_SIZE, PROBE_METRICS, PROBE_METRICS_OF, REQUEST_METRICS
from harness.loader.problems import Problems, did_you_mean, shown
from harness.loader.schedule import schedule
from harness.loader.sections import Placed
from harness.loader.stages import check_stages, in_words
from harness.loader.victims import needs_process

_REFERENCE = re.compile(r"(?<!\$)\{([A-Za-z_][\w.-]*)\}")
_NUMBERED = re.compile(r"-\d+$")
_OWN_WORDS = ("port", "python")


def check(draft: Draft, problems: Problems) -> tuple[Fault, ...]:
    """Note every contradiction; the faults, complete, of those that make sense."""
    _addresses(draft, problems)
    _stages(draft, problems)
    faults = schedule(draft, problems)
    _unique(draft, faults, problems)
    _probes(draft, problems)
    for limit in (*draft.budget, *draft.abort, *draft.steady_state):
        _scopes(limit, draft, faults, problems)
        _limit(limit, draft, problems)
    _questions(draft, problems)
    return tuple(fault.value for fault in faults)


def resolve(limit: Limit, probes: Collection[ProbeSpec]) -> Limit:
    """A probe's metric with its subject filled in, where only one has it; memory as a size by its name there."""
    if limit.metric in REQUEST_METRICS:
        return limit
    of = limit.of or _subjects(limit.metric, probes)[0]
    metric = limit.metric
    if metric == "memory" and limit.unit == "bytes":
        kinds = [probe.kind for probe in probes if probe.of == of and probe.kind in MEMORY_AS_SIZE]
        metric = MEMORY_AS_SIZE[kinds[0]] if kinds else metric
    return replace(limit, of=of, metric=metric)


def _unique(draft: Draft, faults: tuple[Placed[Fault], ...], problems: Problems) -> None:
    _no_repeats(((stage.path, stage.value.name) for stage in draft.stages), "stages", problems)
    named = [(placed.path, placed.value.name) for placed in draft.faults]
    named += [(placed.path, placed.value.name) for placed in faults if placed.value.group]
    _no_repeats(named, "faults", problems)
    services = draft.services or frozenset()
    for proxy in draft.proxies:
        if proxy.value.name in services:
            problems.add(
                proxy.path,
                f"a service is called {proxy.value.name} too, so nobody could say which one is meant",
                hint=f"call the proxy {proxy.value.name}-link, say",
            )
    stages = {stage.value.name for stage in draft.stages}
    for path, name in named:
        if name in stages or name in ROLES:
            what = "stage" if name in stages else "role"
            problems.add((*path, "name"), f"a {what} is called {name} too; limits could mean either")
    for stage in draft.stages:
        if stage.value.name in ROLES and stage.value.role != stage.value.name:
            message = f"a stage called {stage.value.name} must have that role, got {stage.value.role}"
            problems.add((*stage.path, "name"), message)


def _no_repeats(named: Iterable[tuple[tuple[str | int, ...], str]], what: str, problems: Problems) -> None:
    seen: set[str] = set()
    for path, name in named:
        if name in seen:
            place = path if path[0] == "ladder" else (*path, "name")
            problems.add(place, f"two {what} are called {name}; give each its own name")
        seen.add(name)


def _addresses(draft: Draft, problems: Problems) -> None:
    links = draft.links
    for proxy in draft.proxies:
        if links is not None and proxy.value.upstream not in links:
            problems.add((*proxy.path, "upstream"), no_such("service or proxy", proxy.value.upstream, links))
    _cycles({proxy.value.name: proxy for proxy in draft.proxies}, problems)
    if draft.traffic and links is not None and draft.traffic.target not in links:
        problems.add(("traffic", "target"), no_such("service or proxy", draft.traffic.target, links))
    if isinstance(draft.stack, ProcessStack):
        _process_addresses(draft.stack, draft, problems)
    if isinstance(draft.stack, ComposeStack):
        _compose_addresses(draft.stack, draft, problems)


def _process_addresses(stack: ProcessStack, draft: Draft, problems: Problems) -> None:
    for service in stack.services:
        place = ("stack", "process", service.name)
        known = None if draft.links is None else {*draft.links, *_OWN_WORDS}
        if service.name in _OWN_WORDS:
            message = f"a service cannot be called {service.name}: {{{service.name}}} has a meaning of its own"
            problems.add(place, message)
        _references(service.command, (*place, "command"), known, problems)
        for key, value in service.env.items():
            _references(value, (*place, "env", key), known, problems)


def _compose_addresses(stack: ComposeStack, draft: Draft, problems: Problems) -> None:
    for key, value in stack.env.items():
        _references(value, ("stack", "compose", "env", key), draft.named["proxies"], problems)
    for name in stack.ready:
        if draft.services is not None and name not in draft.services:
            problems.add(("stack", "compose", "ready", name), no_such("service", name, draft.services))


def _references(text: str, path: tuple[str, ...], known: Collection[str] | None, problems: Problems) -> None:
    """Every {name} in a text must be known; that is also the only meaning that braces around a word can have."""
    for name in _REFERENCE.findall(text):
        if known is not None and name not in known:
            problems.add(path, no_such("service or proxy", name, known))


def _cycles(proxies: Mapping[str, Placed[Proxy]], problems: Problems) -> None:
    for name, proxy in proxies.items():
        chain = [name]
        while (upstream := proxies[chain[-1]].value.upstream) in proxies and upstream not in chain:
            chain.append(upstream)
        if upstream == name:
            round_trip = " -> ".join([*chain, name])
            problems.add((*proxy.path, "upstream"), f"the proxies lead in a circle: {round_trip}")


def _stages(draft: Draft, problems: Problems) -> None:
    stages = draft.stages
    if "stages" in draft.partial or not stages:
        return
    check_stages(stages, problems)


def _probes(draft: Draft, problems: Problems) -> None:
    links = draft.links
    for placed in draft.probes:
        probe = placed.value
        if probe.kind == "process":
            needs_process(probe.of, (*placed.path, "process"), draft, problems)
        if probe.kind == "container" and isinstance(draft.stack, ProcessStack) and probe.of in (draft.services or ()):
            problems.add((*placed.path, "container"), f"{probe.of} is a process, not a container", hint="process:")
        if probe.of == HOST:
            problems.add(placed.path, "host is the harness's own machine, which is always read; choose another name")
        for name in _REFERENCE.findall(probe.url):
            if links is not None and name not in links:
                problems.add((*placed.path, "prometheus"), no_such("service or proxy", name, links))
    counts = Counter((placed.value.kind, placed.value.of, placed.value.url) for placed in draft.probes)
    for placed in draft.probes:
        if counts[placed.value.kind, placed.value.of, placed.value.url] > 1:
            problems.add(placed.path, f"two probes read the same of {placed.value.of}; keep one")


def _scopes(placed: Placed[Limit], draft: Draft, faults: tuple[Placed[Fault], ...], problems: Problems) -> None:
    drawn = {fault.value.name for fault in faults if fault.value.group}
    known = {*draft.named["stages"], *draft.named["faults"], *drawn, *ROLES}
    unknown_yet = draft.named["faults"] - {fault.value.group for fault in faults}
    for name in placed.value.scope:
        if name not in known:
            if _NUMBERED.sub("", name) not in unknown_yet:
                problems.add(placed.path, no_such("stage, role or fault", name, known))
        elif "stages" not in draft.partial and not draft.scoped(name) and name not in drawn:
            problems.add(placed.path, f"no stage has the role {name}, so the limit would never be looked at")


def _limit(placed: Placed[Limit], draft: Draft, problems: Problems) -> None:
    limit = placed.value
    if limit.metric in REQUEST_METRICS:
        _endpoint(placed, draft, problems)
        return
    if "probes" in draft.partial:
        return
    probes = [probe.value for probe in draft.probes]
    subjects = _subjects(limit.metric, probes)
    if limit.of == HOST and limit.metric in PROBE_METRICS_OF[HOST]:
        if limit.metric == "memory" and limit.unit == "bytes":
            problems.add(placed.path, "memory of host is read as a share only; write a percentage")
    elif not subjects:
        problems.add(placed.path, _undelivered(limit, probes))
    elif not limit.of and len(subjects) > 1:
        problems.add(placed.path, f"{limit.metric} of what? Probes read it of {', '.join(subjects)}")
    elif limit.of and limit.of not in subjects:
        near = did_you_mean(limit.of, subjects)
        problems.add(placed.path, f"no probe reads {limit.metric} of {limit.of}, only of {', '.join(subjects)}{near}")


def _endpoint(placed: Placed[Limit], draft: Draft, problems: Problems) -> None:
    """The requests of declared traffic are known by name; what a locustfile asks is known when it has run."""
    declared = draft.traffic and draft.traffic.declared
    if declared and placed.value.of and placed.value.of not in declared.endpoints:
        problems.add(placed.path, no_such("request", shown(placed.value.of), declared.endpoints))


def _subjects(metric: str, probes: Iterable[ProbeSpec]) -> tuple[str, ...]:
    """Whose readings have this metric. The host's stand for nobody else's: `cpu < 60%` without a probe is refused."""
    found = tuple(dict.fromkeys(probe.of for probe in probes if metric in _delivered(probe)))
    only_of_host = not any(metric in metrics for kind, metrics in PROBE_METRICS_OF.items() if kind != HOST)
    return (HOST,) if not found and only_of_host and metric in PROBE_METRICS_OF[HOST] else found


def _delivered(probe: ProbeSpec) -> tuple[str, ...]:
    if probe.kind == "prometheus":
        return probe.series
    return tuple(PROBE_METRICS_OF[probe.kind])


def _undelivered(limit: Limit, probes: Iterable[ProbeSpec]) -> str:
    if limit.metric in PROBE_METRICS:
        kinds = [kind for kind, metrics in PROBE_METRICS_OF.items() if limit.metric in metrics and kind != HOST]
        offer = " or ".join(f"{{{kind}: {limit.of or 'NAME'}}}" for kind in kinds)
        return f"no probe reads {limit.metric}{f' of {limit.of}' if limit.of else ''}; add {offer} to probes"
    known = (*REQUEST_METRICS, *PROBE_METRICS, *(series for probe in probes for series in probe.series))
    near = did_you_mean(limit.metric, known)
    listed = ", ".join(dict.fromkeys(known))
    return f"unknown metric {shown(limit.metric)}{near} (known: {listed}, and what a prometheus probe lists in series)"


def _questions(draft: Draft, problems: Problems) -> None:
    seen: set[str] = set()
    for placed in draft.questions:
        if placed.value.kind in seen:
            problems.add(placed.path, f"the question {placed.value.kind} is asked twice")
        seen.add(placed.value.kind)
        if placed.value.kind == "breaking_point" and "stages" not in draft.partial:
            _levels(placed, draft.stages, problems)


def _levels(placed: Placed[Question], stages: tuple[Placed[Stage], ...], problems: Problems) -> None:
    found = [stage.value for stage in stages if stage.value.role == "stress"]
    levels = [stage.level for stage in found]
    if len(levels) < 2 or any(low >= high for low, high in pairwise(levels)):
        got = ", ".join(map(in_words, found)) or "none"
        problems.add(
            placed.path,
            f"breaking_point needs at least two stages of role stress with rising load, got {got}",
            hint="write ladder: {users: [100, 500, 1000, 5000]} or {rate: [100/s, 200/s]}, or role: stress",
        )
        return
    place = (*placed.path, "breaking_point", "at_least")
    least, unit = placed.value.params.get("at_least"), placed.value.params.get("at_least_unit", "users")
    if least is not None and unit != found[-1].unit:
        expected = "a rate such as 500/s" if unit == "users" else "a number of users"
        problems.add(place, f"expected {expected}, as the stages have")
    elif isinstance(least, int | float) and least > levels[-1]:
        problems.add(place, f"expected at most {in_words(found[-1])}, the highest level, got {least:g}")
