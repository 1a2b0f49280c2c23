"""The run loop on a fake clock: exact tables of what is asked when, aborts at every instant, failures of every call."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from harness import run as run_module
from harness.clock import Inbox
from harness.experiment import Fault, Limit, Stage
from harness.journal import (
    Aborted,
    FaultFailed,
    FaultFelt,
    FaultHealed,
    FaultInjected,
    FaultIntended,
    RunEnded,
    RunStarted,
    StageEntered,
    Traffic,
    Trouble,
    WorkerLost,
)
from harness.ledger import Healed, Injected, Intended, Undo
from harness.loader.limits import parse_limit
from harness.plan import EnterStage, Finish, Heal, Inject, Plan, SetLoad, Step
from harness.run import Ending, run
from harness.run.guard import Guard
from harness.run.loop import Done, Loop, Message, Stop, Watched
from harness.run.steady import SteadyState
from harness.testing import (
    FakeCalls,
    FakeFaults,
    FakeJournal,
    FakeLease,
    FakeLedger,
    FakeLinks,
    FakeStack,
    FakeTraffic,
    World,
)
from harness.units import NS_PER_MS, NS_PER_S

HEADER = RunStarted(
    at_ns=0, schema=1, run="r", wall="2026-01-01T00:00:00Z", seed=1, plan_ns=0, document={}, base_dir="", facts={}
)


def fault(name: str, after_s: int, hold_s: int) -> Fault:
    """A fault of the fake driver."""
    return Fault(
        name=name,
        driver="fake",
        kind="freeze",
        on="web",
        params={},
        stage="steady",
        after_ns=after_s * NS_PER_S,
        hold_ns=hold_s * NS_PER_S,
    )


def timeline(*faults: Fault) -> Plan:
    """One stage of 20 s with 10 users, and faults at their seconds."""
    stage = Stage(name="steady", role="steady", users=10, ramp_ns=0, hold_ns=20 * NS_PER_S)
    steps = [
        Step(at_ns=0, action=EnterStage(stage=stage, hold_at_ns=0, ends_at_ns=20 * NS_PER_S)),
        Step(at_ns=0, action=SetLoad(unit="users", level_from=0, level_to=10, ramp_ns=0)),
        Step(at_ns=20 * NS_PER_S, action=Finish()),
    ]
    for one in faults:
        steps.append(Step(at_ns=one.after_ns, action=Inject(fault=one)))
        steps.append(Step(at_ns=one.after_ns + one.hold_ns, action=Heal(fault=one)))
    return Plan(steps=tuple(sorted(steps, key=lambda step: step.at_ns)), total_ns=20 * NS_PER_S)


class Scene:
    """A world of fakes, ready to run a plan."""

    def __init__(
        self,
        *,
        full_at: int | None = None,
        abort: tuple[Limit, ...] = (),
        steady: SteadyState | None = None,
        faults_at_once: int | None = None,
    ) -> None:
        self.faults_at_once = faults_at_once
        self.world = World()
        self.journal = FakeJournal(full_at)
        self.calls = FakeCalls(self.world.clock)
        self.stack = FakeStack(self.world)
        self.links = FakeLinks(self.world)
        self.faults = FakeFaults(self.world)
        self.ledger = FakeLedger()
        self.lease = FakeLease(self.world)
        self.watched: tuple[Watched, ...] = ()
        inbox: Inbox[Message] = Inbox()
        self.loop = Loop(self.world.clock, inbox, self.calls, self.journal, Guard(abort), steady)

    def run(self, plan: Plan) -> Ending:
        """Run it to its end."""
        return run(
            plan,
            HEADER,
            run_module.World(
                stack=self.stack,
                links=self.links,
                traffic=FakeTraffic(self.world),
                faults={"fake": self.faults},
                probes=lambda: self.watched,
                target=lambda: "http://web",
                ledger=self.ledger,
                lease=self.lease,
                log_dir=Path(),
                drain_ns=5 * NS_PER_S,
                faults_at_once=self.faults_at_once,
            ),
            self.loop,
        )

    def kinds(self) -> list[str]:
        """The journal as class names."""
        return [type(event).__name__ for event in self.journal.events]

    def clean(self) -> bool:
        """Nothing in force, nothing up."""
        return not self.world.in_force and not self.stack.is_up


def test_a_run_asks_each_driver_in_order_at_its_planned_second() -> None:
    """The whole of a quiet run, as a table of seconds and words."""
    scene = Scene()
    ending = scene.run(timeline(fault("freeze", 5, 4)))
    assert ending == Ending(completed=True, dirty=(), error=None)
    assert [(round(at_s), words) for at_s, words in scene.world.asked] == [
        (0, "up"),
        (0, "open web"),
        (0, "check freeze"),
        (0, "start http://web"),
        (1, "load 0->10"),
        (6, "before freeze"),
        (6, "inject freeze"),
        (10, "felt freeze"),
        (10, "heal freeze"),
        (21, "stop 5"),
        (21, "close"),
        (21, "down"),
    ]


def test_the_journal_tells_the_run_in_order() -> None:
    """Every edge of a fault stands in the journal, and the run's end."""
    scene = Scene()
    scene.run(timeline(fault("freeze", 5, 4)))
    assert scene.kinds() == [
        "RunStarted",
        "StageEntered",
        "LoadSet",
        "FaultIntended",
        "FaultInjected",
        "FaultFelt",
        "FaultHealed",
        "TrafficEnded",
        "RunEnded",
    ]


