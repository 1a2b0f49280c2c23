"""The generator tried out before a run, against a target that answers at once: what can it carry here and now?

    null target (a process) <── HTTP ── the run's own kind of traffic processes ── rows ──> next rate (capacity)

Each step lasts from one row of the workers to the next, a second: the lateness and the CPU in a row are exactly
those since the row before. Nothing outlives this call, nor this process: both ends hang on channels of ours.
"""

from __future__ import annotations

import contextlib
import selectors
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from harness.clock import Inbox, SystemClock
from harness.errors import EnvironmentBroke
from harness.experiment import TrafficSpec
from harness.journal import Event, Generator, SelfTest, Traffic, WorkerLost
from harness.traffic import Load
from harness.traffic.children import tail_of
from harness.traffic.locust import LocustTraffic
from harness.traffic.sizing import null_target
from harness.traffic.sizing.capacity import Carried, Room, Sample, carried, first_rate, next_rate, sample_of, users_held
from harness.traffic.sizing.files import files_at_most
from harness.traffic.sizing.memory import available_bytes
from harness.units import NS_PER_S

Client = Literal["FastUser", "FastHttpUser", "HttpUser"]
CLIENTS: tuple[Client, ...] = ("FastUser", "FastHttpUser", "HttpUser")
"""The kinds of user that can be measured, the cheapest first."""
FEW_PER_S, MANY_PER_S = 100.0, 1000.0
"""The warm-up. The null target answers late until there are `POOL` connections: so many users are measured."""
POOL = 400
MOST_FAILED = 0.01
_STEP_NS, _SHORT_STEP_NS = 4 * NS_PER_S // 5, 3 * NS_PER_S // 10
_ROW_LIMIT_NS = 4 * NS_PER_S
_TARGET_LIMIT_S = 5.0
_TIMEOUT_NS = 5 * NS_PER_S
_DRAIN_NS = NS_PER_S // 2
_NULL = Path(__file__).parent / "null"
_SCENARIOS: dict[Client, str] = {
    "FastUser": "fast_user.py",
    "FastHttpUser": "fast_http_user.py",
    "HttpUser": "http_user.py",
}
_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")

Say = Callable[[str], None]


