"""The experiment: what a person wants to learn, as frozen records. Nothing here reads files or clocks.

`loader.py` turns YAML into these records and refuses what makes no sense; `plan.py` turns them into a timeline.
Times are nanoseconds, shares are fractions (0.005 is 0.5 %), sizes are bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from harness.declared import DeclaredTraffic

Role = Literal["warmup", "steady", "stress", "recovery"]
ROLES: tuple[Role, ...] = ("warmup", "steady", "stress", "recovery")
MEASURED_ROLES: tuple[Role, ...] = ("steady", "stress", "recovery")

# The closed model holds a number of users; the open model starts so many arrivals a second, whatever earlier ones do.
LoadUnit = Literal["users", "rate"]

Scalar = str | int | float | bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A span of load: ramp from the previous stage's level to this one's in `ramp_ns`, then hold.

    The level is `users`, or `rate` in arrivals a second when `unit` says so. `curve` holds points (ns from the start of
    the stage, level) that the load runs through on straight lines, the first at 0: it stands for the ramp, or, when
    `ramp_ns` is 0, for ramp and hold at once.
    """

    name: str
    role: Role
    users: int = 0
    ramp_ns: int
    hold_ns: int
    unit: LoadUnit = "users"
    rate: float = 0.0
    curve: tuple[tuple[int, float], ...] = ()

    @property
    def level(self) -> float:
        """Users, or arrivals a second, at the end of the stage."""
        return self.rate if self.unit == "rate" else self.users

    @property
    def peak(self) -> float:
        """The highest level of the stage itself."""
        return max((self.level, *(level for _, level in self.curve)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """Which containers a fault draws its victims from, and how many.

    `by` service: of a compose service; label: that carry `key=value` or `key`; name: whose name fits a shell pattern.
    `mode` one, all, count (`amount` of them) or share (`amount` as a fraction, at least one).
    """

    by: Literal["service", "label", "name"]
    pattern: str
    mode: Literal["one", "all", "count", "share"]
    amount: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault on one thing. `params` are in the driver's own units (see catalogue.py).

    In force from `after_ns` past the start of `stage`'s hold, for `hold_ns`. `group` is the name that was written when
    this is one of its repetitions; `on` is the selector in words when there is one. `written` is the path in the
    document at which it stands.
    """

    name: str
    driver: str
    kind: str
    on: str
    params: Mapping[str, Scalar]
    stage: str
    after_ns: int
    hold_ns: int
    group: str = ""
    select: Selector | None = None
    irreversible: bool = False
    written: tuple[str | int, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """What faults may touch: shell patterns of names, container labels, addresses (CIDR or host patterns)."""

    names: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BlastRadius:
    """How much may be broken: faults at one time, share of a service's replicas, fault time in all. None: no limit."""

    faults_at_once: int | None = None
    share_of_service: float | None = None
    total_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A condition that must hold. `text` is as written; `bound` is in `unit` (us, share, or the series' own)."""

    text: str
    metric: str
    of: str
    op: Literal["<", "<=", ">", ">="]
    bound: float
    unit: Literal["us", "share", "bytes", "per_s", "number"]
    scope: tuple[str, ...] = ()
    sustain_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What the verdict must answer: `budget`, `breaking_point`, with its parameters."""

    kind: str
    params: Mapping[str, Scalar | Mapping[str, Scalar]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """When a service counts as up: a TCP connect, or an HTTP GET of `path` answered below 400."""

    how: Literal["tcp", "http"]
    path: str = "/"
    within_ns: int = 30_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A process of a process stack. `{name}` in command and env is the address of a service or a proxy."""

    name: str
    command: str
    env: Mapping[str, str] = field(default_factory=dict)
    ready: Ready | None = None
    cwd: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalStack:
    """Services that run already: name -> URL or host:port."""

    addresses: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessStack:
    """Services that the harness starts as processes on free ports of 127.0.0.1, in this order."""

    services: tuple[Service, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComposeStack:
    """Services of a compose file. `env` is given to compose; `{proxy}` in it is that proxy's listen address."""

    file: str
    ready: Mapping[str, Ready] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)


Stack = ExternalStack | ProcessStack | ComposeStack


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """A named link through Toxiproxy to a service. `listen` is host or host:port ("" = a free port of 127.0.0.1)."""

    name: str
    upstream: str
    listen: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkersSpec:
    """Workers on other hosts: how many join, the address they join at (host:port), and within what time."""

    expect: int
    bind: str
    join_within_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficSpec:
    """Whose users: of a locustfile, or `declared` (then `scenario` is empty); the link or service they go to, and the
    time limit of each request.

    `processes` 0 leaves their number to the machine. `arrivals` and `max_users` are of the open model: how the instants
    of a rate are drawn, and to how many users the pool may grow (0 in the closed model). `source_addresses` are those
    of this machine that users connect from, in turn; with none, as the system chooses.
    """

    scenario: str
    target: str
    timeout_ns: int
    processes: int = 1
    tags: tuple[str, ...] = ()
    exclude_tags: tuple[str, ...] = ()
    source_addresses: tuple[str, ...] = ()
    arrivals: Literal["poisson", "uniform"] = "poisson"
    max_users: int = 0
    workers: WorkersSpec | None = None
    declared: DeclaredTraffic | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeSpec:
    """A reading every `every_ns`: of a container or process (`of`), or of a Prometheus text page at `url`."""

    kind: Literal["container", "process", "prometheus"]
    of: str
    every_ns: int
    url: str = ""
    series: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """One experiment, complete and valid. `document` is the effective YAML it came from, secrets masked."""

    name: str
    why: str
    stack: Stack
    toxiproxy: str
    proxies: tuple[Proxy, ...]
    traffic: TrafficSpec
    stages: tuple[Stage, ...]
    faults: tuple[Fault, ...]
    probes: tuple[ProbeSpec, ...]
    budget: tuple[Limit, ...]
    abort: tuple[Limit, ...]
    questions: tuple[Question, ...]
    seed: int
    base_dir: str
    steady_state: tuple[Limit, ...] = ()
    targets: tuple[Targets, ...] = ()
    blast_radius: BlastRadius = BlastRadius()
    document: Mapping[str, object] = field(default_factory=dict)

    def stage(self, name: str) -> Stage:
        """The stage of that name. Raises KeyError."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise KeyError(name)

    @property
    def unit(self) -> LoadUnit:
        """What the load is counted in; all stages of an experiment agree."""
        return self.stages[0].unit

    def stages_in(self, scope: tuple[str, ...]) -> tuple[Stage, ...]:
        """The stages that a limit's scope names, by stage name or role; no scope: all but warm-up."""
        if not scope:
            return tuple(stage for stage in self.stages if stage.role in MEASURED_ROLES)
        return tuple(stage for stage in self.stages if stage.name in scope or stage.role in scope)

    def faults_in(self, scope: tuple[str, ...]) -> tuple[Fault, ...]:
        """The faults that a limit's scope names: by their own name, or all of a repeated or random one by its name."""
        return tuple(fault for fault in self.faults if fault.name in scope or (fault.group and fault.group in scope))
