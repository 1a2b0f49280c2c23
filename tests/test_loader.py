"""Experiment files: what is read from them, and every way in which they can be wrong."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.catalogue import KINDS, Kind, find
from harness.errors import BadInput, ExitCode
from harness.experiment import ComposeStack, Experiment, ExternalStack, Fault, ProcessStack, Ready, Stage
from harness.loader import from_document, load
from harness.yaml_lines import Tree
from tests.documents import TEXT, replaced, whole

S = 1_000_000_000


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with a scenario in it, and an experiment beside it."""
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "checkout.py").write_text("")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, text: str) -> Path:
    """The experiment file with this text, named relative to the current folder."""
    (folder / "x.yaml").write_text(text)
    return Path("x.yaml")


def problems(folder: Path, text: str, **options: object) -> list[str]:
    """What is said about a file that is wrong, one line for each problem."""
    with pytest.raises(BadInput) as caught:
        load(write(folder, text), **options)  # type: ignore[arg-type]
    assert caught.value.exit_code is ExitCode.BAD_INPUT
    return [str(problem) for problem in caught.value.problems]


def built(**changes: object) -> Experiment:
    """The example document with sections replaced; a section of None is left out."""
    changed = {**whole(), **changes}
    return from_document({key: value for key, value in changed.items() if value is not None}, base_dir=".")


def wrong(**changes: object) -> list[str]:
    """What is said about the example document with sections replaced."""
    with pytest.raises(BadInput) as caught:
        built(**changes)
    return [str(problem).removeprefix("experiment ") for problem in caught.value.problems]


def test_a_file_becomes_an_experiment(folder: Path) -> None:
    """Every section, in the harness's own units."""
    found = load(write(folder, TEXT))
    assert (found.name, found.why, found.toxiproxy) == ("ladder", "It carries 1,000 users.", "auto")
    assert isinstance(found.stack, ProcessStack)
    assert [service.name for service in found.stack.services] == ["db", "payment", "api"]
    assert found.stack.services[2].ready == Ready(how="http", path="/health")
    assert [(proxy.name, proxy.upstream) for proxy in found.proxies] == [("front", "api"), ("db-link", "db")]
    assert (found.traffic.target, found.traffic.timeout_ns, found.traffic.processes) == ("front", 10 * S, 1)
    assert found.stages[1] == Stage(name="level-100", role="stress", users=100, ramp_ns=10 * S, hold_ns=30 * S)
    assert found.faults[0] == Fault(
        name="slow-db", driver="toxiproxy", kind="latency", on="db-link", stage="level-500", after_ns=5 * S,
        hold_ns=15 * S, params={"latency": 200, "jitter": 0, "stream": "downstream", "toxicity": 1.0},
    )  # fmt: skip
    assert found.faults[1].hold_ns == 10 * S, "without `for` a fault lasts until its stage ends"
    assert [(probe.kind, probe.of, probe.every_ns) for probe in found.probes] == [
        ("process", "api", S),
        ("prometheus", "api", S),
    ]
    assert [limit.text for limit in found.budget] == ["p95 < 500ms in stress", "cpu of api < 60%", "db_pool_in_use < 8"]
    assert found.budget[2].of == "api", "the only probe that reads the series says whose it is"
    assert found.abort[0].sustain_ns == 30 * S
    assert found.questions[1].params == {"limits": {"errors": 0.01, "p95": 500_000.0, "p99": 2_000_000.0}}
    assert found.seed == zlib.crc32(b"ladder")
    assert found.base_dir == str(folder)


def test_what_is_not_written_has_its_documented_default() -> None:
    """The smallest experiment."""
    found = from_document(
        {
            "name": "small",
            "why": "It works.",
            "stack": {"external": {"web": "http://127.0.0.1:8088"}},
            "traffic": {"scenario": "s.py", "target": "web"},
            "stages": [{"name": "only", "users": 1, "hold": "1s"}],
        },
        base_dir="/x",
    )
    assert found.stack == ExternalStack(addresses={"web": "http://127.0.0.1:8088"})
    assert [limit.text for limit in found.budget] == ["p95 < 500ms", "p99 < 2s", "errors < 0.5%"]
    assert [question.kind for question in found.questions] == ["budget"]
    assert found.stages[0].role == "steady"
    assert found.stages[0].ramp_ns == 0
    assert (found.proxies, found.faults, found.probes, found.abort) == ((), (), (), ())


def test_a_ladder_stands_for_its_stages() -> None:
    """A warm-up at the first level when one is asked for, then one stress stage for each level."""
    ladder: Tree = {"users": [100, 500], "ramp": "5s", "hold": "25s", "warmup": "8s"}
    found = built(stages=None, ladder=ladder)
    assert found.stages == (
        Stage(name="warm", role="warmup", users=100, ramp_ns=5 * S, hold_ns=8 * S),
        Stage(name="level-100", role="stress", users=100, ramp_ns=5 * S, hold_ns=25 * S),
        Stage(name="level-500", role="stress", users=500, ramp_ns=5 * S, hold_ns=25 * S),
    )
    bare = built(stages=None, ladder={"users": [100, 500]})
    assert [(stage.ramp_ns, stage.hold_ns) for stage in bare.stages] == [(10 * S, 30 * S)] * 2


