"""What toxics do with data, where no time needs to pass."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.proxy.toxics import STAGES
from harness.proxy.toxics.bandwidth import Bandwidth
from harness.proxy.toxics.latency import Latency
from harness.proxy.toxics.limit_data import LimitData
from harness.proxy.toxics.slicer import Slicer
from harness.proxy.toxics.stage import Outlet, Stage


class RecordingLine:
    """A link that only remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def regulate(self) -> None:
        """Remember."""
        self.asked.append("regulate")

    def end(self, outlet: Outlet) -> None:
        """Remember."""
        self.asked.append("end")

    def reset(self) -> None:
        """Remember."""
        self.asked.append("reset")


class RecordingOutlet:
    """The end of a chain that only remembers what came."""

    def __init__(self) -> None:
        self.got: list[bytes | None] = []

    def feed(self, data: bytes, stamp: float) -> None:
        """Remember."""
        self.got.append(data)

    def eof(self) -> None:
        """Remember, as None."""
        self.got.append(None)


def _made(kind: type[Stage], **attributes: int) -> tuple[Stage, RecordingLine, RecordingOutlet]:
    line, outlet = RecordingLine(), RecordingOutlet()
    stage = kind(line, dict.fromkeys(kind.words, 0) | attributes, seed=7)
    stage.next = outlet
    return stage, line, outlet


def test_noop_passes_everything() -> None:
    """The contract's own stage hands on data and end."""
    stage, _, outlet = _made(STAGES["noop"])
    stage.feed(b"a", 0)
    stage.eof()
    assert outlet.got == [b"a", None]


def test_limit_data_passes_the_limit_and_ends() -> None:
    """The read that crosses the limit is cut there, and the connection ends."""
    stage, line, outlet = _made(LimitData, bytes=5)
    stage.feed(b"abc", 0)
    assert line.asked == []
    stage.feed(b"defg", 0)
    assert (outlet.got, line.asked) == ([b"abc", b"de"], ["end"])


def test_limit_data_zero_ends_at_the_first_read() -> None:
    """A limit of 0 lets nothing pass."""
    stage, line, outlet = _made(LimitData, bytes=0)
    stage.feed(b"abc", 0)
    assert (outlet.got, line.asked) == ([], ["end"])


@given(size=st.integers(-1, 50), variation=st.integers(-1, 60), length=st.integers(1, 500), seed=st.integers(0, 9))
def test_slicer_cuts_cover_the_data(size: int, variation: int, length: int, seed: int) -> None:
    """Pieces are adjacent, never empty, and as long as size and variation allow; odd settings do no harm."""
    stage = Slicer(RecordingLine(), {"average_size": size, "size_variation": variation, "delay": 0}, seed)
    cuts = list(stage.cuts(0, length))
    assert [start for start, _ in cuts] == [0, *(end for _, end in cuts[:-1])]
    assert cuts[-1][1] == length
    assert all(0 < end - start <= max(size, 1) + max(variation, 0) for start, end in cuts)


@given(latency=st.integers(0, 1000), jitter=st.integers(0, 1000))
def test_latency_is_due_within_the_jitter(latency: int, jitter: int) -> None:
    """The delay counts from arrival and stays within latency +- jitter."""
    stage = Latency(RecordingLine(), {"latency": latency, "jitter": jitter}, 7)
    due = stage.due_at(b"x", 100.0)
    assert due is not None
    assert -jitter - 1e-6 <= (due - 100.0) * 1000 - latency <= jitter + 1e-6


def test_bandwidth_takes_its_slices() -> None:
    """At 2 KB/s a slice of 100 ms is 200 bytes; each is due one slice after the one before."""
    stage = Bandwidth(RecordingLine(), {"rate": 2}, 7)
    stage.queue.append((b"x" * 500, 100.0))
    dues, sizes = [], []
    while stage.queue:
        due = stage.due_at(*stage.queue[0])
        assert due is not None
        dues.append(round(due - 100.0, 6))
        data, _ = stage.take()
        sizes.append(len(data or b""))
    assert (dues, sizes) == ([0.1, 0.2, 0.25], [200, 200, 100])


def test_bandwidth_zero_is_never_due() -> None:
    """Nothing passes at a rate of 0, as in the Go server."""
    stage = Bandwidth(RecordingLine(), {"rate": 0}, 7)
    assert stage.due_at(b"x", 100.0) is None


def test_release_hands_on_in_order() -> None:
    """A toxic that is taken away gives up what it held, end included, in the order in which it came."""
    stage, _, outlet = _made(Bandwidth, rate=0)
    stage.feed(b"a", 0)
    stage.feed(b"b", 0)
    stage.eof()
    assert (outlet.got, stage.held) == ([], 2)
    stage.release()
    assert (outlet.got, stage.held) == ([b"a", b"b", None], 0)
