"""What an experiment may not do to whom: found before anything is touched, told with the line where it is written.

    targets        an allow-list, of the experiment and of harness.toml: both must allow
    blast_radius   how many faults at one time, and for how long in all
    --i-own HOST   what is neither this machine nor a private network is nobody's to load or break without a word

A pure function of the experiment and its plan; who a name stands for is asked of `addresses_of`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path as FilePath

from harness.experiment import Experiment, ExternalStack, Fault, Limit, Targets
from harness.loader import places
from harness.loader.problems import Path, Problems
from harness.plan import Heal, Inject, Plan
from harness.units import format_duration, format_percent

SERVICE_LABEL = "com.docker.compose.service"
OTHER_END = "from"
"""The parameter that names a second container which feels the fault too."""
_BOTH = "targets of the experiment and those of harness.toml must all allow it"
_URL = re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s\"'<>]+", re.IGNORECASE)

AddressesOf = Callable[[str], Collection[str]]
"""The addresses that a host name stands for. Raises OSError when nobody knows it in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reached:
    """A host that load or faults go to, and where it is written."""

    host: str
    path: Path


def require_within(
    file: FilePath, experiment: Experiment, plan: Plan, *, own: Collection[str], addresses_of: AddressesOf
) -> None:
    """Raises BadInput with everything that the limits of the blast radius refuse of the experiment in `file`."""
    problems = places(file)
    refuse(experiment, plan, problems, own=own, addresses_of=addresses_of)
    problems.stop_if_any()


def refuse(
    experiment: Experiment, plan: Plan, problems: Problems, *, own: Collection[str], addresses_of: AddressesOf
) -> None:
    """Note everything that the limits of the blast radius refuse."""
    for fault in experiment.faults:
        _named(fault, experiment, problems)
    reached = tuple(_reached(experiment))
    for one in reached:
        if not all(_address_fits(one.host, targets.addresses) for targets in experiment.targets):
            message = f"{one.host} is outside of targets: addresses: {_allowed(experiment.targets, 'addresses')}"
            problems.add(one.path, message, hint=_BOTH)
    _at_once(experiment, plan, problems)
    _in_all(experiment, plan, problems)
    owned = {_bare(host) for host in own}
    known: dict[str, str] = {}
    for one in reached:
        if one.host in owned:
            continue
        if one.host not in known:
            known[one.host] = _not_ours(one.host, addresses_of)
        if known[one.host]:
            problems.add(one.path, known[one.host], hint=f"if it is yours to break, type --i-own {one.host}")


def allows_container(targets: tuple[Targets, ...], name: str, labels: Mapping[str, str]) -> bool:
    """Whether a container may be a victim: its name or compose service fits, and it carries a label that is listed."""
    names = {name, labels.get(SERVICE_LABEL, name)}
    return all(
        (not one.names or any(_fits(each, one.names) for each in names))
        and (not one.labels or any(_carries(labels, label) for label in one.labels))
        for one in targets
    )


def limits(experiment: Experiment, plan: Plan) -> list[tuple[str, str]]:
    """What limits the blast radius, and what must hold before it, for a person: labels and texts."""
    rows = [("allowed", line) for line in _radius(experiment, plan)]
    rows += [("targets", _told(targets)) for targets in experiment.targets]
    rows += [("steady state", limit.text) for limit in experiment.steady_state]
    if experiment.steady_state:
        rows.append(("steady state", _gate(experiment.steady_state, plan)))
    return [("" if at and rows[at - 1][0] == label else label, text) for at, (label, text) in enumerate(rows)]


def _named(fault: Fault, experiment: Experiment, problems: Problems) -> None:
    """What a fault is `on` must fit; a toxic's link also by the service that it leads to. So must whom it is parted
    from: no rule is put there, but it misses the other as much as the other misses it.
    """
    other = str(fault.params.get(OTHER_END, "")) if fault.driver == "container" else ""
    for targets in experiment.targets:
        if other and targets.names and not _fits(other, targets.names):
            message = f"{other} is outside of targets: names: {_allowed(experiment.targets, 'names')}"
            problems.add((*fault.written, OTHER_END), message, hint=_BOTH)
            break
    words = {fault.select.pattern if fault.select else fault.on}
    if fault.driver == "toxiproxy":
        words |= {proxy.upstream for proxy in experiment.proxies if proxy.name == fault.on}
    if fault.select and fault.select.by == "label":
        return  # known only when victims are drawn: `allows_container` is asked before one is touched
    for targets in experiment.targets:
        if targets.names and not any(_fits(word, targets.names) for word in words):
            message = f"{fault.on} is outside of targets: names: {_allowed(experiment.targets, 'names')}"
            problems.add((*fault.written, "on"), message, hint=_BOTH)
            return


def _at_once(experiment: Experiment, plan: Plan, problems: Problems) -> None:
    most = experiment.blast_radius.faults_at_once
    if most is None:
        return
    at_ns, names = _crowd(plan)
    if len(names) > most:
        instant = format_duration(at_ns) if at_ns else "0s"
        problems.add(
            ("blast_radius", "faults_at_once"),
            f"{len(names)} faults are in force at {instant} ({', '.join(names)}), allowed are {most}",
        )


def _crowd(plan: Plan) -> tuple[int, tuple[str, ...]]:
    """The first instant with the most faults in force, and their names."""
    active: list[str] = []
    worst: tuple[int, tuple[str, ...]] = (0, ())
    for step in plan.steps:
        if isinstance(step.action, Heal):
            active.remove(step.action.fault.name)
        elif isinstance(step.action, Inject):
            active.append(step.action.fault.name)
            if len(active) > len(worst[1]):
                worst = step.at_ns, tuple(active)
    return worst


