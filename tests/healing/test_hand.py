"""Healing from a ledger: order, tries, settling, and what a journal is told. On a fake clock, with a fake target."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from harness.clock import SystemClock
from harness.errors import EnvironmentBroke
from harness.experiment import Fault
from harness.faults import Before
from harness.healing.hand import CALL_LIMIT_NS, Hand, Healing, alone, finish, in_time, left_by_hand, tell_journal
from harness.journal import Aborted, FaultHealed, FaultIntended, RunEnded, RunStarted, Trouble, Writer
from harness.journal import read as read_journal
from harness.ledger import Account, Injected, Intended, Ledger, Opened, Undo, read
from harness.testing import FakeClock
from harness.units import NS_PER_S

HEADER = RunStarted(
    at_ns=0, schema=1, run="r", wall="2026-01-01T00:00:00Z", seed=1, plan_ns=0, document={}, base_dir="", facts={}
)


class Target:
    """What is in force, by name; `failing` names fail so often; `late` names come into force at that time."""

    def __init__(self, clock: FakeClock, *in_force: str) -> None:
        self.clock = clock
        self.in_force = set(in_force)
        self.failing: dict[str, int] = {}
        self.late: dict[str, int] = {}
        self.asked: list[tuple[float, str]] = []

    def heal(self, fault: Fault, before: Before) -> None:
        """Take back what is in force by now."""
        assert before == {"was": fault.name}
        self.asked.append((self.clock.now() / NS_PER_S, fault.name))
        if self.late.get(fault.name, self.clock.now() + 1) <= self.clock.now():
            self.in_force.add(fault.name)
            del self.late[fault.name]
        if self.failing.get(fault.name, 0) > 0:
            self.failing[fault.name] -= 1
            raise EnvironmentBroke(f"{fault.name} sticks", hint="pull")
        self.in_force.discard(fault.name)


def directly(call: Callable[[], None], limit_ns: int) -> None:
    """An attempt without a thread."""
    call()


def account(tmp_path: Path, names: Mapping[str, bool]) -> Account:
    """A dead run's ledger with these faults, each injected or only intended."""
    opened = Opened(
        schema=1, run="r", experiment="e", folder=str(tmp_path), user="me", wall="", pid=1, pid_started=0.0,
        boot="another boot", origin_ns=0,
    )  # fmt: skip
    ledger = Ledger.create(opened, tmp_path / "r.jsonl")
    for name, injected in names.items():
        undo = Undo(name=name, driver="fake", kind="freeze", on="web", before={"was": name}, by_hand=f"thaw {name}")
        ledger.append(Intended(undo=undo))
        if injected:
            ledger.append(Injected(name=name))
    return read(ledger.path)


def hand(target: Target, of: Account) -> Hand:
    """A hand on a fake clock."""
    return Hand(of, lambda _: target, by="reaper", clock=target.clock, attempt=directly)


def test_the_last_one_is_healed_first_and_the_ledger_knows(tmp_path: Path) -> None:
    """Reverse order; afterwards nothing is open."""
    target = Target(FakeClock(), "a", "b")
    of = account(tmp_path, {"a": True, "b": True})
    assert hand(target, of).heal(NS_PER_S) == Healing(healed=("b", "a"), failed={})
    assert target.asked == [(0.0, "b"), (0.0, "a")]
    assert read(of.path).open == ()


def test_one_that_fails_keeps_no_other_and_is_tried_again_a_little_later(tmp_path: Path) -> None:
    """b fails twice: a is healed at once, b at its third try after growing pauses."""
    target = Target(FakeClock(), "a", "b")
    target.failing = {"b": 2}
    healing = hand(target, account(tmp_path, {"a": True, "b": True})).heal(10 * NS_PER_S)
    assert healing == Healing(healed=("a", "b"), failed={})
    assert target.asked == [(0.0, "b"), (0.0, "a"), (0.25, "b"), (0.75, "b")]


def test_what_cannot_be_healed_is_told_with_what_to_type_and_stays_open(tmp_path: Path) -> None:
    """Tries end with the time limit."""
    target = Target(FakeClock(), "a", "b")
    target.failing = {"b": 10_000}
    of = account(tmp_path, {"a": True, "b": True})
    healing = hand(target, of).heal(5 * NS_PER_S)
    assert healing == Healing(healed=("a",), failed={"b": "b sticks (pull)"})
    assert target.clock.now() <= 5 * NS_PER_S
    assert left_by_hand(of, healing) == ("b (freeze on web): b sticks (pull)\n    type: thaw b",)
    assert [one.undo.name for one in read(of.path).open] == ["b"]