def test_an_intention_is_on_disk_before_the_fault_touches_anything() -> None:
    """FaultIntended is synced, and before it nothing was injected."""
    scene = Scene()
    scene.run(timeline(fault("freeze", 5, 4)))
    intended = next(event for event in scene.journal.synced if isinstance(event, FaultIntended))
    injected_at = next(at_s for at_s, words in scene.world.asked if words.startswith("inject"))
    assert intended.before == {"was": "freeze"}
    assert intended.at_ns / NS_PER_S <= injected_at


@pytest.mark.parametrize("at_ms", range(0, 24_000, 250))
def test_a_signal_at_any_instant_leaves_the_target_clean(at_ms: int) -> None:
    """SIGINT every quarter of a second from start to end: healed, taken down, and the journal ends whole."""
    scene = Scene()
    scene.world.clock.at(at_ms * NS_PER_MS, Stop(why="SIGINT"))
    ending = scene.run(timeline(fault("a", 2, 10), fault("b", 4, 4)))
    assert scene.clean()
    assert ending.dirty == ()
    assert scene.kinds()[-1] == "RunEnded" or at_ms > 21_000


def test_faults_are_healed_last_in_first_out_when_a_run_is_stopped() -> None:
    """Two faults in force at the signal: the later one is healed first."""
    scene = Scene()
    scene.world.clock.at(8 * NS_PER_S, Stop(why="SIGTERM"))
    scene.run(timeline(fault("a", 2, 15), fault("b", 4, 14)))
    assert [words for _, words in scene.world.asked if words.startswith("heal")] == ["heal b", "heal a"]


def test_a_second_signal_does_not_wait_for_requests_in_flight() -> None:
    """Twice Ctrl-C: the drain time is zero."""
    scene = Scene()
    scene.world.clock.at(8 * NS_PER_S, Stop(why="SIGINT"))
    scene.world.clock.at(8 * NS_PER_S, Stop(why="SIGINT"))
    scene.run(timeline(fault("a", 2, 15)))
    assert "stop 0" in [words for _, words in scene.world.asked]


def test_a_second_signal_during_the_drain_cuts_it_short() -> None:
    """The first Ctrl-C waits for answers; the second tells the traffic to wait no longer."""
    scene = Scene()
    scene.calls.takes_ns = 2 * NS_PER_S
    scene.world.clock.at(8 * NS_PER_S, Stop(why="SIGINT"))
    scene.world.clock.at(11 * NS_PER_S, Stop(why="SIGINT"))
    scene.run(timeline())
    assert [words for _, words in scene.world.asked if words.startswith("stop")] == ["stop 5", "stop 0"]