def _in_all(experiment: Experiment, plan: Plan, problems: Problems) -> None:
    most_ns = experiment.blast_radius.total_ns
    if most_ns is not None and (total_ns := _total_ns(plan)) > most_ns:
        problems.add(
            ("blast_radius", "total"),
            f"the faults are in force for {format_duration(total_ns)} in all, each counted by itself;"
            f" allowed are {format_duration(most_ns)}",
        )


def _total_ns(plan: Plan) -> int:
    ends = {step.action.fault.name: step.at_ns for step in plan.steps if isinstance(step.action, Heal)}
    return sum(ends[step.action.fault.name] - step.at_ns for step in plan.steps if isinstance(step.action, Inject))


def _reached(experiment: Experiment) -> Iterator[_Reached]:
    """Every host that is written as an address: of the stack, of users, of Toxiproxy, of HTTP faults."""
    if isinstance(experiment.stack, ExternalStack):
        for name, address in experiment.stack.addresses.items():
            yield _Reached(host=host_of(address), path=("stack", "external", name))
    if "://" in experiment.traffic.target:
        yield _Reached(host=host_of(experiment.traffic.target), path=("traffic", "target"))
    if "://" in experiment.toxiproxy:
        yield _Reached(host=host_of(experiment.toxiproxy), path=("toxiproxy",))
    for fault in experiment.faults:
        if fault.driver == "http":
            for key, value in fault.params.items():
                for url in _URL.findall(value) if isinstance(value, str) else ():
                    if "{" not in (host := host_of(url)):  # {name} is an address of the stack
                        yield _Reached(host=host, path=(*fault.written, key))


def host_of(address: str) -> str:
    """The host of a URL or of host:port, without user, port and brackets, in small letters."""
    rest = address.partition("://")[2] or address
    authority = re.split(r"[/?#\\]", rest, maxsplit=1)[0].rpartition("@")[2]
    if authority.startswith("["):
        return _bare(authority.partition("]")[0])
    return _bare(authority.partition(":")[0] if authority.count(":") == 1 else authority)


def _bare(host: str) -> str:
    return host.strip("[]").lower().rstrip(".")


def _not_ours(host: str, addresses_of: AddressesOf) -> str:
    """Why a host counts as somebody else's; empty for this machine and private networks."""
    if host == "localhost" or host.endswith(".localhost") or "***" in host:
        return ""
    if (ip := _ip(host)) is not None:
        return "" if _private(ip) else f"{host} is neither this machine nor a private network"
    try:
        found = sorted(addresses_of(host))
    except OSError as error:
        return f"nobody knows whose {host} is: its address cannot be found ({error})"
    strange = [text for text in found if (ip := _ip(text)) is None or not _private(ip)]
    if not found:
        return f"nobody knows whose {host} is: it has no address"
    return f"{host} ({strange[0]}) is neither this machine nor a private network" if strange else ""


def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def _private(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return ip.is_private or ip.is_loopback or ip.is_link_local


def _address_fits(host: str, patterns: tuple[str, ...]) -> bool:
    """By a range for what is written as an address (and localhost), else by a pattern of the host as it is written."""
    ip = _ip("127.0.0.1" if host == "localhost" else host)
    for pattern in patterns:
        if "/" in pattern:
            network = ipaddress.ip_network(pattern)
            if ip is not None and ip.version == network.version and ip in network:
                return True
        elif fnmatchcase(host, _bare(pattern) if ":" in pattern else pattern.lower()):
            return True
    return not patterns


def _fits(word: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(word, pattern) for pattern in patterns)


def _carries(labels: Mapping[str, str], wanted: str) -> bool:
    key, equals, value = wanted.partition("=")
    return key in labels and (not equals or labels[key] == value)


def _allowed(targets: tuple[Targets, ...], key: str) -> str:
    """What is allowed, in words; several allow-lists must all allow."""
    lists = {"names": [one.names for one in targets], "addresses": [one.addresses for one in targets]}[key]
    return " and ".join(", ".join(one) for one in lists if one)


def _told(targets: Targets) -> str:
    named = {"names": targets.names, "labels": targets.labels, "addresses": targets.addresses}
    return "only " + "; ".join(f"{key} {', '.join(values)}" for key, values in named.items() if values)


def _radius(experiment: Experiment, plan: Plan) -> Iterator[str]:
    allowed = experiment.blast_radius
    if allowed.faults_at_once is not None:
        yield f"faults at once: {allowed.faults_at_once} (planned {len(_crowd(plan)[1])})"
    if allowed.total_ns is not None:
        planned = format_duration(_total_ns(plan)) if _total_ns(plan) else "0s"
        yield f"fault time in all: {format_duration(allowed.total_ns)} (planned {planned}, each fault by itself)"
    if allowed.share_of_service is not None:
        yield f"share of a service's replicas: {format_percent(allowed.share_of_service)}, looked at when victims are"


def _gate(steady_state: tuple[Limit, ...], plan: Plan) -> str:
    first = next((step for step in plan.steps if isinstance(step.action, Inject)), None)
    if first is None or not isinstance(first.action, Inject):
        return "(never looked at: there is no fault)"
    it = "it holds" if len(steady_state) == 1 else "they hold"
    instant = format_duration(first.at_ns) if first.at_ns else "0s"
    return f"(nothing is injected unless {it} at {instant}, before {first.action.fault.name})"
