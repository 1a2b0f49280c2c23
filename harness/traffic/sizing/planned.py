"""What an experiment will ask of its generator, against what a self-test says that it carries. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.errors import BadInput
from harness.experiment import Experiment, Stage
from harness.journal import OTHER_LOAD, SelfTest
from harness.traffic.locust_check import UserClass

MUCH_RATE, MANY_USERS = 200.0, 1_000
"""From here on a generator is measured before it is trusted; any ladder is."""
NEAR = 0.7
_HINT = (
    "FastUser costs the least CPU; more processes (traffic: processes) or other machines (workers:) carry more; "
    "--no-self-test runs it all the same"
)
_ROOM_HINTS = {
    "open files": "raise the hard limit (ulimit -Hn)",
    "ephemeral ports": "widen net.ipv4.ip_local_port_range",
    "memory": "FastUser takes the least memory",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """The peak of the load: requests a second (None: the scenario's waits are not known) and users, of `stage`."""

    stage: str
    per_s: float | None
    users: int


def is_due(experiment: Experiment) -> bool:
    """Whether so much is asked of the generator, or of the answer, that it has to be measured first."""
    searched = any(question.kind == "breaking_point" for question in experiment.questions)
    much = MUCH_RATE if experiment.unit == "rate" else MANY_USERS
    return searched or _highest(experiment).peak >= much


def planned(experiment: Experiment, classes: Sequence[UserClass]) -> Planned:
    """The peak. A task of a locustfile counts as one request: what it does more is not known before it runs."""
    stage = _highest(experiment)
    if experiment.unit == "rate":
        begun_per_s: float | None = stage.peak
        users = experiment.traffic.max_users
    else:
        each, users = rate_per_user_s(classes), int(stage.peak)
        begun_per_s = None if each is None else users * each
    per_s = None if begun_per_s is None else begun_per_s * requests_per_iteration(classes)
    return Planned(stage=stage.name, per_s=per_s, users=users)


def requests_per_iteration(classes: Sequence[UserClass]) -> float:
    """The mean over the weights of the classes."""
    total = sum(one.weight for one in classes)
    return sum(one.weight * one.requests for one in classes) / total if total else 1.0


def rate_per_user_s(classes: Sequence[UserClass]) -> float | None:
    """Iterations a second of one user, over the weights of the classes; None where a wait is not known."""
    total = sum(one.weight for one in classes)
    rates = [(one.weight, one.period_ns or one.think_ns) for one in classes]
    if not total or any(not wait_ns for _, wait_ns in rates):
        return None
    return sum(weight / total * 1e9 / wait_ns for weight, wait_ns in rates if wait_ns)


def described(test: SelfTest) -> str:
    """What was measured, in a line."""
    words = f"{test.client} in {test.workers} process{'es' * (test.workers != 1)}"
    users = f"room for {test.users:,} users ({test.users_bound})"
    if test.rate_bound == OTHER_LOAD:
        seen = f"{test.per_s:,.0f}/s were carried, " if test.per_s else ""
        more = "more could not be tried" if seen else "what it carries could not be measured"
        return f"{words}: {seen}{more}: {OTHER_LOAD} holds its event loop up; {users}"
    least = "at least " if test.at_least else ""
    return f"{words} carries {least}{test.per_s:,.0f}/s (event loop lag P99 {test.lag_p99_us / 1000:.1f} ms), {users}"


def require_carried(test: SelfTest, plan: Planned) -> str:
    """What is doubtful about the plan, the empty string when nothing is. Raises BadInput when it is beyond reach."""
    measured = f"this machine's generator: {described(test)}"
    if plan.users > test.users:
        way_out = f"{_ROOM_HINTS[test.users_bound]}; other machines (workers:) hold more"
        said = f"{measured}; {plan.stage} plans {plan.users:,} users"
        raise BadInput(said, hint=f"{way_out}; --no-self-test runs it all the same")
    if plan.per_s is None:
        return ""
    wanted = f"{plan.stage} plans {plan.per_s:,.0f}/s"
    if plan.per_s > test.per_s:
        if not test.at_least:
            raise BadInput(f"{measured}; {wanted}", hint=_HINT)
        return f"{measured}; {wanted}: whether it keeps up is not known"
    if not test.at_least and plan.per_s > NEAR * test.per_s:
        return f"{measured}; {wanted}, more than {NEAR:.0%} of it"
    return ""


def _highest(experiment: Experiment) -> Stage:
    return max(experiment.stages, key=lambda stage: stage.peak)