def test_an_own_budget_replaces_the_default_and_may_be_empty() -> None:
    """`budget: []` is a choice."""
    assert built(budget=[]).budget == ()


def test_a_question_keeps_its_parameters_in_units() -> None:
    """Own limits replace the default ones."""
    found = built(questions=[{"breaking_point": {"limits": {"errors": "2%", "p99": "1s"}, "at_least": 100}}])
    assert found.questions[0].params == {"limits": {"errors": 0.02, "p99": 1_000_000.0}, "at_least": 100}


@pytest.mark.parametrize(
    ("written", "url", "of"),
    [
        ("http://{api}/metrics", "http://{api}/metrics", "api"),
        ("api/metrics", "http://{api}/metrics", "api"),
        ("{api}/metrics?x=1", "http://{api}/metrics?x=1", "api"),
        ("http://exporter:9100/metrics", "http://exporter:9100/metrics", "exporter:9100"),
    ],
)
def test_a_metrics_page_is_named_in_full_or_short(written: str, url: str, of: str) -> None:
    """A service's name before the first slash stands for its address, and says whose the series are."""
    found = built(probes=[{"prometheus": written, "series": ["a"]}], budget=["a < 5"])
    assert (found.probes[0].url, found.probes[0].of) == (url, of)
    assert found.budget[0].of == of


def test_a_toxic_on_a_service_goes_to_the_one_proxy_before_it() -> None:
    """And on a proxy it stays there."""
    faults = [{"toxic": "down", "on": on, "during": "level-500", "for": "1s"} for on in ("api", "db-link")]
    found = built(faults=faults)
    assert [(fault.name, fault.on) for fault in found.faults] == [("down-api", "front"), ("down-db-link", "db-link")]


def test_a_kind_of_a_plug_in_is_read_like_ours() -> None:
    """Its driver's name is the key."""
    ours = find("container", "cpu")
    assert ours is not None
    theirs = replace(ours, driver="gpu", name="throttle")
    document = {**whole(), "faults": [{"gpu": "throttle", "on": "card-1", "cpus": 2, "during": "level-500"}]}
    assert from_document(document, base_dir=".", extra_kinds=[theirs]).faults[0].driver == "gpu"
    with pytest.raises(BadInput, match="expected one of the keys toxic, container, process, got gpu"):
        from_document(document, base_dir=".")