@pytest.mark.parametrize(
    "words", ["up", "open web", "check freeze", "start http://web", "load 0->10", "before freeze", "inject freeze"]
)
def test_whatever_fails_the_target_is_left_clean(words: str) -> None:
    """Each call of a run fails in turn; what was put in force by then is taken back."""
    scene = Scene()
    scene.world.failing.add(words)
    ending = scene.run(timeline(fault("freeze", 5, 4)))
    assert scene.clean()
    assert ending.dirty == ()
    assert isinstance(scene.journal.events[-1], RunEnded)


def test_a_failed_injection_is_written_down_and_healed_all_the_same() -> None:
    """An inject that raises after it took effect is healed at its planned end."""
    scene = Scene()
    scene.world.failing.add("inject freeze")
    ending = scene.run(timeline(fault("freeze", 5, 4)))
    failed = [event for event in scene.journal.events if isinstance(event, FaultFailed)]
    assert [event.step for event in failed] == ["inject"]
    assert any(isinstance(event, FaultHealed) for event in scene.journal.events)
    assert ending.completed


def test_a_heal_that_keeps_failing_makes_the_target_dirty() -> None:
    """Exit code 5 needs the names of what is left: the failed heal and the residue itself."""
    scene = Scene()
    scene.world.failing.add("heal freeze")
    ending = scene.run(timeline(fault("freeze", 5, 4)))
    tries = [words for _, words in scene.world.asked if words == "heal freeze"]
    assert len(tries) == 5
    left = "freeze: freeze on web: heal freeze failed, as the test wants; type: unfreeze web freeze"
    assert ending.dirty == (left, *scene.world.in_force)


def test_a_heal_due_while_the_injection_is_under_way_waits_for_it() -> None:
    """Every call takes 3 s: the injection answers at 6 s, two seconds after the heal was due."""
    scene = Scene()
    scene.calls.takes_ns = 3 * NS_PER_S
    ending = scene.run(timeline(fault("freeze", 5, 4)))
    kinds = [kind for kind in scene.kinds() if kind.startswith("Fault")]
    assert kinds == ["FaultIntended", "FaultInjected", "FaultFelt", "FaultHealed"]
    assert ending.dirty == ()


def test_a_call_that_never_answers_is_given_up_and_the_fault_still_healed() -> None:
    """A hung inject: a time-out in the journal, then the heal."""
    scene = Scene()
    scene.world.hanging = {"inject freeze"}
    ending = scene.run(timeline(fault("freeze", 2, 10)))
    failed = next(event for event in scene.journal.events if isinstance(event, FaultFailed))
    assert "no answer within the time limit" in failed.message
    assert any(isinstance(event, FaultHealed) for event in scene.journal.events)
    assert ending.completed


@pytest.mark.parametrize("full_at", range(9))
def test_a_full_disk_stops_the_run_and_everything_is_healed(full_at: int) -> None:
    """Whichever line of the journal is the first that cannot be written."""
    scene = Scene(full_at=full_at)
    ending = scene.run(timeline(fault("freeze", 5, 4)))
    assert scene.clean()
    assert isinstance(ending.error, OSError)


def test_no_fault_is_injected_when_its_intention_cannot_be_written() -> None:
    """The disk fills at FaultIntended: nothing is touched."""
    scene = Scene(full_at=3)
    scene.run(timeline(fault("freeze", 5, 4)))
    assert not [words for _, words in scene.world.asked if words.startswith("inject")]


def test_a_guard_ends_the_run_and_heals_before_the_load_goes_down() -> None:
    """errors > 10% for 3s: fault healed first, then traffic stopped."""
    limit = Limit(
        text="errors > 10% for 3s", metric="errors", of="", op=">", bound=0.1, unit="share", sustain_ns=3 * NS_PER_S
    )
    scene = Scene(abort=(limit,))
    for second in range(4, 12):
        row = Traffic(
            at_ns=(second + 1) * NS_PER_S,
            second=second,
            worker=0,
            endpoint="GET /",
            started=10,
            finished=10,
            failed={"5xx": 5},
        )
        scene.world.clock.at((second + 1) * NS_PER_S, row)
    scene.run(timeline(fault("freeze", 2, 15)))
    aborted = next(event for event in scene.journal.events if isinstance(event, Aborted))
    assert (aborted.by, aborted.why) == ("guard", "errors > 10% for 3s")
    assert aborted.at_ns < 10 * NS_PER_S
    words = [words for _, words in scene.world.asked]
    assert words.index("heal freeze") < words.index("stop 5")


