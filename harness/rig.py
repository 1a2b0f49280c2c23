"""Names in an experiment -> live drivers. The only list of everything that can be plugged in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from harness import plugins
from harness.blast_radius import allows_container
from harness.errors import BadInput, EnvironmentBroke
from harness.experiment import (
    ComposeStack,
    Experiment,
    ExternalStack,
    ProbeSpec,
    ProcessStack,
)
from harness.faults import FaultDriver
from harness.faults.command import CommandFaults
from harness.faults.container import ContainerFaults
from harness.faults.http import HttpFaults
from harness.faults.process import ProcessFaults
from harness.faults.toxiproxy import ToxiproxyFaults
from harness.links import ToxiproxyLinks
from harness.probes import Probe
from harness.probes.container import ContainerProbe
from harness.probes.host import HostProbe
from harness.probes.process import ProcessProbe
from harness.probes.prometheus import PrometheusProbe
from harness.run import START_LIMIT_NS, World
from harness.run.loop import Watched
from harness.run.watch import Lease, LedgerBook
from harness.stacks import StackDriver
from harness.stacks.addresses import fill
from harness.stacks.compose import ComposeDriver
from harness.stacks.external import ExternalDriver
from harness.stacks.process import ProcessDriver
from harness.traffic.hosts.gate import Gate
from harness.traffic.locust import LocustTraffic
from harness.traffic.sizing.processes import decide
from harness.units import NS_PER_S

HOST_EVERY_NS = NS_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What a fault driver's factory may need; `harness.plugins.Site` is the part that others may rely on."""

    run: str
    experiment: Experiment
    stack: StackDriver
    links: ToxiproxyLinks
    log_dir: Path

    @property
    def base_dir(self) -> Path:
        """The folder from which the experiment's files are found."""
        return Path(self.experiment.base_dir)

    def address(self, name: str) -> str:
        """Where a service or a proxy is, the empty string when nobody knows. Services are known once they are up."""
        return self.links.places.get(name) or self.links.addresses.get(name, "")

    def fill(self, text: str) -> str:
        """A text with each `{name}` of a service or a proxy replaced by its address. Raises BadInput."""
        places = {**self.links.addresses, **self.links.places}
        filled = fill(text, places, where=text)
        return filled.replace("http://http://", "http://").replace("http://https://", "https://")

    def pid(self, name: str) -> int | None:
        """The process of a service that the harness started itself."""
        try:
            handle = self.stack.handle(name)
        except KeyError:
            return None
        return handle if isinstance(handle, int) else None

    def container(self, name: str) -> str:
        """The container that a name means: a service of a compose stack, else the name itself."""
        try:
            handle = self.stack.handle(name)
        except KeyError:
            return name
        return handle if isinstance(handle, str) else name

    def proxy(self, name: str) -> str:
        """The proxy that a name means: its own name, else the only proxy in front of that service."""
        names = [proxy.name for proxy in self.experiment.proxies]
        if name in names:
            return name
        in_front = [proxy.name for proxy in self.experiment.proxies if proxy.upstream == name]
        if len(in_front) == 1:
            return in_front[0]
        raise BadInput(f"{name}: no proxy of that name, nor one in front of it", hint=f"proxies: {', '.join(names)}")


def _toxiproxy(site: Site) -> FaultDriver:
    if site.links.client is None:
        raise BadInput("a toxic needs a proxy: the experiment has none", hint="name a link under `proxies:`")
    return ToxiproxyFaults(site.links.client, run=site.run, proxy_of=site.proxy)


def _container(site: Site) -> FaultDriver:
    return ContainerFaults(
        site.container,
        seed=site.experiment.seed,
        project=site.stack.project if isinstance(site.stack, ComposeDriver) else "",
        share_of_service=site.experiment.blast_radius.share_of_service,
        allowed=lambda name, labels: allows_container(site.experiment.targets, name, labels),
    )


def _process(site: Site) -> FaultDriver:
    if not isinstance(site.stack, ProcessDriver):
        raise BadInput("a process fault needs a process stack", hint="write the services under `stack: process:`")
    return ProcessFaults(site.stack)


def _command(site: Site) -> FaultDriver:
    return CommandFaults(run=site.run, cwd=str(site.base_dir), log_dir=site.log_dir, address_of=site.address)


