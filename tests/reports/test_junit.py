"""junit.xml: a CI server that reads it never goes green on anything but a pass."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from harness.reports.junit import junit
from harness.verdict import Outcome, Verdict
from tests.reports.samples import HOSTILE, small_evidence, small_verdict


def cases(verdict: Verdict) -> list[ET.Element]:
    """The test cases of a verdict, and the counts checked."""
    suite = ET.fromstring(junit(verdict, small_evidence()))[0]
    found = suite.findall("testcase")
    assert int(suite.attrib["tests"]) == len(found)
    assert int(suite.attrib["failures"]) == sum(case.find("failure") is not None for case in found)
    return found


def test_one_case_per_finding() -> None:
    """A pass is bare, a failure says fail, and what was not decided is a failure of its own type."""
    kinds = [case.find("failure") for case in cases(small_verdict())]
    assert [None if kind is None else kind.attrib["type"] for kind in kinds] == [None, "fail", "inconclusive"]


@pytest.mark.parametrize(
    ("verdict", "kind"),
    [
        (Verdict(outcome=Outcome.INCONCLUSIVE, findings=()), "inconclusive"),
        (Verdict(outcome=Outcome.PASS, findings=small_verdict().findings[:1], dirty=("slow-db",)), "dirty"),
        (Verdict(outcome=Outcome.PASS, findings=small_verdict().findings[:1], interrupted=True), "inconclusive"),
    ],
)
def test_never_green_when_the_exit_code_is_not(verdict: Verdict, kind: str) -> None:
    """No findings, a dirty target, an interruption: a case is added that fails."""
    last = cases(verdict)[-1].find("failure")
    assert last is not None
    assert last.attrib["type"] == kind


def test_a_pass_is_green() -> None:
    """When everything passed nothing fails."""
    verdict = replace(small_verdict(), outcome=Outcome.PASS, findings=small_verdict().findings[:1])
    assert all(case.find("failure") is None for case in cases(verdict))


def test_hostile_text_keeps_the_file_well_formed() -> None:
    """Control characters, surrogates and markup in names and messages do not break the XML."""
    found = cases(small_verdict(endpoint=HOSTILE, because=HOSTILE))
    text = "".join(found[1].itertext())
    assert "<script>" in text
    assert "\x1b" not in text