@pytest.mark.parametrize("late_ms", range(0, 1000, 125))
@pytest.mark.parametrize("for_s", [1, 3])
def test_faults_are_being_healed_within_two_seconds_of_a_breach(late_ms: int, for_s: int) -> None:
    """Whenever in its second a row arrives, at most a second late, and whatever else happens meanwhile."""
    limit = parse_limit(f"errors > 10% for {for_s}s")
    scene = Scene(abort=(limit,))
    for second in range(1, 20):
        row = Traffic(
            at_ns=(second + 1) * NS_PER_S,
            second=second,
            worker=0,
            endpoint="GET /",
            started=10,
            finished=10,
            failed={"5xx": 5} if second >= 6 else {},
        )
        scene.world.clock.at((second + 1) * NS_PER_S + late_ms * NS_PER_MS, row)
    scene.run(timeline(fault("freeze", 2, 15)))
    healed_s = next(at_s for at_s, words in scene.world.asked if words == "heal freeze")
    stopped_s = next(at_s for at_s, words in scene.world.asked if words == "stop 5")
    assert 0 < healed_s - (6 + for_s) <= 1.25
    assert healed_s < stopped_s


def test_a_fault_waits_until_there_is_room_for_it() -> None:
    """One at once: the second is due when the first must end, and comes when that is confirmed."""
    scene = Scene(faults_at_once=1)
    scene.calls.takes_ns = NS_PER_S
    assert scene.run(timeline(fault("a", 2, 4), fault("b", 6, 8))).completed
    asked = [(at_s, words) for at_s, words in scene.world.asked if words in ("heal a", "before b", "heal b")]
    (healed_s, _), (began_s, began), (_, healed) = asked
    assert (began, healed) == ("before b", "heal b")
    assert healed_s + 1 <= began_s < healed_s + 1.1
    assert "FaultFailed" not in scene.kinds()


def test_a_fault_for_which_there_never_is_room_is_not_injected() -> None:
    """The first could not be healed: it is in force still, and one is all that is allowed."""
    scene = Scene(faults_at_once=1)
    scene.world.failing.add("heal a")
    scene.run(timeline(fault("a", 2, 4), fault("b", 6, 8)))
    assert "inject b" not in [words for _, words in scene.world.asked]
    failed = [event for event in scene.journal.events if isinstance(event, FaultFailed) and event.fault == "b"]
    assert [event.message for event in failed] == ["its time was over before there was room: faults_at_once allows 1"]


def test_a_fault_that_waits_is_not_begun_once_the_run_is_stopped() -> None:
    """A signal while it waits for room."""
    scene = Scene(faults_at_once=1)
    scene.world.clock.at(8 * NS_PER_S, Stop(why="SIGINT"))
    scene.run(timeline(fault("a", 2, 15), fault("b", 4, 12)))
    assert "before b" not in [words for _, words in scene.world.asked]
    assert scene.clean()


class DeadProbe:
    """A probe of something that is gone."""

    def read(self) -> dict[str, float]:
        """Raise, as the contract wants."""
        raise ConnectionRefusedError("connection refused")


class LiveProbe:
    """A probe that counts its readings."""

    def __init__(self) -> None:
        self.reads = 0

    def read(self) -> dict[str, float]:
        """One value."""
        self.reads += 1
        return {"cpu": 0.5}


def test_probes_are_read_on_their_schedule_and_a_dead_one_is_trouble_not_zero() -> None:
    """About one reading a second of the live probe; the dead one only leaves troubles."""
    scene = Scene()
    live = LiveProbe()
    scene.watched = (
        Watched(kind="process", of="api", every_ns=NS_PER_S, probe=live),
        Watched(kind="process", of="gone", every_ns=5 * NS_PER_S, probe=DeadProbe()),
    )
    scene.run(timeline())
    assert 20 <= live.reads <= 22
    troubles = [event for event in scene.journal.events if isinstance(event, Trouble)]
    assert {event.source for event in troubles} == {"probe process gone"}
    assert "Reading" in scene.kinds()


