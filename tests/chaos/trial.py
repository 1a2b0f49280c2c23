"""One trial: a real run with faults in force, ended at a random instant; then everything is asked."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.ledger import Healed, Injected, Intended, Record, Watched, decode
from tests.chaos.kinds import fault
from tests.chaos.targets import PROXY, Target, unharmed

WAYS = ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP", "reaper killed", "both killed")
INSTANTS = ("intend", "inject", "hold", "heal")
HOLD_S = 2.0
LONGEST_S = 30.0
SETTLED_S = 0.5
WHEN = {"during": "steady", "for": f"{HOLD_S:g}s"}
START_S = 60.0
SCENARIO = """
from locust import FastHttpUser, constant_pacing, task

class Visitor(FastHttpUser):
    wait_time = constant_pacing(0.2)

    @task
    def page(self):
        self.client.get("/")
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What is tried. The first fault is the one whose life the instant is about; the others are in force beside it."""

    number: int
    faults: tuple[tuple[str, str], ...]
    way: str
    instant: str
    delay_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What was seen, in seconds from the signal: when the target was as before (None: never), when all had ended."""

    trial: Trial
    healed_s: float | None
    ended_s: float = 0.0
    residue: tuple[str, ...] = field(default=())
    refused: str = ""


def experiment(trial: Trial, target: Target) -> dict[str, object]:
    """Ten seconds of one user, with the trial's faults."""
    own = any(driver == "process" for driver, _ in trial.faults)
    service = "own" if own else "web"
    process = {"own": {"command": "{python} -m http.server {port} --bind 127.0.0.1", "ready": "tcp"}}
    faults = [
        {"name": f"f{index}", **fault(driver, kind, target), **WHEN, "after": f"{index * 200}ms"}
        for index, (driver, kind) in enumerate(trial.faults)
    ]
    toxic = any(driver == "toxiproxy" for driver, _ in trial.faults)
    return {
        "name": "chaos",
        "why": "The target is as it was, whatever happens to us.",
        "stack": {"process": process} if own else {"external": {"web": target.web}},
        **({"toxiproxy": target.toxiproxy, "proxies": {target.link: {"upstream": service}}} if toxic else {}),
        "traffic": {"scenario": "visitor.py", "target": service, "timeout": "2s"},
        "stages": [{"name": "steady", "role": "steady", "users": 2, "hold": "8s"}],
        "budget": ["errors < 99% in steady"],
        "faults": faults,
    }


class Run:
    """A harness under way; everything that it starts carries `mark` in its environment."""

    def __init__(self, trial: Trial, target: Target) -> None:
        self.folder = target.folder / f"trial-{trial.number}"
        self.folder.mkdir()
        self.state = self.folder / "state"
        (self.folder / "visitor.py").write_text(SCENARIO, encoding="utf-8")
        (self.folder / "chaos.yaml").write_text(json.dumps(experiment(trial, target)), encoding="utf-8")
        self.mark = f"HARNESS_CHAOS_MARK={uuid.uuid4().hex}"
        name, _, value = self.mark.partition("=")
        self.env = {**os.environ, "HARNESS_STATE": str(self.state), name: value}
        with (self.folder / "out.log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "harness", "run", "chaos.yaml", "--no-plots", "--quiet"],
                cwd=self.folder,
                env=self.env,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def records(self) -> list[Record]:
        """What the ledger says so far; nothing when there is none (any more)."""
        found = []
        for path in (self.state / "runs").glob("*.jsonl"):
            try:
                lines = path.read_text(encoding="utf-8").splitlines()
            except OSError:
                continue
            for line in lines:
                try:
                    found.append(decode(line))
                except ValueError:
                    continue
        return found

    def sees(self, wanted: Callable[[Record], bool], seconds: float) -> bool:
        """Whether such a record comes in time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if any(map(wanted, self.records())):
                return True
            if self.process.poll() is not None:
                return False
            time.sleep(0.003)
        return False

    def heal(self) -> int:
        """`harness heal`, by hand."""
        command = [sys.executable, "-m", "harness", "heal"]
        done = subprocess.run(command, cwd=self.folder, env=self.env, capture_output=True, timeout=60, check=False)
        return done.returncode

    def left(self) -> list[str]:
        """Processes that carry the mark."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    if self.mark.encode() in (entry / "environ").read_bytes():
                        found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()[:100])
                except OSError:
                    continue
        return found

    def over(self) -> bool:
        """Nothing of the run is there any more: no ledger, no process."""
        return not any((self.state / "runs").glob("*.jsonl")) and not self.left()

    def output(self) -> str:
        """The last words of the run."""
        return (self.folder / "out.log").read_text(errors="replace")[-500:]


