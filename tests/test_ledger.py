"""The ledger: on disk before a fault, readable whatever happened to it since."""

from __future__ import annotations

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
    """A crash in the middle of a write, then another writer: the torn line is told, everything else counts."""
    ledger.append(Intended(undo=undo("a")))
    with ledger.path.open("ab") as file:
        file.write(encode(Intended(undo=undo("lost"))).encode()[:40])
    ledger.append(Intended(undo=undo("b")))
    account = read(ledger.path)
    assert [one.undo.name for one in account.open] == ["b", "a"]
    assert len(account.damaged) == 1
    assert account.damaged[0].startswith(f"{ledger.path}:3: ")


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
    assert read(ledger.path).open == ()


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
