"""The ledger: what must be undone, on disk before it is done, for whoever comes after us.

One file a run, one JSON object a line, each forced to the disk. An undo record (`Intended`) says what is changed, on
which identity, what was there before and what to type to restore it; `Injected`, `Healed` and `Failed` follow it.
The file goes when nothing in it is open. Lines carry a checksum: one that is damaged is told, and hides no other.

    Opened  (Watched)  (Intended (Injected) (Failed)* Healed)*  Closed
"""

from __future__ import annotations

import errno
import json
import os
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Protocol, TypeVar, cast, runtime_checkable

from harness import state
from harness.errors import BadInput
from harness.experiment import Fault, Scalar
from harness.journal import Json

SCHEMA = 1
SUFFIX = ".jsonl"
FOLDER = "runs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """Whose ledger it is. A process is its pid *and* its start time (s since the epoch, as psutil tells it)."""

    schema: int
    run: str
    experiment: str
    folder: str
    user: str
    wall: str
    pid: int
    pid_started: float
    boot: str
    origin_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A reaper holds the lease."""

    pid: int
    pid_started: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Undo:
    """An undo record. With its driver's name it is all that healing needs; `by_hand` is a command for a person.

    `name` is the fault's, or "stack" or "links" for what a run itself brought up.
    """

    name: str
    driver: str
    kind: str
    on: str
    params: Mapping[str, Json] = field(default_factory=dict)
    before: Mapping[str, Json] = field(default_factory=dict)
    by_hand: str = ""

    @property
    def fault(self) -> Fault:
        """The fault as its driver's `heal` takes it; when it was to happen is of no concern any more."""
        params = {key: cast("Scalar", value) for key, value in self.params.items()}
        return Fault(
            name=self.name,
            driver=self.driver,
            kind=self.kind,
            on=self.on,
            params=params,
            stage="",
            after_ns=0,
            hold_ns=0,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Intended:
    """What follows may happen from now on."""

    undo: Undo


@dataclass(frozen=True, slots=True, kw_only=True)
class Injected:
    """Confirmed in force."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Healed:
    """Confirmed over; `by` is run, reaper or heal."""

    name: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A try to heal that failed."""

    name: str
    by: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """Nothing is open and nothing will be."""


Record = Opened | Watched | Intended | Injected | Healed | Failed | Closed
_KINDS: dict[str, type[Record]] = {
    kind.__name__: kind for kind in (Opened, Watched, Intended, Injected, Healed, Failed, Closed)
}
R = TypeVar("R")


@runtime_checkable
class Undoable(Protocol):
    """Something other than a fault that a run brings up and that could outlive it: a compose stack, proxies."""

    def undo(self) -> Undo | None:
        """What would take it down again, to be written before it is brought up; None when nothing can be left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """An undo record that nobody has confirmed over. `injected`: it was confirmed in force."""

    undo: Undo
    injected: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What a ledger says. `open` has the last one first, which is the order of healing; `damaged` tells lost lines."""

    path: Path
    opened: Opened | None
    watched: Watched | None
    open: tuple[Open, ...]
    closed: bool
    damaged: tuple[str, ...]


def encode(record: Record) -> str:
    """The line of a record, without its newline: the record, and the CRC-32 of that text."""
    text = json.dumps({"record": type(record).__name__, **asdict(record)}, separators=(",", ":"), ensure_ascii=True)
    return f"{zlib.crc32(text.encode()):08x} {text}"


def decode(line: str) -> Record:
    """The record of a line. Raises ValueError; BadInput for a ledger of another version, which is not guessed at."""
    checksum, _, text = line.partition(" ")
    if f"{zlib.crc32(text.encode()):08x}" != checksum:
        raise ValueError("its checksum does not fit")
    document = json.loads(text)
    kind = _KINDS.get(document.pop("record", ""))
    if document.get("schema", SCHEMA) != SCHEMA:
        raise BadInput(
            f"a ledger of version {document['schema']}; this harness reads version {SCHEMA}",
            hint="heal it with the harness that wrote it; the file tells in `by_hand` what to type",
        )
    if kind is None:
        raise ValueError("no record of a ledger")
    if kind is Intended:
        return Intended(undo=_make(Undo, document.get("undo", {})))
    return _make(kind, document)


def _make(kind: type[R], document: Mapping[str, object]) -> R:
    try:
        return kind(**{spec.name: document[spec.name] for spec in fields(kind)})  # type: ignore[arg-type]
    except (KeyError, TypeError) as error:
        raise ValueError(f"a {kind.__name__} without {error}") from error


class Ledger:
    """Writes one run's ledger. Every record is on disk when its call returns. Raises OSError, a full disk say."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, opened: Opened, path: Path | None = None) -> Ledger:
        """A new ledger, in the state folder. Raises EnvironmentBroke or OSError; FileExistsError if there is one."""
        ledger = cls(path or state.made(FOLDER) / f"{opened.run}{SUFFIX}")
        if ledger.path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(ledger.path))
        partial = ledger.path.with_suffix(f".{os.getpid()}.new")
        try:
            _append(partial, opened, os.O_CREAT | os.O_EXCL)
            partial.rename(ledger.path)  # its head comes with its name: without one others take it for a dead run's
        finally:
            partial.unlink(missing_ok=True)
        folder = os.open(ledger.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # the name too must survive a power cut
        finally:
            os.close(folder)
        return ledger

    def append(self, record: Record) -> None:
        """Write one record, or none of it. A ledger that was removed is not made anew."""
        _append(self.path, record)

    def exists(self) -> bool:
        """Whether it is still there: nobody but its run may remove it while that lives."""
        return self.path.exists()

    def close(self) -> None:
        """Remove the ledger if nothing in it is open; else it stays for `harness heal`. Twice is fine."""
        account = read_if_there(self.path)
        if account is not None and not account.open and not account.damaged:
            self.append(Closed())
            self.path.unlink(missing_ok=True)


def _append(path: Path, record: Record, flags: int = 0) -> None:
    file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | flags, 0o600)
    try:
        size = os.fstat(file).st_size
        whole = os.pread(file, size, 0).rfind(b"\n") + 1
        if whole != size:  # somebody died in the middle of a write: nothing was done on the strength of it
            os.ftruncate(file, whole)
        line = f"{encode(record)}\n".encode()
        try:
            if os.write(file, line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(file)
        except OSError:
            if os.fstat(file).st_size <= whole + len(line):  # nobody has written behind it
                os.ftruncate(file, whole)
            raise
    finally:
        os.close(file)


def read_if_there(path: Path) -> Account | None:
    """As `read`; None for one that has gone, which can happen at any time: its run, or who healed it, has closed it."""
    try:
        return read(path)
    except BadInput:
        if path.exists():
            raise
        return None


def read(path: Path) -> Account:
    """What a ledger says. Raises BadInput (a newer version, unreadable)."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadInput(
            f"{path}: cannot read the ledger: {error.strerror}", hint="look at what it is, and whose"
        ) from error
    return parse(content, path)