def try_out(trial: Trial, target: Target) -> Outcome:
    """Run, end it at the instant, and ask. A run that refuses to begin is told, not counted as healed."""
    before = target.state()
    run = Run(trial, target)
    try:
        if not run.sees(lambda record: isinstance(record, Intended) and record.undo.name == "f0", START_S):
            return Outcome(trial=trial, healed_s=None, refused=run.output())
        _await_instant(trial, run)
        return _end(trial, run, target, before)
    finally:
        if run.process.poll() is None:
            run.process.kill()
        run.process.wait()


def _await_instant(trial: Trial, run: Run) -> None:
    if trial.instant in {"hold", "heal"}:
        run.sees(lambda record: isinstance(record, Injected | Healed) and record.name == "f0", 20)
    if trial.instant == "heal":
        time.sleep(HOLD_S - 0.1)
    time.sleep(trial.delay_s)


def _end(trial: Trial, run: Run, target: Target, before: Mapping[str, object]) -> Outcome:
    """Strike, then ask the target until the run is over; it counts as healed from when it was as before for good."""
    began = time.monotonic()
    _strike(trial, run)
    since: float | None = None
    while time.monotonic() - began < LONGEST_S:
        over = run.over()
        wrong = _wrong(target, before, over=over)
        since = None if wrong else since or time.monotonic()
        if over and since is not None:
            time.sleep(SETTLED_S)  # what was under way may still come
            wrong = _wrong(target, before, over=True)
            if not wrong:
                return Outcome(trial=trial, healed_s=since - began, ended_s=time.monotonic() - SETTLED_S - began)
        time.sleep(0.1)
    return Outcome(trial=trial, healed_s=None, residue=tuple(wrong or [f"not over: {run.left()}"]))


def _strike(trial: Trial, run: Run) -> None:
    reapers = [record.pid for record in run.records() if isinstance(record, Watched)]
    if trial.way in {"reaper killed", "both killed"}:
        for pid in reapers:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
    if trial.way in {"SIGKILL", "both killed"}:
        run.process.kill()
        run.process.wait()
    elif trial.way != "reaper killed" and run.process.poll() is None:
        run.process.send_signal(getattr(signal, trial.way))
    if trial.way == "both killed":
        run.heal()


def _wrong(target: Target, before: Mapping[str, object], *, over: bool) -> list[str]:
    """What is not as before, by the target's own word. Until a run is over its users need its proxy: without faults."""
    try:
        now = target.state()
    except (OSError, subprocess.SubprocessError) as error:
        return [f"cannot be asked: {error}"]
    wrong = {key for key in before if now[key] != before[key]}
    if not over and unharmed(now[PROXY]):
        wrong.discard(PROXY)
    return [f"{key}: {now[key]} instead of {before[key]}" for key in sorted(wrong)]


def draw(number: int, kinds: tuple[tuple[str, str], ...], ways: tuple[str, ...], rng: random.Random) -> Trial:
    """A trial: kinds, ways and instants in turn, so that each is met, the delay and the company at random."""
    first = kinds[number % len(kinds)]
    others = [kind for kind in kinds if kind[0] != first[0]]
    instant = INSTANTS[(number // len(kinds) + number) % len(INSTANTS)]
    longest = {"intend": 0.02, "inject": 0.3, "hold": 1.5, "heal": 0.5}[instant]
    company = (rng.choice(others),) if others else ()
    return Trial(
        number=number,
        faults=(first, *company),
        way=ways[number % len(ways)],
        instant=instant,
        delay_s=rng.uniform(0, longest),
    )