def test_an_undo_record_is_in_the_ledger_before_the_fault_and_closed_after_it() -> None:
    """Intended (with the command for a person), Injected, Healed; the ledger is closed and the reaper let go."""
    scene = Scene()
    scene.run(timeline(fault("freeze", 5, 4)))
    undo = Undo(
        name="freeze",
        driver="fake",
        kind="freeze",
        on="web",
        before={"was": "freeze"},
        by_hand="unfreeze web freeze",
    )
    assert scene.ledger.records == [Intended(undo=undo), Injected(name="freeze"), Healed(name="freeze", by="run")]
    assert scene.ledger.closed
    assert not scene.lease.held


def test_without_a_reaper_nothing_is_injected() -> None:
    """It cannot start: the run ends before the stack is touched."""
    scene = Scene()
    scene.world.failing.add("reap")
    ending = scene.run(timeline(fault("freeze", 5, 4)))
    assert "reap failed" in str(ending.error)
    assert not any(words.startswith(("up", "inject")) for _, words in scene.world.asked)


def test_a_reaper_that_is_gone_ends_the_run_and_its_faults_within_two_seconds() -> None:
    """It answers until 7 s; the fault of 5 to 15 s is healed by 9 s, and the next one never begins."""
    scene = Scene()
    scene.lease.gone_at_ns = 7 * NS_PER_S
    ending = scene.run(timeline(fault("freeze", 5, 10), fault("second", 12, 2)))
    healed = next(at_s for at_s, words in scene.world.asked if words == "heal freeze")
    assert healed <= 9
    assert scene.clean()
    assert "nobody would heal" in str(ending.error)
    assert not any("second" in words for _, words in scene.world.asked if "check" not in words)


def test_an_intention_that_cannot_be_written_is_not_acted_on() -> None:
    """The disk under the ledger is full: nothing is injected, the run stops and says why."""
    scene = Scene()
    scene.ledger = FakeLedger(full_at=0)
    ending = scene.run(timeline(fault("freeze", 5, 4)))
    assert "the ledger cannot be written" in str(ending.error)
    assert not any(words.startswith("inject") for _, words in scene.world.asked)


def test_a_ledger_that_was_removed_ends_the_run_and_heals() -> None:
    """Nobody could heal after us: known within a second, not only at the next record."""
    scene = Scene()

    class Vanishing(FakeLedger):
        """Removed at 7 s."""

        def exists(self) -> bool:
            """Whether it is still there."""
            return scene.world.clock.now() < 7 * NS_PER_S

    scene.ledger = Vanishing()
    ending = scene.run(timeline(fault("freeze", 5, 10)))
    healed = next(at_s for at_s, words in scene.world.asked if words == "heal freeze")
    assert healed <= 8
    assert scene.clean()
    assert "its ledger was removed" in str(ending.error)


def test_the_lease_is_renewed_to_the_end_even_when_the_reaper_seemed_gone() -> None:
    """One that was only stopped must not come back, find us silent, and kill us while we wind down."""
    scene = Scene()
    scene.lease.gone_at_ns = 7 * NS_PER_S
    scene.calls.takes_ns = 3 * NS_PER_S // 2
    asked: list[int] = []
    real = scene.lease.renew

    def renew() -> None:
        asked.append(scene.world.clock.now())
        real()

    scene.lease.renew = renew  # type: ignore[method-assign]
    scene.run(timeline(fault("freeze", 5, 10)))
    ended_ns = scene.journal.events[-1].at_ns
    assert ended_ns - asked[-1] < NS_PER_S
    assert max(later - earlier for earlier, later in pairwise(asked)) < NS_PER_S


