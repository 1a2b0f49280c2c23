"""Signs of life: what counts as silence, and what does not."""

from harness.traffic.silence import BEAT_LIMIT_S, MASTER, ROW_LIMIT_S, Silence


def beaten(silence: Silence, until_s: int, *members: int) -> list[tuple[int, str]]:
    """Let these members beat each second, judging each second; what was said last."""
    said: list[tuple[int, str]] = []
    for second in range(1, until_s + 1):
        for member in members:
            silence.beat(member, second)
        said = silence.judge(second)
    return said


def test_a_process_without_a_beat_is_given_up_within_four_seconds() -> None:
    """A stopped worker sends no beat; the limit is just passed at the fourth second."""
    silence = Silence([0, 1], 0)
    assert beaten(silence, int(BEAT_LIMIT_S), MASTER, 0) == []
    silence.beat(MASTER, 4)
    silence.beat(0, 4)
    assert [member for member, _ in silence.judge(4)] == [1]


def test_a_swamped_worker_has_longer() -> None:
    """One that beats but cannot report is given up only when its loop has been stuck for long."""
    silence = Silence([0], 0)
    assert beaten(silence, int(ROW_LIMIT_S), MASTER, 0) == []
    silence.beat(MASTER, ROW_LIMIT_S + 1)
    silence.beat(0, ROW_LIMIT_S + 1)
    assert [why for _, why in silence.judge(ROW_LIMIT_S + 1)] == ["its event loop has reported nothing for 15 s"]


def test_a_row_is_a_report() -> None:
    """Rows keep a worker's loop alive in our eyes."""
    silence = Silence([0], 0)
    beaten(silence, 10, MASTER, 0)
    silence.row(0, 10)
    for second in range(11, 25):
        silence.beat(MASTER, second)
        silence.beat(0, second)
        assert silence.judge(second) == []


def test_our_own_pause_is_nobody_s_silence() -> None:
    """When the listener itself was stopped for a minute, nobody is given up for it."""
    silence = Silence([0], 0)
    assert silence.judge(60) == []
