"""The one reader of all channels, with children that only have a channel: who is missed, and who has just gone home."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from harness.clients.poll import poll
from harness.clock import Inbox
from harness.errors import HarnessError
from harness.journal import Event, Trouble, WorkerLost
from harness.traffic import listener as module
from harness.traffic.channel import Channel
from harness.traffic.listener import Listener
from harness.units import NS_PER_S as S


@dataclass
class ChannelOnly:
    """A child of which nothing is real but its channel; it remembers how it was signalled."""

    name: str
    worker: int
    channel: Channel
    there: Channel
    how: str = "exited with code 0"
    log: Path = Path("nowhere")
    signals: list[int] = field(default_factory=list)

    def hang_up(self) -> None:
        """Close the channel."""
        self.channel.sock.close()

    def send_signal(self, number: int) -> None:
        """Remember it."""
        self.signals.append(number)

    def exited(self, deadline_s: float) -> bool:
        """At once."""
        return True

    def how_ended(self) -> str:
        """As it was made."""
        return self.how

    def log_tail(self) -> str:
        """None."""
        return ""


def child(worker: int, how: str = "exited with code 0") -> ChannelOnly:
    """A child with this number; -1 is the master."""
    ours, theirs = socket.socketpair()
    return ChannelOnly(f"worker-{worker}", worker, Channel(ours), Channel(theirs), how)


@contextmanager
def listening(*children: ChannelOnly, notes: list[str] | None = None) -> Iterator[tuple[Listener, list[Event]]]:
    """A listener under way, past its start, and the events that it has put so far."""
    inbox: Inbox[Event] = Inbox()
    outcome: queue.SimpleQueue[HarnessError | None] = queue.SimpleQueue()
    left = notes if notes is not None else []
    told = lambda: [left.pop() for _ in range(len(left))]  # noqa: E731 - as short as it is
    made = Listener(children, inbox, outcome, lambda: 7, told)
    thread = threading.Thread(target=made.run, daemon=True)
    thread.start()
    children[0].there.send({"ready": True})
    assert outcome.get(timeout=5) is None
    events: list[Event] = []
    taking = threading.Thread(target=lambda: [events.append(inbox.queue.get()) for _ in range(100)], daemon=True)
    taking.start()
    yield made, events
    made.finished.set()
    thread.join(5)
    for each in children:
        each.there.sock.close()


def test_a_worker_that_went_home_before_its_last_words_were_passed_on_is_not_lost() -> None:
    """Its channel closes first, what it said through the master comes after: two ways, no order between them."""
    master, worker = child(-1), child(0)
    with listening(master, worker) as (made, events):
        made.stopping.set()
        worker.there.sock.close()
        assert not made.over.wait(0.5)
        master.there.send({"ended": {"worker": 0, "unanswered": 0}})
        assert made.over.wait(3)
        assert not any(isinstance(event, WorkerLost) for event in events)


def test_one_whose_last_words_never_come_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clean exit is not enough: its rows are missing."""
    monkeypatch.setattr(module, "_LAST_WORDS_S", 0.1)
    master, worker = child(-1), child(0)
    with listening(master, worker) as (made, events):
        made.stopping.set()
        worker.there.sock.close()
        assert made.over.wait(3)
        assert poll(lambda: any(isinstance(event, WorkerLost) for event in events), 3 * S)
        (lost,) = [event for event in events if isinstance(event, WorkerLost)]
        assert lost.why == "the worker process exited with code 0 without its last rows"


@pytest.mark.parametrize(
    ("how", "stopping"), [("was killed by SIGKILL", True), ("exited with code 1", True), ("exited with code 0", False)]
)
def test_one_that_was_killed_or_left_early_is_lost_at_once(how: str, stopping: bool) -> None:
    """While the load is on, or by force at its end."""
    master, worker = child(-1), child(0, how)
    with listening(master, worker) as (made, events):
        if stopping:
            made.stopping.set()
        worker.there.sock.close()
        assert poll(lambda: any(isinstance(event, WorkerLost) for event in events), 3 * S // 2)


def test_notes_become_troubles() -> None:
    """What a joined host's watch has to say is put by the same thread as everything else."""
    notes = ["worker 0 (box): its clock ran away"]
    with listening(child(-1), child(0), notes=notes) as (_, events):
        assert poll(lambda: any(isinstance(event, Trouble) for event in events), 3 * S)
        assert [event.message for event in events if isinstance(event, Trouble)] == [
            "worker 0 (box): its clock ran away"
        ]


def test_a_start_that_takes_too_long_can_say_how_far_it_came() -> None:
    """The master first, then each worker, then whoever listens for the start of the test."""
    master, first, second = child(-1), child(0), child(1)
    with listening(master, first, second) as (listener, _):
        told = [listener.progress]
        for record in ({"port": 1}, {"joined": 1}, {"joined": 0}):
            master.there.send(record)
            assert poll(lambda before=told[-1]: listener.progress != before, S)
            told.append(listener.progress)
    assert [words.partition(" ")[0] for words in told] == ["the", "workers", "workers", "all"]
    assert "[0, 1] of 2" in told[1]
    assert "[0] of 2" in told[2]
