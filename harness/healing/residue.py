"""What is left of our faults, asked of Toxiproxy, Docker and the process table themselves; our books only tell whose.

Each part is asked under a time limit, and one that is not there, or does not answer, is told as not asked: silence is
not cleanliness. What a run that is alive has in force is told too, but is no residue.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

import psutil

from harness.clients.docker import Docker, Document
from harness.clients.hogs import Helper, Hogs
from harness.clients.hogs import by_hand as end_by_hand
from harness.clients.poll import poll
from harness.clients.toxiproxy import OWN_PREFIX, Toxiproxy, by_hand_delete, by_hand_enable
from harness.clients.toxiproxy_model import Proxy
from harness.clock import Clock
from harness.errors import BadInput, EnvironmentBroke, HarnessError
from harness.faults import Marks, Sweeps
from harness.faults.toxiproxy_healing import NOWHERE, serving_of
from harness.healing.drivers import healer_of
from harness.healing.hand import alive, in_time
from harness.ledger import Account, Open, ledgers, read
from harness.units import NS_PER_S

CALL_S = 2
SWEEP_NS = 5 * NS_PER_S
"""How long looking into every container may take: each is a handful of calls."""
TOXIPROXY = "127.0.0.1:8474"
PROJECT_LABEL = "com.docker.compose.project"
REAPER = "harness.reaper"
ENDS_NS = NS_PER_S
"""How long a reaper may outlive the ledger of its run."""
_ASKED_OTHERWISE = frozenset({"toxiproxy", "links", "compose"})
"""Drivers whose traces are seen at Toxiproxy and in Docker's list."""
_MARK = re.compile(rf"{OWN_PREFIX}[\w-]+")
_CONTAINER = re.compile(r"container (\S+?):")
_RUN = re.compile(r"\d{4}-\d\d-\d\d[tT]\d\d-\d\d-\d\d[zZ]-[0-9a-f]{4}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Residue:
    """One thing that is there. `whose` is a run and whether it is alive; `command` takes it away.

    `ours` is False for what may just as well be somebody else's doing, `living` True for what a run has in force now.
    """

    what: str
    whose: str
    command: str
    ours: bool = True
    living: bool = False

    def __str__(self) -> str:
        whose = f" ({self.whose})" if self.whose else ""
        return f"{self.what}{whose}" + (f"; type: {self.command}" if self.command else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What was seen, and what could not be asked, each with why."""

    seen: tuple[Residue, ...]
    not_asked: tuple[str, ...]

    @property
    def left(self) -> tuple[Residue, ...]:
        """What is there and should not be."""
        return tuple(one for one in self.seen if one.ours and not one.living)

    def lines(self) -> tuple[str, ...]:
        """All of it for a person: what is left first."""
        notes = [one for one in self.seen if one not in self.left]
        return (
            *(f"left: {one}" for one in self.left),
            *(f"{'in force' if one.living else 'seen'}: {one}" for one in notes),
            *(f"not asked: {line}" for line in self.not_asked),
        )


class Links(Protocol):
    """What is asked of a Toxiproxy server; `clients.toxiproxy.Toxiproxy` has it."""

    def proxies(self) -> Mapping[str, Proxy]:
        """All proxies by name."""


class Engine(Protocol):
    """What is asked of Docker; `clients.docker.Docker` has it."""

    def containers(self, labels: Mapping[str, str]) -> Sequence[Document]:
        """The containers with these labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaper:
    """A reaper in the process table, and the ledger in its command line."""

    pid: int
    ledger: Path


def reapers() -> tuple[Reaper, ...]:
    """Every reaper of this host that we may see, of any state folder."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if words[1:3] == ["-m", REAPER] and "--ledger" in words[:-1]:
            found.append(Reaper(pid=process.pid, ledger=Path(words[words.index("--ledger") + 1])))
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """Where is asked; tests give fakes."""

    toxiproxy: Callable[[str], Links] = field(default=lambda address: Toxiproxy(address, timeout_s=CALL_S))
    docker: Callable[[], Engine] = field(default=lambda: Docker(timeout_s=CALL_S))
    helpers: Callable[[], Sequence[Helper]] = field(default=lambda: Hogs().find(OWN_PREFIX))
    reapers: Callable[[], Sequence[Reaper]] = reapers
    sweeper: Callable[[str], object] = healer_of
    clock: Clock | None = None
    alive: Callable[[Account], bool] = field(default=lambda one: one.opened is not None and alive(one.opened))


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """What the ledgers of this user say: only to tell whose something is."""

    accounts: tuple[Account, ...]
    alive: Callable[[Account], bool]

    def dead(self) -> Iterator[tuple[Account, Open]]:
        """What is open of runs that are not alive."""
        return ((one, opened) for one in self.accounts if not self.alive(one) for opened in one.open)

    def mentioning(self, identity: str) -> Account | None:
        """The run that has something open on this identity."""
        for one in self.accounts:
            if any(identity in json.dumps(dict(opened.undo.before)) for opened in one.open):
                return one
        return None

    def named_in(self, text: str) -> Account | str | None:
        """The run whose name a mark carries: its ledger, its name when it has none here, None when it has no name."""
        for one in self.accounts:
            if one.path.stem.lower() in text.lower():
                return one
        found = _RUN.search(text)
        return found[0] if found else None

    def told(self, what: str, run: Account | str | None, command: str, *, ours: bool = True) -> Residue:
        """A thing with its run in words; a run that is known is healed by its ledger."""
        match run:
            case None:
                return Residue(what=what, whose="", command=command, ours=ours)
            case str():
                return Residue(what=what, whose=f"run {run}, of which there is no ledger here", command=command)
        name = run.path.stem
        if self.alive(run):
            return Residue(what=what, whose=f"run {name}, alive", command="harness halt", living=True)
        return Residue(what=what, whose=f"run {name}, dead", command=f"harness heal --run {name}")


def scan(doors: Doors | None = None) -> Scan:
    """Ask everybody once; a second or two, each part at most five."""
    doors = doors or Doors()
    accounts, not_asked = _accounts()
    books = Books(accounts=accounts, alive=doors.alive)
    seen: list[Residue] = []
    for what, limit_ns, ask in _parts(doors, books):
        found: list[Residue] = []
        try:
            in_time(partial(_fill, found, ask), limit_ns)
        except HarnessError as error:
            not_asked.append(f"{what}: {str(error).removeprefix(f'{what}: ')}")
        else:
            seen += found
    return Scan(seen=tuple(dict.fromkeys(seen)), not_asked=tuple(not_asked))


def _accounts() -> tuple[tuple[Account, ...], list[str]]:
    accounts, not_asked = [], []
    for path in ledgers():
        try:
            accounts.append(read(path))
        except BadInput as error:
            not_asked += [f"the ledger {path.stem}: {error}"] if path.exists() else []
    return tuple(accounts), not_asked


def _fill(found: list[Residue], ask: Callable[[], Iterable[Residue]]) -> None:
    found += ask()


Part = tuple[str, int, Callable[[], Iterable[Residue]]]


def _parts(doors: Doors, books: Books) -> Iterator[Part]:
    """Each with its name, its time limit and the question."""
    for address in _servers(books):
        yield f"Toxiproxy at {address}", CALL_S * NS_PER_S, partial(_toxiproxy, doors, books, address)
    yield "Docker", 2 * CALL_S * NS_PER_S, partial(_docker, doors, books)
    yield "marks inside containers", SWEEP_NS, partial(_marks, doors, books)
    for account, one in books.dead():
        if one.undo.driver not in _ASKED_OTHERWISE:
            name = f"{one.undo.name} ({one.undo.kind} on {one.undo.on}) of run {account.path.stem}"
            yield name, SWEEP_NS, partial(_unlike, doors, books, account, one)
    yield "helper processes", CALL_S * NS_PER_S, partial(_helpers, doors, books)
    yield "reapers", CALL_S * NS_PER_S, partial(_reapers, doors, books)


def _servers(books: Books) -> tuple[str, ...]:
    """The usual place, and every server that an open record names, unless it was a run's own and has ended."""
    befores = [one.undo.before for account in books.accounts for one in account.open]
    there = [before for before in befores if (serving := serving_of(before)) is None or not serving.gone()]
    return tuple(dict.fromkeys((TOXIPROXY, *(str(before["api"]) for before in there if before.get("api")))))


def _toxiproxy(doors: Doors, books: Books, address: str) -> Iterator[Residue]:
    proxies = doors.toxiproxy(address).proxies()
    for proxy in proxies.values():
        if proxy.name.startswith(OWN_PREFIX):
            command = by_hand_delete(address, proxy.name)
            yield books.told(f"proxy {proxy.name} at {address}", books.named_in(proxy.name), command)
        for toxic in proxy.toxics:
            if toxic.name.startswith(OWN_PREFIX):
                command = by_hand_delete(address, proxy.name, "toxics", toxic.name)
                what = f"toxic {toxic.name} on proxy {proxy.name} at {address}"
                yield books.told(what, books.named_in(toxic.name), command)
        if proxy.upstream in NOWHERE.values():
            yield _cut_short(books, address, proxy)
        elif not proxy.enabled:
            yield _disabled(books, address, proxy)
        if (maker := _maker(books, address, proxy)) is not None:
            yield books.told(f"proxy {proxy.name} at {address}", maker, by_hand_delete(address, proxy.name))


def _maker(books: Books, address: str, proxy: Proxy) -> Account | None:
    """The run that made a proxy which has a name of the user's: by the open record of its links."""
    for account in books.accounts:
        for one in account.open:
            made = one.undo.before.get("proxies")
            if one.undo.before.get("api") == address and isinstance(made, list):
                listening = [entry.get("listen") for entry in made if isinstance(entry, dict)]
                if proxy.listen in listening:
                    return account
    return None


def _cut_short(books: Books, address: str, proxy: Proxy) -> Residue:
    """Half-way through being replaced; only the open record knows where it led to."""
    what = f"proxy {proxy.name} at {address} leads nowhere: its healing was cut short"
    run = books.mentioning(f'"listen": "{proxy.listen}"')
    return books.told(what, run, "" if run else by_hand_delete(address, proxy.name))


def _disabled(books: Books, address: str, proxy: Proxy) -> Residue:
    """Toxiproxy keeps no note of who disabled a proxy; an open record does."""
    what = f"proxy {proxy.name} at {address} is disabled"
    for account in books.accounts:
        for one in account.open:
            before = one.undo.before
            if before.get("api") == address and before.get("proxy") == proxy.name and before.get("enabled"):
                return books.told(what, account, "")
    return Residue(what=what, whose="by whom is not known", command=by_hand_enable(address, proxy.name), ours=False)


def _docker(doors: Doors, books: Books) -> Iterator[Residue]:
    projects: dict[str, int] = {}
    for one in doors.docker().containers({}):
        name = str((one.get("Names") or [one["Id"][:12]])[0]).lstrip("/")
        if one.get("State") == "paused":
            run = books.mentioning(one["Id"])
            if run is not None and not books.alive(run):
                continue  # its driver looks at it, and tells it with why: see `_unlike`
            what = f"container {name} is paused" + ("" if run else " by somebody: Docker does not tell by whom")
            yield books.told(what, run, f"docker unpause {name}", ours=run is not None)
        project = (one.get("Labels") or {}).get(PROJECT_LABEL, "")
        if project.startswith(OWN_PREFIX):
            projects[project] = projects.get(project, 0) + 1
    for project, count in projects.items():
        chosen = f"-q --filter label={PROJECT_LABEL}={project}"
        command = f"docker rm -f -v $(docker ps -a {chosen}); docker network rm $(docker network ls {chosen})"
        yield books.told(f"compose project {project} ({count} containers)", books.named_in(project), command)


def _marks(doors: Doors, books: Books) -> Iterator[Residue]:
    """Packet filter chains and queueing disciplines with our mark, in any running container."""
    driver = doors.sweeper("container")
    if isinstance(driver, Marks):
        yield from (books.told(line, _at_work_on(books, line), "") for line in driver.marks())


def _at_work_on(books: Books, line: str) -> Account | None:
    """The run that has something open with the mark, or on the container, that a driver's line names."""
    container = _CONTAINER.match(line)
    named = [*_MARK.findall(line), *([f'"name": "{container[1]}"'] if container else [])]
    return next((run for one in named if (run := books.mentioning(one)) is not None), None)


def _unlike(doors: Doors, books: Books, account: Account, one: Open) -> Iterator[Residue]:
    """What its own driver still sees of something that a dead run left open."""
    driver = doors.sweeper(one.undo.driver)
    if not isinstance(driver, Sweeps):
        raise EnvironmentBroke(f"its driver {one.undo.driver} cannot look")
    for line in driver.residue(((one.undo.fault, one.undo.before),)):
        yield books.told(line, account, "")


def _helpers(doors: Doors, books: Books) -> Iterator[Residue]:
    for helper in doors.helpers():
        what = f"helper process {helper.pid} ({helper.mark})"
        yield books.told(what, books.mentioning(helper.mark) or _child_of(books, helper), end_by_hand(helper.mark))


def _child_of(books: Books, helper: Helper) -> Account | None:
    """The run that started it and works with it."""
    for account in books.accounts:
        if account.opened is not None and account.opened.pid == helper.parent and books.alive(account):
            return account
    return None


def _reapers(doors: Doors, books: Books) -> Iterator[Residue]:
    for reaper in doors.reapers():
        what = f"reaper (pid {reaper.pid})"
        if not reaper.ledger.exists():
            if not poll(partial(_ended, doors, reaper), ENDS_NS, clock=doors.clock):
                whose = f"run {reaper.ledger.stem}, closed"
                yield Residue(what=what, whose=whose, command=f"kill -KILL {reaper.pid}")
            continue
        account = read(reaper.ledger)
        if not books.alive(account):
            whose = f"run {reaper.ledger.stem}, dead: it is healing now"
            yield Residue(what=what, whose=whose, command=f"harness heal --run {reaper.ledger.stem}", living=True)


def _ended(doors: Doors, reaper: Reaper) -> bool:
    return reaper not in doors.reapers()