def self_test(
    client: Client, workers: int, *, log_dir: Path, addresses: int = 1, say: Say = lambda _: None
) -> SelfTest:
    """Measure, in some seven seconds; `say` hears of each step. Raises EnvironmentBroke when it cannot be done.

    `addresses`: from how many addresses of this machine the users will connect, each with its own local ports.
    """
    clock = SystemClock()
    spec = TrafficSpec(
        scenario=_SCENARIOS[client], target="", timeout_ns=_TIMEOUT_NS, processes=workers, max_users=2 * POOL * workers
    )
    driver = LocustTraffic(spec, origin_ns=clock.origin_ns, seed=1, base_dir=_NULL, log_dir=log_dir)
    inbox: Inbox[Event] = Inbox()
    with _null_target(log_dir) as target, contextlib.ExitStack() as started:
        started.callback(driver.stop, _DRAIN_NS)
        driver.start(inbox, target.address)
        bench = _Bench(driver, inbox, clock, workers, target.process)
        answer, user_bytes = bench.measure(say)
        room = Room(
            files=files_at_most(), ports=_ports() * addresses, memory_bytes=available_bytes(), user_bytes=user_bytes
        )
    users, users_bound = users_held(room, workers)
    return SelfTest(
        at_ns=0,
        client=client,
        workers=workers,
        per_s=round(answer.per_s, 1),
        users=users,
        lag_p99_us=int(min(answer.lag_p99_us, 1e9)),
        cpu_us=round(answer.cpu_us, 1),
        rate_bound=answer.bound,
        users_bound=users_bound,
        user_bytes=int(user_bytes),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    address: str
    process: psutil.Process


class _Bench:
    """The traffic under test, and the rows that it sends."""

    def __init__(
        self, driver: LocustTraffic, inbox: Inbox[Event], clock: SystemClock, workers: int, target: psutil.Process
    ) -> None:
        self._driver = driver
        self._inbox = inbox
        self._clock = clock
        self._workers = workers
        self._target = target
        self._per_s = 0.0
        self._finished = self._failed = 0
        self._failures: set[str] = set()

    def measure(self, say: Say) -> tuple[Carried, float]:
        """The answer, and the bytes that a user with an open connection takes."""
        few = self._rows(FEW_PER_S, _SHORT_STEP_NS)
        many = self._rows(MANY_PER_S)
        warm = sample_of(MANY_PER_S, many, whole=False, target_cpu=0.0)
        begun = sum(row.begun for row in many)
        first = first_rate(begun, warm.cpu) if begun else MANY_PER_S
        samples: list[Sample] = []
        while (rate := next_rate(first, samples)) is not None:
            say(f"{rate:,.0f}/s")
            samples.append(self._step(rate, whole=not (samples and samples[-1].broken_by)))
            self._require_answers()
        return carried(samples), _bytes_per_user(few, many)

    def _step(self, rate: float, *, whole: bool) -> Sample:
        before, at_ns = self._target_cpu_s(), self._clock.now()
        rows = self._rows(rate)
        target_cpu = (self._target_cpu_s() - before) * NS_PER_S / max(1, self._clock.now() - at_ns)
        return sample_of(rate, rows, whole=whole, target_cpu=target_cpu)

    def _rows(self, per_s: float, least_ns: int = _STEP_NS) -> tuple[Generator, ...]:
        """Go to this rate at once; the first row of each worker that tells of at least so long of it."""
        at_ns = self._clock.now()
        load = Load(at_ns=at_ns, level_from=self._per_s, level_to=per_s, ramp_ns=0, unit="rate")
        self._driver.set_load(load)
        self._per_s = per_s
        rows: dict[int, Generator] = {}
        while len(rows) < self._workers:
            event = self._clock.wait(self._inbox, at_ns + _ROW_LIMIT_NS)
            match event:
                case None:
                    return ()  # overloaded to the point of silence: no row is a step that failed
                case Generator() if event.at_ns >= at_ns + least_ns:
                    rows[event.worker] = event
                case Traffic():
                    self._count(event)
                case WorkerLost():
                    raise EnvironmentBroke(f"the self-test of the generator lost worker {event.worker}: {event.why}")
        return tuple(rows.values())

    def _count(self, row: Traffic) -> None:
        self._finished += row.finished
        self._failed += sum(row.failed.values())
        self._failures.update(row.failed)

    def _require_answers(self) -> None:
        if not self._finished or self._failed > MOST_FAILED * self._finished:
            kinds = ", ".join(sorted(self._failures)) or "none was answered"
            raise EnvironmentBroke(
                f"the self-test of the generator is void: of {self._finished:,} requests to a target on this machine "
                f"{self._failed:,} failed ({kinds})",
                hint="--no-self-test runs without it",
            )

    def _target_cpu_s(self) -> float:
        try:
            times = self._target.cpu_times()
        except psutil.Error as error:
            raise EnvironmentBroke("the null target of the self-test has ended by itself") from error
        return float(times.user + times.system)


@contextmanager
def _null_target(log_dir: Path) -> Iterator[_Target]:
    """The null target, in a process of its own that ends with this block, or when we do."""
    log_dir.mkdir(parents=True, exist_ok=True)
    log = log_dir / "null-target.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-P", null_target.__file__, str(POOL)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            start_new_session=True,
        )
    try:
        address = _first_line(process)
        if not address:
            raise EnvironmentBroke("the null target of the self-test did not start", hint=f"{log}: {tail_of(log)}")
        yield _Target(address=address, process=psutil.Process(process.pid))
    finally:
        _end(process)


def _first_line(process: subprocess.Popen[bytes]) -> str:
    answers = process.stdout
    if answers is None:
        return ""
    with selectors.DefaultSelector() as selector:
        selector.register(answers, selectors.EVENT_READ)
        return answers.readline().decode().strip() if selector.select(_TARGET_LIMIT_S) else ""


def _end(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    try:
        process.wait(timeout=1.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(timeout=5.0)


def _bytes_per_user(few: tuple[Generator, ...], many: tuple[Generator, ...]) -> float:
    """By what the workers' memory grew while their users connected; 0 when they did not."""
    users = sum(row.sockets for row in many) - sum(row.sockets for row in few)
    grown = sum(row.rss_bytes for row in many) - sum(row.rss_bytes for row in few)
    return max(0.0, grown / users) if users > 0 and few else 0.0


def _ports() -> int:
    """Local ports that connections to one address from one address can have (ip(7), ip_local_port_range)."""
    try:
        low, high = map(int, _PORTS.read_text(encoding="ascii").split())
    except (OSError, ValueError):
        return 28_232  # the default of Linux
    return high - low + 1