def test_a_stack_whose_undo_record_cannot_be_written_is_not_brought_up() -> None:
    """It would outlive us, and nobody would know of it."""
    scene = Scene()

    class Owned(FakeStack):
        """One that could be left behind."""

        def undo(self) -> Undo:
            """How it is taken down."""
            return Undo(name="stack", driver="compose", kind="project", on="p")

    scene.stack = Owned(scene.world)
    scene.ledger = FakeLedger(full_at=0)
    ending = scene.run(timeline(fault("freeze", 5, 4)))
    assert "up" not in [words for _, words in scene.world.asked]
    assert "ledger cannot be written" in f"{ending.error} {scene.loop.stopped}"


def test_stages_are_stamped_from_a_whole_second() -> None:
    """Windows are cut in whole seconds, so the plan starts on one."""
    scene = Scene()
    scene.run(timeline())
    entered = next(event for event in scene.journal.events if isinstance(event, StageEntered))
    assert entered.at_ns % NS_PER_S == 0


def test_felt_is_asked_while_the_fault_is_still_in_force() -> None:
    """The proof is looked for before the heal, or it would prove nothing."""
    scene = Scene()
    scene.run(timeline(fault("freeze", 5, 4)))
    felt = next(event for event in scene.journal.events if isinstance(event, FaultFelt))
    injected = next(event for event in scene.journal.events if isinstance(event, FaultInjected))
    assert felt.felt
    assert felt.at_ns > injected.at_ns


def test_a_late_answer_after_its_time_limit_is_ignored() -> None:
    """A Done for a call that was given up changes nothing."""
    scene = Scene()
    scene.world.clock.at(3 * NS_PER_S, Done(call=999))
    assert scene.run(timeline()).completed


def test_lost_links_end_the_run_as_a_break_of_ours() -> None:
    """A Toxiproxy that is gone stops the plan at once, and the error says so: the target is not to blame."""
    scene = Scene()
    scene.links.why_lost = "the Toxiproxy server has ended"
    ending = scene.run(timeline(fault("freeze", 5, 4)))
    assert str(ending.error) == "the Toxiproxy server has ended"
    assert not ending.completed and scene.clean()
    assert [event.by for event in scene.journal.events if isinstance(event, Aborted)] == ["error"]
    assert not any(isinstance(event, FaultIntended) for event in scene.journal.events)


def test_secrets_in_parameters_are_in_the_ledger_and_not_in_the_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Healing needs them; whoever reads results does not."""
    monkeypatch.setenv("FLAG_TOKEN", "tomato-42")
    scene = Scene()
    call = "POST http://me:hunter2@flags/x?key=tomato-42"
    scene.run(timeline(replace(fault("f", 3, 4), params={"inject": call})))
    (intended,) = (event for event in scene.journal.events if isinstance(event, FaultIntended))
    (record,) = (record for record in scene.ledger.records if isinstance(record, Intended) and record.undo.name == "f")
    assert intended.params == {"inject": "POST http://me:***@flags/x?key=***"}
    assert record.undo.params == {"inject": call}


def test_secrets_in_foreign_words_never_reach_the_disk() -> None:
    """A scenario that raises with a password in its message, an endpoint with a token in its query."""
    scene = Scene()
    scene.loop.write(Trouble(at_ns=1, source="scenario", message="login failed: password=hunter2"))
    scene.loop.write(
        Traffic(at_ns=1, second=0, worker=0, endpoint="GET /me?token=hunter2", started=1, finished=1, failed={})
    )
    assert len(scene.journal.events) == 2
    assert "hunter2" not in repr(scene.journal.events)


def test_a_run_whose_only_worker_is_lost_ends_at_once() -> None:
    """Nothing sends load any more: no reason to go on hurting the target."""
    scene = Scene()
    scene.world.clock.at(8 * NS_PER_S, WorkerLost(at_ns=8 * NS_PER_S, worker=0, why="exited with -9"))
    ending = scene.run(timeline(fault("freeze", 2, 15)))
    aborted = next(event for event in scene.journal.events if isinstance(event, Aborted))
    assert aborted.by == "generator"
    assert ending.error is None
    assert aborted.at_ns < 9 * NS_PER_S
    assert not ending.completed
    assert scene.clean()
