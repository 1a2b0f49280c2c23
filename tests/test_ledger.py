"""The ledger: on disk before a fault, readable whatever happened to it since."""

from __future__ import annotations

import os
import resource
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import state
from harness.errors import BadInput, EnvironmentBroke
from harness.ledger import (
    Closed,
    Failed,
    Healed,
    Injected,
    Intended,
    Ledger,
    Opened,
    Undo,
    Watched,
    decode,
    encode,
    ledgers,
    read,
    read_if_there,
)

OPENED = Opened(
    schema=1,
    run="2026-01-01T00-00-00Z-abcd",
    experiment="e",
    folder="/r/e/2026",
    user="me",
    wall="2026-01-01T00:00:00Z",
    pid=1,
    pid_started=2.5,
    boot="b",
    origin_ns=7,
)


def undo(name: str) -> Undo:
    """A paused container."""
    return Undo(name=name, driver="container", kind="pause", on="api", before={"id": "4f"}, by_hand="docker unpause 4f")


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """A new ledger in a state folder of its own."""
    monkeypatch.setenv("HARNESS_STATE", str(tmp_path / "state"))
    return Ledger.create(OPENED)


@pytest.mark.parametrize(
    "record",
    [
        OPENED,
        Watched(pid=3, pid_started=4.5),
        Intended(undo=undo("a")),
        Injected(name="a"),
        Healed(name="a", by="reaper"),
        Failed(name="a", by="run", message="no\nanswer"),
        Closed(),
    ],
)
def test_every_record_comes_back_as_it_was_written(record: object) -> None:
    """decode is the inverse of encode, on one line."""
    line = encode(record)  # type: ignore[arg-type]
    assert "\n" not in line
    assert decode(line) == record


def test_what_is_intended_and_not_healed_is_open_the_last_one_first(ledger: Ledger) -> None:
    """That is the order of healing; a confirmed injection is told."""
    for record in (
        Intended(undo=undo("a")),
        Injected(name="a"),
        Intended(undo=undo("b")),
        Healed(name="b", by="run"),
        Intended(undo=undo("c")),
    ):
        ledger.append(record)
    assert [(one.undo.name, one.injected) for one in read(ledger.path).open] == [("c", False), ("a", True)]


def test_a_ledger_with_nothing_open_goes_and_one_with_something_stays(ledger: Ledger) -> None:
    """Later commands find only what there is to do."""
    ledger.append(Intended(undo=undo("a")))
    ledger.close()
    assert ledgers() == (ledger.path,)
    ledger.append(Healed(name="a", by="run"))
    ledger.close()
    assert ledgers() == ()


def test_a_half_written_line_hides_neither_what_is_before_it_nor_what_is_after(ledger: Ledger) -> None:
    """A crash in the middle of a write, then another writer: nothing was done on the strength of the torn line."""
    ledger.append(Intended(undo=undo("a")))
    with ledger.path.open("ab") as file:
        file.write(encode(Intended(undo=undo("lost"))).encode()[:40])
    ledger.append(Intended(undo=undo("b")))
    account = read(ledger.path)
    assert [one.undo.name for one in account.open] == ["b", "a"]
    assert account.damaged == ()


def test_a_damaged_line_is_told_with_its_place(ledger: Ledger) -> None:
    """A whole line whose checksum does not fit: what it told is lost, and that is known."""
    ledger.append(Intended(undo=undo("a")))
    ledger.append(Intended(undo=undo("b")))
    ledger.path.write_bytes(ledger.path.read_bytes().replace(b'"name":"a"', b'"name":"x"'))
    account = read(ledger.path)
    assert [one.undo.name for one in account.open] == ["b"]
    assert [line.startswith(f"{ledger.path}:2: ") for line in account.damaged] == [True]
    ledger.append(Healed(name="b", by="heal"))
    ledger.close()
    assert ledger.path.exists()


def test_a_ledger_that_ends_at_any_byte_is_read_and_goes_on(ledger: Ledger) -> None:
    """Every prefix: what was written whole counts, nothing is damaged, and the next record stands by itself."""
    records = [Intended(undo=undo("a")), Injected(name="a"), Intended(undo=undo("b")), Healed(name="b", by="run")]
    for record in records:
        ledger.append(record)
    content = ledger.path.read_bytes()
    ends = [index + 1 for index, byte in enumerate(content) if byte == 10]
    for size in range(len(content) + 1):
        ledger.path.write_bytes(content[:size])
        whole = sum(end <= size for end in ends)
        expected = {0: [], 1: [], 2: ["a"], 3: ["a"], 4: ["b", "a"], 5: ["a"]}[whole]
        assert read(ledger.path).damaged == (), size
        ledger.append(Failed(name="a", by="heal", message="not yet"))
        account = read(ledger.path)
        assert ([one.undo.name for one in account.open], account.damaged) == (expected, ()), size
        assert (account.opened is not None) == (whole > 0)


