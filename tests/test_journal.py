"""The journal: what is written is read back, a cut-off line is not read, a damaged one is refused with its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import BadInput
from harness.journal import KINDS, Event, FaultHealed, Reading, RunEnded, Writer, decode, encode, read
from harness.testing import synthetic_ladder

EVENTS = synthetic_ladder(users=(10, 20, 30, 40), hold_s=4, ramp_s=1, warmup_s=1)


def test_every_event_of_a_run_survives_the_way_to_disk_and_back(tmp_path: Path) -> None:
    """Encode, write, read, decode: equal, in order."""
    writer = Writer.create(tmp_path / "j.jsonl")
    for event in EVENTS:
        writer.append(event)
    writer.close()
    assert list(read(tmp_path / "j.jsonl")) == EVENTS


@given(st.sampled_from(EVENTS))
def test_a_line_round_trips(event: Event) -> None:
    """decode is the inverse of encode."""
    assert decode(encode(event)) == event


def test_all_kinds_are_known_by_their_class_name() -> None:
    """What a run writes, read can decode."""
    assert {type(event).__name__ for event in EVENTS} <= set(KINDS)


@settings(max_examples=60)
@given(st.data())
def test_a_journal_cut_at_any_byte_is_read_up_to_its_last_whole_line(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """kill -9 in the middle of a write loses that line and nothing else."""
    whole = "".join(encode(event) + "\n" for event in EVENTS[:6]).encode()
    cut = data.draw(st.integers(0, len(whole)))
    path = tmp_path_factory.mktemp("cut") / "j.jsonl"
    path.write_bytes(whole[:cut])
    found = list(read(path))
    assert found == EVENTS[: whole[:cut].count(b"\n")]


@pytest.mark.parametrize("line", ["{}", "[]", "null", '{"event":"Nope"}', '{"event":"RunEnded"}', "{", "\x00"])
def test_a_damaged_line_is_refused_with_file_and_line(tmp_path: Path, line: str) -> None:
    """Never skipped, never guessed at."""
    path = tmp_path / "j.jsonl"
    path.write_text(encode(EVENTS[0]) + "\n" + line + "\n", encoding="utf-8")
    with pytest.raises(BadInput, match=rf"{path}:2: not a journal line"):
        list(read(path))


def test_a_missing_journal_is_one_clear_error(tmp_path: Path) -> None:
    """No traceback for a typo."""
    with pytest.raises(BadInput, match="cannot read the journal"):
        list(read(tmp_path / "none.jsonl"))


def test_not_a_number_is_never_written() -> None:
    """JSON has no NaN; a probe that delivers one is our defect and must be loud."""
    with pytest.raises(ValueError, match="JSON compliant"):
        encode(Reading(at_ns=0, probe="process", of="api", values={"cpu": float("nan")}))


def test_a_journal_is_never_overwritten(tmp_path: Path) -> None:
    """A second writer on the same file is refused."""
    Writer.create(tmp_path / "j.jsonl").close()
    with pytest.raises(FileExistsError):
        Writer.create(tmp_path / "j.jsonl")


@pytest.mark.parametrize("tail", ["", '{"event":"Rea'])
def test_a_cut_journal_can_be_gone_on_with(tmp_path: Path, tail: str) -> None:
    """`harness heal` appends to a dead run's journal; the half line goes."""
    path = tmp_path / "j.jsonl"
    path.write_text(encode(EVENTS[0]) + "\n" + tail, encoding="utf-8")
    writer = Writer.resume(path)
    healed = FaultHealed(at_ns=1, fault="f", asked_ns=1)
    writer.append(healed)
    writer.close()
    assert list(read(path)) == [EVENTS[0], healed]


def test_a_dirty_end_keeps_its_list() -> None:
    """Tuples come back as tuples."""
    ended = RunEnded(at_ns=1, completed=False, dirty=("a", "b"))
    assert decode(encode(ended)) == ended


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('{"event":"Aborted","at_ns":"x","by":"error","why":"w"}', "at_ns is 'x'"),
        (
            '{"event":"Traffic","at_ns":1,"second":1,"worker":0,"endpoint":5,"started":1,"finished":1,"failed":{}}',
            "endpo",
        ),
        ('{"event":"RunStarted","at_ns":0,"schema":99}', "its schema is 99"),
    ],
)
def test_a_line_of_wrong_types_or_of_another_schema_is_refused(line: str, why: str) -> None:
    """A damaged or newer journal ends in one clear error, not in a wrong verdict or a traceback."""
    with pytest.raises(ValueError, match=why):
        decode(line)
