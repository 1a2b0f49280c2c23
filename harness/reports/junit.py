"""junit.xml: one test case per finding, for the test tab of a CI server.

A finding that fails is a <failure type="fail">. One that is inconclusive is a <failure type="inconclusive">: CI must
not go green on a question that was not answered, and <error> would blame the harness for the target's noise.
"""

from __future__ import annotations

from xml.etree import ElementTree as ET

from harness.evidence import Evidence
from harness.reports import words
from harness.reports.escape import clean
from harness.reports.story import headline, place_of
from harness.units import NS_PER_S
from harness.verdict import Finding, Outcome, Verdict

_TEXT = 1200


def junit(verdict: Verdict, evidence: Evidence) -> bytes:
    """The verdict as JUnit XML."""
    name = clean(evidence.experiment.name)
    cases = [_case(finding, name) for finding in verdict.findings]
    if verdict.dirty or (verdict.exit_code and all(one.outcome is Outcome.PASS for one in verdict.findings)):
        cases.append(_not_green(verdict, name, clean(evidence.header.run)))
    failures = sum(case.find("failure") is not None for case in cases)
    length_s = max((stage.end_ns for stage in evidence.stages), default=evidence.zero_ns) - evidence.zero_ns
    counts = {"tests": str(len(cases)), "failures": str(failures), "errors": "0", "skipped": "0"}
    root = ET.Element("testsuites", {"name": "harness", **counts})
    suite = ET.SubElement(root, "testsuite", {"name": name, "time": f"{length_s / NS_PER_S:.3f}", **counts})
    properties = ET.SubElement(suite, "properties")
    for key, value in (
        ("run", evidence.header.run),
        ("seed", evidence.header.seed),
        ("outcome", verdict.outcome.value),
        ("exit_code", int(verdict.exit_code)),
    ):
        ET.SubElement(properties, "property", name=key, value=clean(value))
    suite.extend(cases)
    ET.indent(root)
    body: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return body + b"\n"


def _case(finding: Finding, experiment: str) -> ET.Element:
    place = place_of(finding)
    where = finding.where
    span_s = where.end_s - where.start_s if where.start_s is not None and where.end_s is not None else 0.0
    case = ET.Element(
        "testcase",
        classname=f"{experiment}.{clean(finding.question)}",
        name=f"{clean(finding.subject)}{f' [{place}]' if place else ''}",
        time=f"{span_s:.3f}",
    )
    if finding.outcome is not Outcome.PASS:
        failure = ET.SubElement(case, "failure", type=finding.outcome.value, message=clean(finding.because, _TEXT))
        failure.text = "\n".join(_lines(finding))
    return case


def _lines(finding: Finding) -> list[str]:
    lines = [
        f"because: {clean(finding.because, _TEXT)}",
        f"observed: {words.value(finding.observed, finding.unit)}",
        f"interval: {words.interval(finding.interval, finding.unit)}",
        f"limit: {words.value(finding.limit, finding.unit)}",
    ]
    return lines + [f"guard: {clean(guard, _TEXT)}" for guard in finding.guards]


def _not_green(verdict: Verdict, experiment: str, run: str) -> ET.Element:
    """The case that keeps CI red when no finding does: nothing was judged, or the run was stopped or left dirty."""
    case = ET.Element("testcase", classname=f"{experiment}.run", name="verdict", time="0.000")
    why = headline(verdict, run)
    if verdict.interrupted and not verdict.dirty:
        why = "The run was stopped by a signal."
    kind = "inconclusive" if not verdict.dirty else "dirty"
    ET.SubElement(case, "failure", type=kind, message=clean(why, _TEXT))
    return case
