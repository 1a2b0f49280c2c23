"""The summary at the end of a run: readable in 80 columns, without colour, by somebody in a hurry."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.cells import cell_len

from harness.judges import judge
from harness.reports.console import summary
from harness.verdict import Outcome, Verdict
from tests.reports.samples import HOSTILE, empty_evidence, hostile, ladder, small_evidence, small_verdict


def test_the_verdict_comes_first_and_the_report_last() -> None:
    """The first word is the verdict, the last line is where to read on."""
    lines = summary(*ladder(), "results/x").splitlines()
    assert lines[0].split()[:2] == ["✕", "FAIL"]
    assert lines[-1] == "Report: results/x/report.html"


def test_the_break_and_its_cause_are_named() -> None:
    """Between which loads, which metric, which resource."""
    text = " ".join(summary(*ladder(), "x").split())
    assert "Breaks between 1,000 and 5,000 users." in text
    assert "db_pool_in_use of api, 8 of 8" in text
    assert "5,000 broke" in text


@pytest.mark.parametrize("case", ["ladder", "hostile", "small"])
def test_fits_80_columns_without_escape_codes(case: str) -> None:
    """No line is wider than the terminal of a CI log, and nothing but plain text is in it."""
    small = (small_verdict(endpoint=HOSTILE, because=HOSTILE * 40), small_evidence(endpoint=HOSTILE, message=HOSTILE))
    text = summary(*{"ladder": ladder, "hostile": hostile, "small": lambda: small}[case](), "results/ladder/run")
    assert max(cell_len(line) for line in text.splitlines()) <= 80
    assert "\x1b" not in text


def test_colour_only_when_asked_and_never_alone() -> None:
    """With colour the same words stand there, and the symbols with them."""
    assert "\x1b[" in summary(small_verdict(), small_evidence(), "x", colour=True)


def test_a_run_stopped_at_once_says_so() -> None:
    """Nothing was measured: inconclusive, with the reason and no invented numbers."""
    evidence = empty_evidence()
    text = " ".join(summary(judge(evidence), evidence, "x").split())
    assert "INCONCLUSIVE" in text
    assert "SIGINT" in text


def test_a_clean_target_is_told_with_the_time_of_day() -> None:
    """Beside the verdict stands that the target was looked at, when, and by whom."""
    lines = summary(small_verdict(), small_evidence(), "x").splitlines()
    assert any(line.startswith("Target left clean: checked at 21:04:26 UTC") for line in lines[:4])


def test_a_dirty_target_takes_the_place_of_a_pass() -> None:
    """All limits held and a toxic is still there: nobody may read PASS first; name, reason and command are told."""
    passed = replace(small_verdict(), outcome=Outcome.PASS, findings=small_verdict().findings[:1])
    verdict = replace(passed, dirty=("slow-db: latency on db: no answer; type: curl -X DELETE http://x/y",))
    lines = summary(verdict, small_evidence(), "x", columns=200).splitlines()
    assert lines[0].startswith("✕ TARGET LEFT DIRTY")
    assert lines[1].startswith("slow-db could not be taken back; type: harness heal --run ")
    assert "Apart from that: pass." in lines[1]
    assert lines[2] == "Left: slow-db: latency on db: no answer"


def test_nobody_knows_whether_a_run_without_end_left_the_target_clean() -> None:
    """No check, no claim."""
    text = " ".join(summary(small_verdict(), replace(small_evidence(), checked=""), "x").split())
    assert "Not known whether the target was left clean" in text


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        (replace(small_verdict(), dirty=("slow-db",)), "harness heal"),
        (Verdict(outcome=Outcome.INCONCLUSIVE, findings=()), "Nothing was judged"),
        (
            replace(small_verdict(), outcome=Outcome.PASS, findings=small_verdict().findings[:1]),
            "The one finding holds",
        ),
    ],
)
def test_one_line_says_why(verdict: Verdict, said: str) -> None:
    """A dirty target outranks everything; an empty verdict and a pass are told as such."""
    assert said in summary(verdict, small_evidence(), "x").splitlines()[1]


def test_the_reason_of_an_undecided_verdict_is_what_would_decide_it() -> None:
    """The first line tells the last clause of the reason, and a limit's scope is not told twice."""
    finding = replace(
        small_verdict().findings[2], subject="p99 < 2s in level-10, level-50 for 5s", because="5 of 80; about 7s more"
    )
    verdict = Verdict(outcome=Outcome.INCONCLUSIVE, findings=(finding,))
    first = summary(verdict, small_evidence(), "x", columns=200).splitlines()[1]
    assert first == "p99 < 2s for 5s (level-50, during slow-db): about 7s more; 1 of 1 findings are not decided."
