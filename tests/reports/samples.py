"""Runs to report on: a tiny one made of exact numbers (for goldens), and the seeded ladder (for pictures)."""

from __future__ import annotations

import functools
from dataclasses import replace

from harness.evidence import Defect, Evidence
from harness.evidence.measure import measure
from harness.judges import judge
from harness.testing import (
    JournalBuilder,
    QueueModel,
    ShopModel,
    ladder_document,
    synthetic_arrivals,
    synthetic_ladder,
)
from harness.verdict import Bottleneck, BreakingPoint, Finding, Level, Outcome, Verdict, Where

HOSTILE = (
    "<script>alert(1)</script>|a|`b`\\ $\\frac{1}{2}$ \x1b[31mred\x1b[0m\x07 \u202egnp.exe\u2066 "
    "[x](http://evil.example) @everyone #12 &amp; *bold* 'q\" \x00 \ud800 end"
)
SECRET = "postgres://shop:hunter2@db:5432/shop"


def small_evidence(endpoint: str = "GET /", message: str = "503 Service Unavailable", why: str = "") -> Evidence:
    """Two levels and a fault, five exact seconds each; no dice."""
    document = ladder_document((10, 50), ramp_s=0, hold_s=6, warmup_s=2, faults=False, seed=7)
    if why:
        document["why"] = why
    builder = JournalBuilder(document, facts={"argv": ["/opt/bin/harness", "run", "ladder.yaml"], "host": {"cores": 2}})
    builder.stage("warm", "warmup", 10, ramp_s=2, hold_s=2)
    builder.stage("level-10", "stress", 10, ramp_s=0, hold_s=6)
    builder.stage("level-50", "stress", 50, ramp_s=0, hold_s=6)
    builder.fault("slow-db", "toxiproxy", "latency", "db-link", 5.0, 7.0, proof="a probe took 203 ms more")
    for second in range(16):
        users = 50 if second >= 10 else 10
        bad = [2_000_000.0] * (users // 2) if second >= 10 else []
        builder.traffic(second, endpoint, [20_000.0 + 100 * n for n in range(users)], {"5xx": bad})
        builder.generator(second, users, users + len(bad))
        builder.reading(second + 0.5, "process", "api", {"cpu": 0.2, "memory": 0.3})
        builder.reading(second + 0.5, "prometheus", "api", {"db_pool_in_use": 8.0, "db_pool_size": 8.0})
    builder.exemplar(10.5, endpoint, "5xx", message, 2_000_000)
    builder.trouble(3.0, "probe of api", message)
    evidence = measure(builder.events())
    defect = Defect(kind="requests lost", flatters=True, detail="requests never answered: 3 of 80")
    windows = tuple(replace(one, defects=(defect,) if one.stage == "level-50" else ()) for one in evidence.windows)
    return replace(evidence, windows=windows, checked="target left clean: checked at 16.4 s, and asked of toxiproxy")


def small_verdict(endpoint: str = "GET /", because: str = "40 % of 450 answers failed") -> Verdict:
    """One finding of each outcome, and a break between 10 and 50 users for want of connections."""
    levels = tuple(
        Level(
            stage=f"level-{users}", users=users, state=state, per_s=users * 1.0, p50_us=20_400.0, p95_us=p95,
            p99_us=None, errors=errors, broke=("errors",) if state == "broke" else (), because=because,
        )
        for users, state, p95, errors in ((10, "good", 21_000.0, 0.0), (50, "broke", 2_000_896.0, 1 / 3))
    )  # fmt: skip
    point = BreakingPoint(
        status="broke_at", unit="users", last_good=10.0, first_bad=50.0, estimate=22.360679, interval=(10.0, 50.0),
        first_metric="errors", because="level-50 broke by errors first", levels=levels,
        bottleneck=Bottleneck(resource="db_pool_in_use", of="api", value=8.0, limit=8.0),
    )  # fmt: skip
    where = Where(stage="level-50", endpoint=endpoint, start_s=10.0, end_s=16.0)
    findings = (
        Finding(question="budget", subject="p95 < 500ms", outcome=Outcome.PASS, because="0 % took longer",
                observed=21_000.0, unit="us", interval=(20_900.0, 21_100.0), limit=500_000.0,
                where=Where(stage="level-10", start_s=4.0, end_s=10.0)),
        Finding(question="budget", subject="errors < 0.5%", outcome=Outcome.FAIL, because=because,
                observed=1 / 3, unit="share", interval=(0.2951234567, 0.3712345678), limit=0.005, where=where,
                guards=("requests never answered: 3 of 80",)),
        Finding(question="budget", subject="p99 < 2s", outcome=Outcome.INCONCLUSIVE, because="6 s are too short",
                observed=2_000_896.0, unit="us", interval=(1_900_000.0, None), limit=2_000_000.0,
                where=replace(where, endpoint="", fault="slow-db")),
    )  # fmt: skip
    return Verdict(
        outcome=Outcome.FAIL, findings=findings, breaking_point=point, warnings=("probe of api: no answer (2 times)",)
    )


def empty_evidence() -> Evidence:
    """A run that was stopped before anything happened."""
    document = ladder_document((10, 50), ramp_s=0, hold_s=6, warmup_s=2, faults=False, seed=7)
    builder = JournalBuilder(document)
    builder.end(at_s=0.5, aborted=("signal", "SIGINT"))
    return measure(builder.events())


@functools.cache
def ladder() -> tuple[Verdict, Evidence]:
    """The seeded ladder: 100 to 5,000 users, two faults, broken at 5,000."""
    evidence = measure(synthetic_ladder())
    return judge(evidence), evidence


@functools.cache
def arrivals() -> tuple[Verdict, Evidence]:
    """A run of the open model: a curve, a freeze of 2 s at 200/s, and 400/s that the pool of users cannot begin."""
    evidence = measure(synthetic_arrivals())
    return judge(evidence), evidence


@functools.cache
def small_arrivals() -> tuple[Verdict, Evidence]:
    """The same in short and without dice: uniform arrivals, every answer alike."""
    model = QueueModel(capacity_per_s=30.0, base_us=10_000.0, sigma=0.0, max_users=30, uniform=True)
    curve = ((0, 10), (4, 25), (8, 5))
    evidence = measure(synthetic_arrivals(rates=(10, 20, 40), curve=curve, ramp_s=2, hold_s=12, model=model))
    return judge(evidence), evidence


@functools.cache
def hostile() -> tuple[Verdict, Evidence]:
    """Thirty endpoints, each named by an enemy, one of them 10,000 characters long."""
    names = tuple(f"GET /{index} {HOSTILE}" for index in range(29))
    model = ShopModel(endpoints=(*names, "_" + "x" * 10_000))
    evidence = measure(synthetic_ladder(hold_s=6, ramp_s=2, warmup_s=2, faults=False, model=model))
    return judge(evidence), evidence