def test_a_call_that_was_under_way_when_its_caller_died_is_caught_when_it_takes_effect(tmp_path: Path) -> None:
    """Intended, never confirmed; it comes into force 0.7 s after the first heal and is healed again."""
    target = Target(FakeClock())
    target.late = {"a": 7 * NS_PER_S // 10}
    healing = hand(target, account(tmp_path, {"a": False})).heal(NS_PER_S)
    assert healing.healed == ("a",)
    assert not target.in_force
    assert not target.late


def test_a_driver_that_nobody_knows_does_not_keep_the_others_from_healing(tmp_path: Path) -> None:
    """A plug-in that is gone: its fault is told, the rest is healed."""
    target = Target(FakeClock(), "a")
    of = account(tmp_path, {"a": True, "b": True})

    def healer_of(driver: str) -> Target:
        if not target.asked:
            target.asked.append((0.0, driver))
            raise EnvironmentBroke("there is no driver 'fake' here")
        return target

    target.failing = {"b": 10_000}
    healing = Hand(of, healer_of, by="heal", clock=target.clock, attempt=directly).heal(0)
    assert healing.healed == ("a",)
    assert set(healing.failed) == {"b"}


def test_a_driver_says_how_long_one_healing_may_take(tmp_path: Path) -> None:
    """Never less than any other is given."""
    limits: list[int] = []

    class Slow(Target):
        """Asks for that."""

        def limits_ns(self, fault: Fault, before: Before) -> tuple[int, int]:
            """The second is for healing."""
            return 0, 600 * NS_PER_S if fault.name == "a" else 1

    def attempt(call: Callable[[], None], limit_ns: int) -> None:
        limits.append(limit_ns)
        call()

    target = Slow(FakeClock(), "a", "b")
    of = account(tmp_path, {"a": True, "b": True})
    assert Hand(of, lambda _: target, by="heal", clock=target.clock, attempt=attempt).heal(0).failed == {}
    assert sorted(limits) == [CALL_LIMIT_NS, 600 * NS_PER_S]


def test_a_call_that_hangs_holds_nobody(tmp_path: Path) -> None:
    """The time limit of one call is an error of that call."""
    import threading

    gate = threading.Event()
    with pytest.raises(EnvironmentBroke, match=r"no answer within 0\.05 s"):
        in_time(lambda: gate.wait(20) and None, NS_PER_S // 20)
    gate.set()
    assert tmp_path.exists()


def journal(tmp_path: Path, *events: FaultIntended | Aborted | RunEnded) -> None:
    """A run's journal that ends here."""
    writer = Writer.create(tmp_path / "journal.jsonl")
    for event in (HEADER, *events):
        writer.append(event)
    writer.close()


INTENDED = FaultIntended(at_ns=5, fault="a", driver="fake", kind="freeze", on="web", params={}, before={})


def test_a_dead_runs_journal_is_told_what_was_healed_and_that_it_ended(tmp_path: Path) -> None:
    """Aborted with why, FaultHealed, RunEnded that is not complete: `harness judge` can go on from there."""
    journal(tmp_path, INTENDED)
    of = account(tmp_path, {"stack": True, "a": True})
    tell_journal(of, Healing(healed=("a", "stack"), failed={}), "the harness died")
    told = list(read_journal(tmp_path / "journal.jsonl"))[2:]
    assert [type(event) for event in told] == [Aborted, FaultHealed, Trouble, RunEnded]
    assert told[0] == Aborted(at_ns=5, by="error", why="the harness died")
    assert isinstance(told[-1], RunEnded)
    assert not told[-1].completed
    assert told[-1].dirty == ()
    assert "healed and checked" in told[-1].checked


def test_what_is_left_dirty_stands_in_the_journals_end(tmp_path: Path) -> None:
    """Nobody may read such a run as clean."""
    journal(tmp_path, INTENDED)
    tell_journal(account(tmp_path, {"a": True}), Healing(healed=(), failed={"a": "sticks"}), "the harness died")
    ended = list(read_journal(tmp_path / "journal.jsonl"))[-1]
    assert isinstance(ended, RunEnded)
    assert ended.dirty == ("a: sticks",)
    assert ended.checked == ""


def test_a_run_that_had_ended_is_not_ended_twice(tmp_path: Path) -> None:
    """Healed later by a person: only the healing is added."""
    journal(tmp_path, INTENDED, RunEnded(at_ns=9, completed=True, dirty=("a",)))
    tell_journal(account(tmp_path, {"a": True}), Healing(healed=("a",), failed={}), "later")
    assert [type(event) for event in read_journal(tmp_path / "journal.jsonl")][3:] == [FaultHealed]


def test_a_journal_that_cannot_be_told_keeps_no_ledger_open(tmp_path: Path) -> None:
    """All is healed: a damaged journal is a trouble, no dirty target; else no run could ever begin again."""
    (tmp_path / "journal.jsonl").write_text("garbage\n")
    of = account(tmp_path, {"a": True})
    healing = hand(Target(FakeClock(), "a"), of).heal(NS_PER_S)
    assert len(finish(of, healing, "the harness died")) == 1
    assert left_by_hand(of, healing) == ()
    assert not of.path.exists()


def test_what_two_have_healed_is_told_once(tmp_path: Path) -> None:
    """The run had told its journal, or somebody else who healed: a fault is over once."""
    journal(tmp_path, INTENDED)
    of = account(tmp_path, {"a": True})
    for _ in range(2):
        tell_journal(of, Healing(healed=("a",), failed={}), "the harness died")
    told = [type(event) for event in read_journal(tmp_path / "journal.jsonl")][2:]
    assert told == [Aborted, FaultHealed, RunEnded]


def test_one_heals_at_a_time_and_nobody_waits_for_ever(tmp_path: Path) -> None:
    """The second waits for its time, then heals all the same; a ledger that has gone is nobody's."""
    path = account(tmp_path, {"a": True}).path
    clock = SystemClock()
    with alone(path, NS_PER_S):
        began_ns = clock.now()
        with alone(path, NS_PER_S // 5):
            assert clock.now() - began_ns >= NS_PER_S // 5
    began_ns = clock.now()
    with alone(path, 10 * NS_PER_S), alone(tmp_path / "gone.jsonl", 10 * NS_PER_S):
        assert clock.now() - began_ns < 5 * NS_PER_S


def test_what_was_healed_and_cannot_be_written_down_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger on a disk that is read-only by now: the next command will say that a fault may be in force."""
    of = account(tmp_path, {"a": True})

    def refuse(self: Ledger, record: object) -> None:
        raise OSError(30, f"Read-only file system: {self.path} {record}")

    monkeypatch.setattr(Ledger, "append", refuse)
    healing = hand(Target(FakeClock(), "a"), of).heal(NS_PER_S)
    assert healing.healed == ("a",)
    (trouble,) = finish(of, healing, "the harness died")
    assert "will be healed again" in trouble