def parse(content: bytes, path: Path) -> Account:
    """What a ledger with this content says. Damaged lines are told, the others count; one that was never finished
    does not: its write had not returned. Raises BadInput (a newer version).
    """
    opened: Opened | None = None
    watched: Watched | None = None
    unhealed: dict[str, Open] = {}
    damaged: list[str] = []
    closed = False
    lines = content.decode("utf-8", errors="replace").split("\n")[:-1]
    for number, line in enumerate(lines, start=1):
        try:
            record = decode(line)
        except ValueError as error:
            damaged.append(f"{path}:{number}: {error}")
            continue
        except BadInput as error:
            raise BadInput(f"{path}:{number}: {error}", hint=error.hint) from error
        match record:
            case Opened():
                opened = record
            case Watched():
                watched = record
            case Intended(undo=undo):
                unhealed[undo.name] = Open(undo=undo, injected=False)
            case Injected(name=name) if name in unhealed:
                unhealed[name] = Open(undo=unhealed[name].undo, injected=True)
            case Healed(name=name):
                unhealed.pop(name, None)
            case Closed():
                closed = True
    return Account(
        path=path,
        opened=opened,
        watched=watched,
        open=tuple(reversed(unhealed.values())),
        closed=closed,
        damaged=tuple(damaged),
    )


def ledgers() -> tuple[Path, ...]:
    """Every ledger of this user, the oldest first. Raises BadInput for a folder that cannot be read."""
    folder = state.folder() / FOLDER
    try:
        return tuple(sorted(path for path in folder.iterdir() if path.name.endswith(SUFFIX)))
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise BadInput(
            f"{folder}: cannot be read: {error.strerror}", hint=f"see whose it is, or give another in {state.VARIABLE}"
        ) from error