BAD_FILES = [
    (replaced("name: ladder", "name: a b"), "x.yaml:1 name: expected a name of letters, digits, - _ . (at most 63, the first a letter or digit), got 'a b'"),
    (replaced("name: ladder", "name: 5"), "x.yaml:1 name: expected a text, got 5; put it in quotes"),
    (replaced("why: It carries 1,000 users.\n", ""), "x.yaml:1 why: this key is required, and missing"),
    (replaced("why: It carries 1,000 users.", "why: ' '"), "x.yaml:2 why: expected a text, got an empty one"),
    (replaced("probes:", "probs:"), "x.yaml:19 probs: unknown key 'probs'; did you mean probes? (known here: name, why, stack, toxiproxy, proxies, traffic, stages, ladder, faults, probes, budget, abort, questions, seed)"),
    (replaced("questions:", "toxiproxy: atuo\nquestions:"), "x.yaml:28 toxiproxy: expected auto, embedded, server or http://host:8474, got 'atuo'"),
    (replaced("questions:", "seed: -1\nquestions:"), "x.yaml:28 seed: expected a whole number from 0 to 9007199254740992, got -1"),
    (replaced("  process:\n", "  proces:\n"), "x.yaml:3 stack: expected one of the keys external, process, compose, got proces; did you mean process?"),
    (replaced("ready: tcp", "ready: udp"), "x.yaml:6 stack.process.payment.ready: expected tcp or http /path, and perhaps within 60s, got 'udp'"),
    (replaced("ready: tcp", "redy: tcp"), "x.yaml:6 stack.process.payment.redy: unknown key 'redy'; did you mean ready? (known here: command, env, ready, cwd)"),
    (replaced("{DB: \"{db-link}\"}", "{DB: \"{db-lnk}\"}"), "x.yaml:7 stack.process.api.env.DB: no service or proxy is called db-lnk; did you mean db-link? (there are: api, db, db-link, front, payment, port, python)"),
    (replaced("{upstream: db}", "{upstream: dbx}").replace("on: db,", "on: front,"), "x.yaml:10 proxies.db-link.upstream: no service or proxy is called dbx; did you mean db? (there are: api, db, db-link, front, payment)"),
    (replaced("{upstream: db}", "{upstream: db, listen: 'a:b:c'}"), "x.yaml:10 proxies.db-link.listen: expected host or host:port, got 'a:b:c'"),
    (replaced("  db-link:", "  db:").replace("{upstream: db}", "{upstream: api}").replace("{db-link}", "{db}"), "x.yaml:10 proxies.db: a service is called db too, so nobody could say which one is meant (call the proxy db-link, say)"),
    (replaced("{upstream: db}", "{upstream: db-link}").replace("on: db,", "on: front,"), "x.yaml:10 proxies.db-link.upstream: the proxies lead in a circle: db-link -> db-link"),
    (replaced("target: front}", "target: frnt}"), "x.yaml:11 traffic.target: no service or proxy is called frnt; did you mean front? (there are: api, db, db-link, front, payment)"),
    (replaced("target: front}", "target: front, timeout: 10}"), "x.yaml:11 traffic.timeout: expected a duration such as 30s, got 10"),
    (replaced("target: front}", "target: front, timeout: 0s}"), "x.yaml:11 traffic.timeout: expected a duration above zero, got '0s'"),
    (replaced("target: front}", "target: front, processes: 0}"), "x.yaml:11 traffic.processes: expected a whole number from 1 to 256, got 0"),
    (replaced("scenarios/checkout.py", "scenarios/nope.py"), "x.yaml:11 traffic.scenario: there is no file 'scenarios/nope.py' in the current folder or beside the experiment"),
    (replaced("users: 500, ramp: 10s, hold: 30s", "users: 500, ramp: 10s, hold: 30"), "x.yaml:15 stages[2].hold: expected a duration such as 30s, got 30"),
    (replaced("users: 500", "users: 500.5"), "x.yaml:15 stages[2].users: expected a whole number, got 500.5"),
    (replaced("users: 500", "users: true"), "x.yaml:15 stages[2].users: expected a whole number, got true"),
    (replaced("users: 500", "users: -1"), "x.yaml:15 stages[2].users: expected a whole number from 0 to 10000000, got -1"),
    (replaced("role: warmup", "role: warm"), "x.yaml:13 stages[0].role: expected one of warmup, steady, stress, recovery, got 'warm'; did you mean warmup?"),
    (replaced("name: level-500", "name: level-100").replace("during: level-500", "during: level-100"), "x.yaml:15 stages[2].name: two stages are called level-100; give each its own name"),
    (replaced("name: level-500", "name: steady").replace("during: level-500", "during: steady"), "x.yaml:15 stages[2].name: a stage called steady must have that role, got stress"),
    (replaced("stages:", "ladder: {users: [1]}\nstages:"), "x.yaml:13 stages: expected stages, or ladder for the short form, got both"),
    (replaced("toxic: latency", "toxic: latncy"), "x.yaml:17 faults[0].toxic: expected one of latency, bandwidth, slow_close, timeout, reset_peer, slicer, limit_data, down, got 'latncy'; did you mean latency?"),
    (replaced("toxic: latency", "toxi: latency"), "x.yaml:17 faults[0]: expected one of the keys toxic, container, process, got name, toxi, on, latency, during, after, for; did you mean toxic?"),
    (replaced("toxic: latency", "toxic: latency, process: pause"), "x.yaml:17 faults[0]: expected only one of the keys toxic, container, process, got toxic and process"),
    (replaced("latency: 200ms", "latency: 200ms, latncy: 200ms"), "x.yaml:17 faults[0].latncy: unknown key 'latncy'; did you mean latency? (known here: toxic, name, on, during, after, for, latency, jitter, stream, toxicity)"),
    (replaced("latency: 200ms", "jitter: 5ms"), "x.yaml:17 faults[0].latency: this key is required, and missing (a duration in whole milliseconds such as 200ms)"),
    (replaced("latency: 200ms", "latency: 200"), "x.yaml:17 faults[0].latency: expected a duration such as 30s, 200ms or 1m30s, got 200"),
    (replaced("on: db,", "on: bd,"), "x.yaml:17 faults[0].on: no proxy is called bd (there are: api, db, db-link, front, payment)"),
    (replaced("on: db,", "on: payment,"), "x.yaml:17 faults[0].on: no proxy stands before payment, so no toxic can reach it (add proxies: {payment-link: {upstream: payment}}, and let its clients use payment-link)"),
    (replaced("{upstream: api}", "{upstream: db}"), "x.yaml:17 faults[0].on: db has 2 proxies before it (name one of front, db-link)"),
    (replaced("during: level-500, after: 5s", "during: level-50, after: 5s"), "x.yaml:17 faults[0].during: no stage is called level-50; did you mean level-500? (there are: level-100, level-500, warm)"),
    (replaced("during: level-500, after: 5s", "during: stress, after: 5s"), "x.yaml:17 faults[0].during: no stage is called stress (there are: level-100, level-500, warm); a role is not enough, since a fault belongs to one stage"),
    (replaced("for: 15s", "for: 26s"), "x.yaml:17 faults[0].for: the fault outlasts level-500: after 5s + for 26s is more than its hold of 30s (at most 25s is left, or lengthen the hold)"),
    (replaced("after: 20s", "after: 30s"), "x.yaml:18 faults[1].after: expected less than 30s, the hold of level-500, got 30s"),
    (replaced("name: freeze", "name: slow-db"), "x.yaml:18 faults[1].name: two faults are called slow-db; give each its own name"),
    (replaced("name: freeze", "name: warm"), "x.yaml:18 faults[1].name: a stage is called warm too; limits could mean either"),
    (replaced("process: pause, on: payment", "process: pause, on: paymnt"), "x.yaml:18 faults[1].on: no service is called paymnt; did you mean payment? (there are: api, db, payment)"),
    (replaced("process: pause, on: payment", "container: pause, on: payment"), "x.yaml:18 faults[1].on: payment is a process, not a container (process: pause)"),
    (replaced("process: pause, on: payment", "process: pause, signal: KILL, on: payment"), "x.yaml:18 faults[1].signal: unknown key 'signal' (known here: process, name, on, during, after, for)"),
    (replaced("process: pause, on: payment", "toxic: latency, latency: 1s, on: db-link").replace("after: 20s", "after: 19s"), "x.yaml:18 faults[1]: the faults slow-db (latency) and freeze (latency) fight over db-link at the same time (let one end before the other begins, or move one to another stage)"),
    (replaced("process: pause, on: payment", "toxic: down, on: db-link").replace("after: 20s", "after: 19s"), "x.yaml:18 faults[1]: the faults slow-db (latency) and freeze (down) fight over db-link at the same time (let one end before the other begins, or move one to another stage)"),
    (replaced("{process: api, every: 1s}", "{proces: api}"), "x.yaml:20 probes[0]: expected one of the keys container, process, prometheus, got proces; did you mean process?"),
    (replaced("{process: api, every: 1s}", "{process: ape}").replace("cpu of api", "cpu of ape"), "x.yaml:20 probes[0].process: no service is called ape; did you mean api? (there are: api, db, payment)"),
    (replaced("series: [db_pool_in_use]", "series: []"), "x.yaml:21 probes[1].series: expected at least one entry, got a list"),
    (replaced("http://{api}/metrics", "http://{ap}/metrics"), "x.yaml:21 probes[1].prometheus: no service or proxy is called ap; did you mean api? (there are: api, db, db-link, front, payment)"),
    (replaced("cpu of api", "cpu of db"), "x.yaml:24 budget[1]: no probe reads cpu of db, only of api"),
    (replaced("cpu of api", "throttled of api"), "x.yaml:24 budget[1]: no probe reads throttled of api; add {container: api} to probes"),
    (replaced("db_pool_in_use < 8", "db_pool_inuse < 8"), "x.yaml:25 budget[2]: unknown metric 'db_pool_inuse'; did you mean db_pool_in_use? (known: p50, p90, p95, p99, p99.9, max, mean, errors, rate, cpu, memory, throttled, disk_read, disk_write, net_in, net_out, pids, restarts, oom_kills, threads, open_files, db_pool_in_use, and what a prometheus probe lists in series)"),
    (replaced("in stress", "in stres"), "x.yaml:23 budget[0]: no stage, role or fault is called stres; did you mean stress? (there are: freeze, level-100, level-500, recovery, slow-db, steady, stress, warm, warmup)"),
    (replaced("in stress", "in recovery"), "x.yaml:23 budget[0]: no stage has the role recovery, so the limit would never be looked at"),
    (replaced("errors > 10% for 30s", "errors > 10 for 30s"), "x.yaml:27 abort[0]: expected a percentage such as 0.5%, got '10'"),
    (replaced("budget, breaking_point]", "budgt]"), "x.yaml:28 questions[0]: expected one of the questions budget, breaking_point, got 'budgt'; did you mean budget?"),
    (replaced("budget, breaking_point]", "budget, budget]"), "x.yaml:28 questions[1]: the question budget is asked twice"),
    (replaced("budget, breaking_point]", "{budget: {x: 1}}]"), "x.yaml:28 questions[0].budget.x: unknown key 'x' (known here: none)"),
    (replaced("budget, breaking_point]", "{breaking_point: {limits: {p98: 1s}}}]"), "x.yaml:28 questions[0].breaking_point.limits.p98: unknown key 'p98'; did you mean p99? (known here: errors, p50, p90, p95, p99, p99.9, max, mean)"),
    (replaced("budget, breaking_point]", "{breaking_point: {limits: {errors: 1}}}]"), "x.yaml:28 questions[0].breaking_point.limits.errors: expected a percentage such as 0.5%, got '1'"),
    (replaced("budget, breaking_point]", "{breaking_point: {at_least: 5000}}]"), "x.yaml:28 questions[0].breaking_point.at_least: expected at most 500, the highest level, got 5000"),
    (replaced("users: 500", "users: 100"), "x.yaml:28 questions[1]: breaking_point needs at least two stages of role stress with rising users, got 100, 100 (write ladder: {users: [100, 500, 1000, 5000]}, or role: stress)"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"), BAD_FILES, ids=[message.split(":", 2)[1] + str(n) for n, (_, message) in enumerate(BAD_FILES)]
)
def test_one_mistake_gives_one_message(folder: Path, text: str, message: str) -> None:
    """File, line, path, what was expected and what stands there; and nothing else about the same file."""
    assert problems(folder, text) == [message]


BAD_SECTIONS = [
    ({"stack": {"external": {"web": "nowhere"}}, "proxies": {}, "faults": [], "probes": [], "budget": [], "traffic": {"scenario": "s", "target": "web"}}, "stack.external.web: expected an address such as http://127.0.0.1:8088 or db:5432, got 'nowhere'"),
    ({"stages": []}, "stages: expected at least one stage, got an empty list"),
    ({"stages": None}, "stages: expected stages, or ladder for the short form, got neither"),
    ({"questions": []}, "questions: expected at least one question, got an empty list"),
    ({"questions": "budget"}, "questions: expected a list, got 'budget'"),
    ({"probes": {"process": "api"}}, "probes: expected a list, got a mapping"),
    ({"proxies": []}, "proxies: expected a mapping from names, got a list"),
    ({"traffic": None}, "traffic: this key is required, and missing"),
    ({"stack": None}, "stack: this key is required, and missing"),
    ({"traffic": "scenario.py"}, "traffic: expected a mapping with the keys scenario, target, timeout, processes, tags, exclude_tags, got 'scenario.py'"),
    ({"abort": ["p95 < 1s"] * 501}, "abort: expected at most 500 entries, got 501"),
    ({"probes": [{"process": "api"}, {"process": "api"}], "budget": []}, "probes[0]: two probes read the same of api; keep one"),
    ({"probes": [{"process": "api"}, {"process": "db"}], "budget": ["cpu < 60%"]}, "budget[0]: cpu of what? Probes read it of api, db"),
    ({"stages": [{"name": "w", "role": "warmup", "users": 5, "hold": "1s"}], "faults": [], "budget": [], "questions": ["budget"]}, "stages: nothing is measured: expected a stage with a role of steady, stress, recovery"),
    ({"stages": [{"name": "w", "users": 0, "hold": "1s"}], "faults": [], "budget": [], "questions": ["budget"]}, "stages[0]: no measured stage has any users, so there is nothing to judge"),
    ({"proxies": {"front": {"upstream": "b"}, "b": {"upstream": "db-link"}, "db-link": {"upstream": "front"}}, "faults": []}, "proxies.front.upstream: the proxies lead in a circle: front -> b -> db-link -> front"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "message"), BAD_SECTIONS, ids=[message[:30] for _, message in BAD_SECTIONS])
def test_a_section_that_makes_no_sense_is_refused(changes: dict[str, object], message: str) -> None:
    """Shapes and combinations, from a document."""
    assert message in wrong(**changes)


def test_all_problems_are_told_at_once_in_the_order_of_the_file(folder: Path) -> None:
    """Mistakes in different sections do not hide one another."""
    text = (
        TEXT.replace("name: ladder", "name: a b")
        .replace("hold: 10s", "hold: 10")
        .replace("p95 <", "p59 <")
        .replace("latency: 200ms", "latency: 1")
    )
    found = problems(folder, text)
    assert [line.split(": ")[0] for line in found] == [
        "x.yaml:1 name", "x.yaml:13 stages[0].hold", "x.yaml:17 faults[0].latency", "x.yaml:23 budget[0]",
    ]  # fmt: skip


def test_two_kinds_that_turn_different_things_may_overlap() -> None:
    """Latency down, latency up and bandwidth at one time; but `both` fights with each."""

    def toxics(second: str) -> list[object]:
        common = {"toxic": "latency", "on": "front", "latency": "5ms", "during": "level-500"}
        return [{**common, "name": "a"}, {**common, "name": "b", "stream": second}]

    assert len(built(faults=toxics("upstream")).faults) == 2
    assert "fight over front" in wrong(faults=toxics("both"))[0]


def test_state_faults_of_one_container_fight_and_of_two_do_not() -> None:
    """A killed container cannot be throttled; another one can."""
    stack = {"compose": {"file": "compose.yaml"}}
    kill = {"container": "kill", "on": "one", "during": "level-500"}
    throttle = {"container": "cpu", "cpus": 0.5, "during": "level-500"}
    sections: dict[str, object] = {"stack": stack, "probes": [], "budget": []}
    assert "fight over one" in wrong(faults=[kill, {**throttle, "on": "one"}], **sections)[0]
    assert len(built(faults=[kill, {**throttle, "on": "two"}], **sections).faults) == 2


def test_processes_need_a_stack_that_started_them() -> None:
    """A process fault or probe on an external stack says what to use instead."""
    said = wrong(
        stack={"external": {"api": "http://h", "db": "h:1", "payment": "h:2"}},
        faults=[{"process": "pause", "on": "api", "during": "level-500"}],
        probes=[{"process": "db"}],
        budget=[],
    )
    why = (
        "is no process that the harness started (use container: for a container; process: needs stack: {process: ...})"
    )
    assert said == [f"faults[0].on: api {why}", f"probes[0].process: db {why}"]


def test_malformed_files_are_refused_with_their_line(folder: Path) -> None:
    """What YAML itself refuses; the details are tested beside yaml_lines."""
    assert problems(folder, "") == ["x.yaml:1: the file is empty (harness init writes a first experiment)"]
    assert problems(folder, "- a\n")[0].startswith("x.yaml:1: expected a mapping with the keys name, why, stack")
    assert problems(folder, "name: [\n")[0].startswith("x.yaml:2: not valid YAML")


def test_a_file_that_cannot_be_read_is_refused(folder: Path) -> None:
    """Missing, or a folder."""
    for path, why in ((Path("none.yaml"), "No such file or directory"), (folder, "Is a directory")):
        with pytest.raises(BadInput) as caught:
            load(path)
        assert str(caught.value) == f"{path}: cannot read the experiment: {why} (give the path of a YAML file)"


def test_paths_start_in_the_current_folder_else_beside_the_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first of the two in which all files are found is recorded."""
    write(folder, TEXT)
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    assert load(Path("../x.yaml")).base_dir == str(folder)
    (folder / "elsewhere" / "scenarios").mkdir()
    (folder / "elsewhere" / "scenarios" / "checkout.py").write_text("")
    assert load(Path("../x.yaml")).base_dir == str(folder / "elsewhere")


COMPOSE = replaced(
    TEXT[TEXT.index("  process:") : TEXT.index("proxies:")], "  compose: {file: compose.yaml, ready: {api: http /h}}\n"
)


def test_services_of_a_compose_file_are_known(folder: Path) -> None:
    """A proxy to a service that the file does not have is refused, unless the file includes others."""
    text = COMPOSE.replace("process: pause", "container: pause").replace("process: api", "container: api")
    (folder / "compose.yaml").write_text("services: {api: {}, db: {}, payment: {}}")
    stack = load(write(folder, text)).stack
    assert stack == ComposeStack(file="compose.yaml", ready={"api": Ready(how="http", path="/h")})
    (folder / "compose.yaml").write_text("services: {apis: {}, db: {}, payment: {}}")
    said = problems(folder, text)
    assert (
        said[0]
        == "x.yaml:4 stack.compose.ready.api: no service is called api; did you mean apis? (there are: apis, db, payment)"
    )
    assert any(line.startswith("x.yaml:6 proxies.front.upstream: no service or proxy is called api") for line in said)
    (folder / "compose.yaml").write_text("include: [other.yaml]\nservices: {apis: {}}")
    load(write(folder, text))
    (folder / "compose.yaml").unlink()
    assert problems(folder, text) == [
        "x.yaml:4 stack.compose.file: there is no file 'compose.yaml' in the current folder or beside the experiment"
    ]


def test_overrides_change_what_is_judged_and_recorded(folder: Path) -> None:
    """Values are YAML; a key that was not written may be set; the last one wins."""
    overrides = [
        "stages[1].users=50",
        "traffic.timeout=5s",
        "budget=[p95 < 1s]",
        "stages[1].users=60",
        "stack.process.db.env.POOL=4",
    ]
    found = load(write(folder, TEXT), overrides=overrides)
    assert found.stages[1].users == 60
    assert found.traffic.timeout_ns == 5 * S
    assert [limit.text for limit in found.budget] == ["p95 < 1s"]
    assert isinstance(found.stack, ProcessStack)
    assert found.stack.services[0].env == {"POOL": "4"}
    assert found.document["traffic"] == {"scenario": "scenarios/checkout.py", "target": "front", "timeout": "5s"}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("stages[9].users=3", "--set stages[9].users=3 stages[9].users: there is no stages[9] to set: it is a list of 3, from [0]"),
        ("name.x=3", "--set name.x=3 name.x: there is no name.x to set: it is no list and no mapping"),
        ("stages.x=3", "--set stages.x=3 stages.x: there is no stages.x to set: it is a list of 3, from [0]"),
        ("traffic.timeut=5s", "--set traffic.timeut=5s traffic.timeut: unknown key 'timeut'; did you mean timeout? (known here: scenario, target, timeout, processes, tags, exclude_tags)"),
        ("trafic.timeout=5s", "--set trafic.timeout=5s trafic: unknown key 'trafic'; did you mean traffic? (known here: name, why, stack, toxiproxy, proxies, traffic, stages, ladder, faults, probes, budget, abort, questions, seed)"),
        ("stages[0].hold=5", "--set stages[0].hold=5 stages[0].hold: expected a duration such as 30s, got 5"),
        ("stages[0].users", "--set stages[0].users: expected path=value such as stages[0].users=50"),
        ("=5", "--set =5: expected path=value such as stages[0].users=50"),
        ("a..b=5", "--set a..b=5: expected path=value such as stages[0].users=50"),
        ("budget=[", "--set budget=[:2: not valid YAML: while parsing a flow node did not find expected node content"),
    ],
)  # fmt: skip
def test_an_override_that_is_wrong_is_named_as_the_place(folder: Path, override: str, message: str) -> None:
    """The mistake is on the command line, so that is where the message points."""
    assert problems(folder, TEXT, overrides=[override]) == [message]


def test_a_seed_on_the_command_line_wins(folder: Path) -> None:
    """And is recorded, so that the run can be repeated from its record."""
    found = load(write(folder, TEXT + "seed: 5\n"), seed=7)
    assert found.seed == 7
    assert from_document(found.document, base_dir=".").seed == 7
    assert load(write(folder, TEXT + "seed: 5\n")).seed == 5


def test_environment_variables_are_filled_in_where_machines_differ(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the stack, proxies, Toxiproxy and probes; not in words for people."""
    monkeypatch.setenv("HARNESS_TEST_HOST", "db.example")
    monkeypatch.setenv("HARNESS_TEST_EMPTY", "")
    text = replaced(
        'env: {DB: "{db-link}"}',
        "env: {A: '${HARNESS_TEST_HOST}:${HARNESS_TEST_PORT:-5432}', B: '$${X}', C: '${HARNESS_TEST_EMPTY}', D: '${HARNESS_TEST_EMPTY:-d}'}",
    )
    found = load(write(folder, text.replace("1,000 users", "${USERS} users")))
    assert isinstance(found.stack, ProcessStack)
    assert found.stack.services[2].env == {"A": "db.example:5432", "B": "${X}", "C": "", "D": "d"}
    assert found.why == "It carries ${USERS} users."
    assert from_document(found.document, base_dir=found.base_dir).stack == found.stack


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("${HARNESS_TEST_UNSET}", "the environment variable HARNESS_TEST_UNSET is not set (set it, or write ${HARNESS_TEST_UNSET:-default})"),
        ("${1x}", "expected ${NAME} or ${NAME:-default}, got ${1x} (write $${ for a plain ${)"),
        ("${", "expected ${NAME} or ${NAME:-default}, got ${} (write $${ for a plain ${)"),
    ],
)  # fmt: skip
def test_a_variable_that_is_missing_or_malformed_is_refused(folder: Path, written: str, message: str) -> None:
    """With the place in the file, and what to write."""
    assert problems(folder, replaced('"{db-link}"', f'"{written}"')) == [
        f"x.yaml:7 stack.process.api.env.DB: {message}"
    ]