def _http(site: Site) -> FaultDriver:
    return HttpFaults(log_dir=site.log_dir, fill=site.fill, pid_of=site.pid)


FAULTS: Mapping[str, Callable[[Site], FaultDriver]] = {
    "toxiproxy": _toxiproxy,
    "container": _container,
    "process": _process,
    "command": _command,
    "http": _http,
}


def _fault_driver(name: str, site: Site) -> FaultDriver:
    return FAULTS[name](site) if name in FAULTS else plugins.make(name, site)


def _stack(experiment: Experiment, links: Mapping[str, str], log_dir: Path, run: str) -> StackDriver:
    base_dir = Path(experiment.base_dir)
    match experiment.stack:
        case ExternalStack() as spec:
            return ExternalDriver(spec, links=links, base_dir=base_dir, log_dir=log_dir, run=run)
        case ProcessStack() as spec:
            return ProcessDriver(spec, links=links, base_dir=base_dir, log_dir=log_dir, run=run)
        case ComposeStack() as spec:
            return ComposeDriver(spec, links=links, base_dir=base_dir, log_dir=log_dir, run=run)


def build(
    experiment: Experiment,
    *,
    run: str,
    log_dir: Path,
    origin_ns: int,
    ledger: LedgerBook,
    lease: Lease,
    gate: Gate | None = None,
) -> tuple[World, str]:
    """The live drivers of a run, and which Toxiproxy serves it. Starts nothing but that server.

    `gate` is where the workers of other hosts join, when the experiment expects some.
    """
    links = ToxiproxyLinks(experiment.proxies, experiment.toxiproxy, experiment.seed)
    stack = _stack(experiment, links.places, log_dir, run)
    site = Site(run=run, experiment=experiment, stack=stack, links=links, log_dir=log_dir)
    needed = dict.fromkeys(fault.driver for fault in experiment.faults)
    processes = decide(experiment).number
    traffic = LocustTraffic(
        replace(experiment.traffic, processes=processes),
        origin_ns=origin_ns,
        seed=experiment.seed,
        base_dir=Path(experiment.base_dir),
        log_dir=log_dir,
        gate=gate,
    )
    workers = experiment.traffic.workers
    world = World(
        stack=stack,
        links=links,
        traffic=traffic,
        faults={name: _fault_driver(name, site) for name in needed},
        probes=lambda: _probes(experiment.probes, site),
        target=lambda: _target(experiment, links, stack),
        ledger=ledger,
        lease=lease,
        log_dir=log_dir,
        drain_ns=experiment.traffic.timeout_ns + NS_PER_S,
        workers=processes if workers is None else workers.expect,
        start_limit_ns=START_LIMIT_NS + (0 if workers is None else workers.join_within_ns),
        faults_at_once=experiment.blast_radius.faults_at_once,
    )
    return world, links.kind


def _target(experiment: Experiment, links: ToxiproxyLinks, stack: StackDriver) -> str:
    """The base URL that users are sent to."""
    name = experiment.traffic.target
    address = links.places.get(name) or (name if "://" in name else stack.address(name))
    return address if "://" in address else f"http://{address}"


def _probes(specs: tuple[ProbeSpec, ...], site: Site) -> tuple[Watched, ...]:
    watched = [Watched(kind=spec.kind, of=spec.of, every_ns=spec.every_ns, probe=_probe(spec, site)) for spec in specs]
    return (*watched, Watched(kind="host", of="host", every_ns=HOST_EVERY_NS, probe=HostProbe()))


def _probe(spec: ProbeSpec, site: Site) -> Probe:
    if spec.kind == "container":
        return ContainerProbe(lambda: site.container(spec.of))
    if spec.kind == "process":
        return ProcessProbe(lambda: _pid(spec.of, site))
    return PrometheusProbe(_page(spec.url, {**site.links.addresses, **site.links.places}), series=spec.series)


def _page(url: str, places: Mapping[str, str]) -> str:
    filled = fill(url, places, where="probes.prometheus")
    head, _, rest = filled.partition("/")
    if "://" not in filled and head in places:
        filled = f"{places[head]}/{rest}"
    return filled if "://" in filled else f"http://{filled}"


def _pid(service: str, site: Site) -> int:
    handle = site.stack.handle(service)
    if not isinstance(handle, int):
        raise EnvironmentBroke(f"{service} does not run")
    return handle