def test_a_removed_ledger_is_not_made_anew(ledger: Ledger) -> None:
    """Without its head, and without what is open, it would tell that nothing is: the run must stop instead."""
    ledger.append(Intended(undo=undo("a")))
    assert ledger.exists()
    ledger.path.unlink()
    with pytest.raises(FileNotFoundError):
        ledger.append(Injected(name="a"))
    assert not ledger.exists()
    assert read_if_there(ledger.path) is None
    ledger.close()


def test_two_runs_never_share_a_ledger(ledger: Ledger) -> None:
    """The second of one name is refused, and changes nothing."""
    ledger.append(Intended(undo=undo("a")))
    with pytest.raises(FileExistsError):
        Ledger.create(OPENED)
    assert [one.undo.name for one in read(ledger.path).open] == ["a"]
    assert [entry.name for entry in ledger.path.parent.iterdir()] == [ledger.path.name]


def test_nobody_sees_a_ledger_before_it_has_its_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another command would take it for a dead run's with nothing open, and remove it."""
    monkeypatch.setenv("HARNESS_STATE", str(tmp_path))
    real = os.fsync
    seen: list[int] = []

    def synced(file: int) -> None:
        seen.append(len(ledgers()))
        real(file)

    monkeypatch.setattr(os, "fsync", synced)
    Ledger.create(OPENED)
    assert seen == [0, 1]  # the file's content; then the folder, with the name


def test_what_cannot_be_listed_is_not_taken_for_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`harness heal` would say that nothing is left."""
    monkeypatch.setenv("HARNESS_STATE", str(tmp_path))
    assert ledgers() == ()
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(BadInput, match="runs: cannot be read"):
        ledgers()


def test_something_else_in_a_ledgers_place_is_one_clear_error(ledger: Ledger) -> None:
    """A directory, say."""
    folder = ledger.path.with_name("x.jsonl")
    folder.mkdir()
    with pytest.raises(BadInput, match=r"x\.jsonl: cannot read the ledger: Is a directory"):
        read_if_there(folder)


@given(st.data())
def test_one_damaged_byte_costs_at_most_its_own_line(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Whatever byte is changed to whatever printable one: of three intentions at least two are still there."""
    path = tmp_path_factory.mktemp("damaged") / "run.jsonl"
    lines = [encode(Intended(undo=undo(name))) for name in "abc"]
    content = bytearray(("\n".join(lines) + "\n").encode())
    place = data.draw(st.integers(0, len(content) - 2).filter(lambda index: content[index] != 10))
    content[place] = ord(data.draw(st.sampled_from(string.ascii_letters + string.digits)))
    path.write_bytes(bytes(content))
    assert len(read(path).open) >= 2


def test_a_ledger_of_a_newer_version_is_refused_not_guessed_at(ledger: Ledger) -> None:
    """With file, line, and what to do."""
    newer = Opened(**{name: getattr(OPENED, name) for name in OPENED.__slots__} | {"schema": 2})
    ledger.append(newer)
    with pytest.raises(BadInput, match=r":2: a ledger of version 2; this harness reads version 1"):
        read(ledger.path)


def test_a_full_disk_is_an_error_of_the_write_that_did_not_fit(ledger: Ledger) -> None:
    """The caller must not inject then; what was written before is still readable."""
    ledger.append(Intended(undo=undo("a")))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ledger.path.stat().st_size + 30, hard))
    try:
        with pytest.raises(OSError, match=r"No space|too large"):
            ledger.append(Intended(undo=undo("b")))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [one.undo.name for one in read(ledger.path).open] == ["a"]
    ledger.append(Healed(name="a", by="heal"))
    account = read(ledger.path)
    assert (account.open, account.damaged) == ((), ())


def test_the_state_folder_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """HARNESS_STATE, then XDG_STATE_HOME, then the home folder."""
    monkeypatch.setenv("HARNESS_STATE", str(tmp_path / "own"))
    assert state.folder() == tmp_path / "own"
    monkeypatch.delenv("HARNESS_STATE")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    assert state.folder() == tmp_path / "xdg" / "harness"
    monkeypatch.setenv("XDG_STATE_HOME", "relative-paths-are-invalid")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert state.folder() == tmp_path / ".local" / "state" / "harness"


def test_a_state_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable is named, since that is what to change."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HARNESS_STATE", str(tmp_path / "file"))
    with pytest.raises(EnvironmentBroke, match="cannot be made") as caught:
        Ledger.create(OPENED)
    assert "HARNESS_STATE" in caught.value.hint


def test_nobody_else_can_read_a_ledger(ledger: Ledger) -> None:
    """Undo records hold what a command or a compose file is given, secrets too."""
    assert ledger.path.stat().st_mode & 0o077 == 0