def test_secrets_never_reach_the_record_or_a_message(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither from the file, nor from the environment, nor through a problem; the record can be judged again."""
    monkeypatch.setenv("HARNESS_TEST_TOKEN", "hunter2")
    env = "env: {DB: 'postgres://u:hunter2@{db-link}/x', API_KEY: hunter2, AUTH: 'x ${HARNESS_TEST_TOKEN}', B: '${HARNESS_TEST_SECRET:-hunter2}'}"
    found = load(write(folder, replaced('env: {DB: "{db-link}"}', env)))
    assert isinstance(found.stack, ProcessStack)
    assert found.stack.services[2].env["AUTH"] == "x hunter2"
    assert "hunter2" not in json.dumps(found.document)
    again = from_document(found.document, base_dir=found.base_dir)
    assert again.document == found.document
    said = problems(folder, TEXT, overrides=["toxiproxy=htp://u:hunter2@h"])
    assert said == [
        "--set toxiproxy=htp://u:***@h toxiproxy: expected auto, embedded, server or http://host:8474, got 'htp://u:***@h'"
    ]


def test_a_masked_address_can_be_judged_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that is wholly secret becomes ***, and the record still loads."""
    monkeypatch.setenv("HARNESS_TEST_TOKEN", "http://h")
    text = replaced(
        TEXT[TEXT.index("  process:") : TEXT.index("proxies:")],
        "  external: {api: '${HARNESS_TEST_TOKEN}', db: 'h:1'}\n",
    )
    found = load(
        write(folder, text.replace("process: pause", "container: pause").replace("process: api", "container: api"))
    )
    assert found.document["stack"] == {"external": {"api": "***", "db": "h:1"}}
    from_document(found.document, base_dir=found.base_dir)


def test_judging_again_gives_the_same_experiment(folder: Path) -> None:
    """From the record alone, without a file; also through JSON, as it stands in a journal."""
    found = load(write(folder, TEXT))
    assert from_document(json.loads(json.dumps(found.document)), base_dir=found.base_dir) == found


# -- fuzz ------------------------------------------------------------------------------------------------------------


def places(tree: Tree, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path of everything in a tree."""
    yield path
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from places(value, (*path, key))
    if isinstance(tree, list):
        for number, value in enumerate(tree):
            yield from places(value, (*path, number))


def at(tree: Tree, path: tuple[str | int, ...]) -> Tree:
    """What stands at a path."""
    for part in path:
        tree = tree[part]  # type: ignore[index, call-overload]
    return tree


# Mappings whose keys are the user's own: any name is right there, if nothing else names it.
FREE = {("stack", "process"), ("stack", "process", "api", "env"), ("proxies",)}
WORD_PLACES = [
    path
    for path in places(whole())
    if path
    and path[-1] in ("role", "toxic", "process", "during", "target", "upstream", "on")
    and isinstance(at(whole(), path), str)
]
KEY_PLACES = [path for path in places(whole()) if path and isinstance(path[-1], str) and path[:-1] not in FREE]


def misspelt(word: str, draw: Callable[[st.SearchStrategy[int]], int]) -> str:
    """The word with one letter doubled, or dropped."""
    position = draw(st.integers(0, len(word) - 1))
    return word[:position] + word[position] * draw(st.sampled_from([0, 2])) + word[position + 1 :]  # type: ignore[arg-type]


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_a_misspelt_key_is_always_refused_with_its_path(data: st.DataObject) -> None:
    """No key is ever silently left out."""
    path = data.draw(st.sampled_from(KEY_PLACES))
    document = whole()
    parent = at(document, path[:-1])
    key = path[-1]
    assert isinstance(parent, dict)
    assert isinstance(key, str)
    wrong_key = misspelt(key, data.draw)
    if wrong_key in parent or (key, wrong_key) == ("on", "n"):
        return
    parent[wrong_key] = parent.pop(key)
    with pytest.raises(BadInput) as caught:
        from_document(document, base_dir=".")
    assert all(problem.path for problem in caught.value.problems)
    assert any(wrong_key in str(problem) for problem in caught.value.problems)


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_a_misspelt_word_is_always_refused_with_its_path(data: st.DataObject) -> None:
    """No enum word and no name is ever silently taken for another."""
    path = data.draw(st.sampled_from(WORD_PLACES))
    document = whole()
    parent = at(document, path[:-1])
    word = at(document, path)
    assert isinstance(parent, dict)
    assert isinstance(word, str)
    parent[path[-1]] = misspelt(word, data.draw)  # type: ignore[index]
    with pytest.raises(BadInput) as caught:
        from_document(document, base_dir=".")
    assert all(problem.path for problem in caught.value.problems)


LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20),
    st.sampled_from(["30s", "p95 < 1s", "api", "db", "front", "http://h", "***", "${X}", "level-500", "1%", "{api}"]),
)  # fmt: skip
KEYS = st.one_of(st.sampled_from(sorted({str(path[-1]) for path in places(whole()) if path})), st.text(max_size=8))
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=5)),
    max_leaves=20,
)


@settings(deadline=None, max_examples=120)
@given(st.dictionaries(KEYS, TREES, max_size=8), st.integers(min_value=-5))
def test_any_tree_is_an_experiment_or_bad_input(tree: dict[str, Tree], seed: int) -> None:
    """Whatever a document holds, nothing but BadInput comes out of a wrong one."""
    try:
        found = from_document({**tree, "seed": seed}, base_dir=".")
    except BadInput as error:
        assert error.problems
    else:
        assert found.stages


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_the_example_with_anything_in_any_place_is_an_experiment_or_bad_input(data: st.DataObject) -> None:
    """One place of a right document replaced by anything."""
    document = whole()
    path = data.draw(st.sampled_from([path for path in places(document) if path]))
    parent = at(document, path[:-1])
    parent[path[-1]] = data.draw(TREES)  # type: ignore[index, call-overload]
    try:
        found = from_document(document, base_dir=".")
    except BadInput as error:
        assert error.problems
        assert str(error)
    else:
        assert from_document(found.document, base_dir=".").name == found.name


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.key}-{kind.name}")
def test_every_kind_of_the_catalogue_can_be_written(kind: Kind) -> None:
    """With what it requires, as its own parameters say it should look."""
    examples = {"duration": "20ms", "size": "64MB", "rate": "100KB/s", "number": 0.5, "word": "x"}
    params = {param.name: examples[param.unit] for param in kind.params if param.required}
    on = "front" if kind.driver == "toxiproxy" else "payment" if kind.driver == "process" else "some-container"
    found = built(faults=[{kind.key: kind.name, "on": on, "during": "level-500", **params}])
    assert (found.faults[0].driver, found.faults[0].kind) == (kind.driver, kind.name)
    assert set(found.faults[0].params) == {param.name for param in kind.params if param.required or param.default != ""}
