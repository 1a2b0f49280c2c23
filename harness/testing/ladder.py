"""An invented ladder run against an invented shop, seeded: plausible enough for benches, reports and demos.

The model: users make `per_user_s` requests a second; the shop answers up to `capacity_per_s`. Below it latency
grows as 1 / (1 - load); beyond it the pool is exhausted and the rest is refused after the pool's waiting time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from harness.journal import Event, Json
from harness.testing.journals import JournalBuilder

Floats = npt.NDArray[np.float64]

ENDPOINTS = ("GET /", "GET /product/[id]", "POST /cart", "POST /checkout")
BUDGET = ("p95 < 500ms", "p99 < 2s", "errors < 0.5%", "cpu of api < 60%", "db_pool_in_use of api < 8")
_EXEMPLARS_EACH = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ShopModel:
    """What the invented shop can do. Latencies in microseconds."""

    per_user_s: float = 0.2
    capacity_per_s: float = 620.0
    median_us: float = 16_000.0
    sigma: float = 0.55
    pool: int = 8
    pool_wait_us: float = 2_000_000.0
    endpoints: tuple[str, ...] = ENDPOINTS


@dataclass(slots=True)
class _Run:
    """The state of one invention: the builder, the dice, and how many exemplars of a class were kept."""

    builder: JournalBuilder
    model: ShopModel
    dice: np.random.Generator
    faults: tuple[tuple[str, float, float], ...] = ()
    kept: dict[tuple[str, str], int] = field(default_factory=dict)
    memory: float = 0.21


def ladder_document(
    users: Sequence[int], *, ramp_s: int, hold_s: int, warmup_s: int, faults: bool, seed: int
) -> dict[str, Json]:
    """The experiment that `synthetic_ladder` says it ran, in the words of an experiment file."""
    span: dict[str, Json] = {"ramp": f"{ramp_s}s", "hold": f"{hold_s}s"}
    stages: list[Json] = [{"name": f"level-{count}", "role": "stress", "users": count, **span} for count in users]
    warm: Json = {"name": "warm", "role": "warmup", "users": users[0], "ramp": "2s", "hold": f"{warmup_s}s"}
    written: list[Json] = [
        {"name": "slow-db", "toxic": "latency", "on": "db-link", "latency": "200ms", "jitter": "20ms",
         "during": f"level-{users[1]}", "after": f"{hold_s // 6}s", "for": f"{hold_s // 2}s"},
        {"name": "freeze-payment", "process": "pause", "on": "payment",
         "during": f"level-{users[2]}", "after": f"{hold_s // 6}s", "for": f"{hold_s // 4}s"},
    ] if faults else []  # fmt: skip
    return {
        "name": "ladder",
        "why": "The shop carries 1,000 users within budget, and neither a slow database nor a frozen payment "
        "service takes it down.",
        "stack": {"process": {
            "db": {"command": "python -m fixtures.shop.db --port {port}", "ready": "tcp"},
            "payment": {"command": "python -m fixtures.shop.payment --port {port}", "ready": "tcp"},
            "api": {"command": "python -m fixtures.shop.api --port {port}", "env": {"DB": "{db-link}"},
                    "ready": "http /health"},
        }},
        "proxies": {"front": {"upstream": "api"}, "db-link": {"upstream": "db"}},
        "traffic": {"scenario": "scenarios/mix.py", "target": "front", "timeout": "10s", "processes": 1},
        "stages": [warm, *stages],
        "faults": written,
        "probes": [
            {"process": "api", "every": "1s"},
            {"prometheus": "http://{api}/metrics", "of": "api", "series": ["db_pool_in_use", "db_pool_size"]},
        ],
        "budget": list(BUDGET),
        "questions": ["budget", "breaking_point"],
        "seed": seed,
    }  # fmt: skip


def synthetic_ladder(
    *,
    users: Sequence[int] = (100, 500, 1000, 5000),
    ramp_s: int = 10,
    hold_s: int = 30,
    warmup_s: int = 10,
    faults: bool = True,
    model: ShopModel | None = None,
    seed: int = 7,
    document: Mapping[str, Json] | None = None,
    aborted: tuple[float, str, str] | None = None,
) -> list[Event]:
    """The journal of a ladder; with the defaults it breaks at 5,000 users for want of database connections.

    `aborted` is (second, by, why). With `faults` at least three levels: they strike the second and the third.
    """
    written = document or ladder_document(
        users, ramp_s=ramp_s, hold_s=hold_s, warmup_s=warmup_s, faults=faults, seed=seed
    )
    run = _Run(builder=JournalBuilder(written, seed=seed), model=model or ShopModel(), dice=np.random.default_rng(seed))
    levels = [("warm", "warmup", users[0], 2, warmup_s)]
    levels += [(f"level-{count}", "stress", count, ramp_s, hold_s) for count in users]
    spans = []
    for name, role, count, ramp, hold in levels:
        spans.append((count, ramp, *run.builder.stage(name, role, count, ramp_s=ramp, hold_s=hold)))
    if faults:
        run.faults = _faults(run.builder, spans[2][2], spans[3][2], hold_s)
    before, second = 0, 0
    for count, ramp, _, end_s in spans:
        begin = second
        while second < end_s:
            share = min(1.0, (second - begin + 0.5) / ramp) if ramp else 1.0
            _second(run, second, before + (count - before) * share)
            second += 1
        before = count
    if aborted:
        run.builder.end(at_s=aborted[0], aborted=aborted[1:])
    return run.builder.events()


def _faults(
    builder: JournalBuilder, second_s: float, third_s: float, hold_s: int
) -> tuple[tuple[str, float, float], ...]:
    slow = (second_s + hold_s // 6, second_s + hold_s // 6 + hold_s // 2)
    freeze = (third_s + hold_s // 6, third_s + hold_s // 6 + hold_s // 4)
    builder.fault(
        "slow-db", "toxiproxy", "latency", "db-link", *slow, params={"latency": 200, "jitter": 20},
        proof="a probe through the proxy took 203 ms more",
    )  # fmt: skip
    stopped = "process state is T (stopped)"
    builder.fault("freeze-payment", "process", "pause", "payment", *freeze, proof=stopped)
    return (("slow-db", *slow), ("freeze-payment", *freeze))


def _second(run: _Run, second: int, users: float) -> None:
    """All rows of one second at `users` users."""
    model, dice = run.model, run.dice
    load = users * model.per_user_s / model.capacity_per_s
    struck = {name for name, start, end in run.faults if start <= second < end}
    due_total = 0
    for index, endpoint in enumerate(model.endpoints):
        due = int(dice.poisson(users * model.per_user_s / len(model.endpoints)))
        due_total += due
        ok, failed = _answers(run, endpoint, due, load, struck, slower=1 + 0.25 * index)
        run.builder.traffic(second, endpoint, ok, failed, late_us=float(dice.uniform(150, 600)))
        _keep(run, second, endpoint, failed)
    waiting = max(0.0, load - 1) * model.capacity_per_s * model.pool_wait_us / 1e6
    in_flight = round(due_total * 0.03 + waiting)
    run.builder.generator(second, round(users), due_total, in_flight=in_flight, cpu=0.06 + 0.0005 * due_total)
    _readings(run, second, load, struck)


def _answers(
    run: _Run, endpoint: str, due: int, load: float, struck: set[str], *, slower: float
) -> tuple[Floats, dict[str, Floats]]:
    """Latencies of the good and, by class, of the failed answers among `due` requests."""
    model, dice = run.model, run.dice
    queueing = 1 / max(0.2, 1 - min(load, 0.99))
    ok = dice.lognormal(np.log(model.median_us * slower * queueing), model.sigma, due)
    if "slow-db" in struck:
        ok += dice.uniform(180_000, 220_000, due)
    failed: dict[str, Floats] = {}
    if load > 1:
        refused = dice.random(due) > 1 / load
        failed["5xx"] = model.pool_wait_us + dice.uniform(0, 60_000, int(refused.sum()))
        waited = dice.uniform(0.5, 1.0, int((~refused).sum())) * model.pool_wait_us
        ok = np.minimum(ok[~refused] + waited, 9e6)
    if "freeze-payment" in struck and endpoint.endswith("/checkout"):
        stuck = dice.random(len(ok)) < 0.9
        failed["timeout"] = np.full(int(stuck.sum()), 3_000_000.0) + dice.uniform(0, 5_000, int(stuck.sum()))
        ok = ok[~stuck]
    return ok, failed


def _keep(run: _Run, second: int, endpoint: str, failed: Mapping[str, Floats]) -> None:
    messages = {
        "5xx": "503 Service Unavailable: db_pool_exhausted: no connection came free within 2 s",
        "timeout": "504 Gateway Timeout: payment did not answer within 3 s",
    }
    for name, latencies in failed.items():
        kept = run.kept.get((endpoint, name), 0)
        if len(latencies) and kept < _EXEMPLARS_EACH:
            run.kept[endpoint, name] = kept + 1
            run.builder.exemplar(second + 0.25, endpoint, name, messages[name], int(latencies[0]))


def _readings(run: _Run, second: int, load: float, struck: set[str]) -> None:
    noise = run.dice.normal(0, 0.012, 4)
    used = min(load, 1.0)
    run.memory += 0.0004 * used
    at_s = second + 0.5
    eager = 1.5 if "slow-db" in struck else 0.9
    held = min(run.model.pool, max(0, round(run.model.pool * used * eager + noise[3] * 10)))
    if load > 1:
        held = run.model.pool
    api = {"cpu": max(0.0, 0.05 + 0.36 * used + noise[0]), "rss_bytes": 60e6 + 400e6 * (run.memory - 0.21)}
    run.builder.reading(at_s, "process", "api", api)
    run.builder.reading(at_s, "process", "db", {"cpu": max(0.0, 0.03 + 0.2 * used + noise[2]), "rss_bytes": 42e6})
    pool = {"db_pool_in_use": float(held), "db_pool_size": float(run.model.pool)}
    run.builder.reading(at_s, "prometheus", "api", pool)
