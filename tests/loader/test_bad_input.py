"""Every way in which an experiment file can be wrong, and exactly what is said about it."""

# ruff: noqa: E501 - a message stands on one line, as users see it

from __future__ import annotations

from pathlib import Path

import pytest

from harness.loader.catalogue import KINDS
from tests.documents import TEXT, problems, replaced, wrong


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with a scenario in it, and an experiment beside it."""
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "checkout.py").write_text("")
    monkeypatch.chdir(tmp_path)
    return tmp_path


KEYS = ", ".join(dict.fromkeys(kind.key for kind in KINDS))
BAD_FILES = [
    (replaced("name: ladder", "name: a b"), "x.yaml:1 name: expected a name of letters, digits, - _ . (at most 63, the first a letter or digit), got 'a b'"),
    (replaced("name: ladder", "name: 5"), "x.yaml:1 name: expected a text, got 5; put it in quotes"),
    (replaced("why: It carries 1,000 users.\n", ""), "x.yaml:1 why: this key is required, and missing"),
    (replaced("why: It carries 1,000 users.", "why: ' '"), "x.yaml:2 why: expected a text, got an empty one"),
    (replaced("probes:", "probs:"), "x.yaml:19 probs: unknown key 'probs'; did you mean probes? (known here: name, why, stack, toxiproxy, proxies, traffic, stages, ladder, faults, probes, budget, abort, questions, targets, blast_radius, steady_state, seed)"),
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
    (replaced("target: front}", "target: front, processes: 0}"), "x.yaml:11 traffic.processes: expected a whole number from 1 to 256, got 0 (or auto)"),
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
    (replaced("toxic: latency", "toxi: latency"), f"x.yaml:17 faults[0]: expected one of the keys {KEYS}, random, got name, toxi, on, latency, during, after, for; did you mean toxic?"),
    (replaced("toxic: latency", "toxic: latency, process: pause"), f"x.yaml:17 faults[0]: expected only one of the keys {KEYS}, random, got toxic and process"),
    (replaced("latency: 200ms", "latency: 200ms, latncy: 200ms"), "x.yaml:17 faults[0].latncy: unknown key 'latncy'; did you mean latency? (known here: toxic, name, on, during, after, for, every, times, irreversible, latency, jitter, stream, toxicity)"),
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
    (replaced("process: pause, on: payment", "process: pause, signal: KILL, on: payment"), "x.yaml:18 faults[1].signal: unknown key 'signal' (known here: process, name, on, during, after, for, every, times, irreversible)"),
    (replaced("process: pause, on: payment", "toxic: latency, latency: 1s, on: db-link").replace("after: 20s", "after: 19s"), "x.yaml:18 faults[1]: the faults slow-db (latency) and freeze (latency) fight over db-link at the same time (let one end before the other begins, or move one to another stage)"),
    (replaced("process: pause, on: payment", "toxic: down, on: db-link").replace("after: 20s", "after: 19s"), "x.yaml:18 faults[1]: the faults slow-db (latency) and freeze (down) fight over db-link at the same time (let one end before the other begins, or move one to another stage)"),
    (replaced("{process: api, every: 1s}", "{proces: api}"), "x.yaml:20 probes[0]: expected one of the keys container, process, prometheus, got proces; did you mean process?"),
    (replaced("{process: api, every: 1s}", "{process: ape}").replace("cpu of api", "cpu of ape"), "x.yaml:20 probes[0].process: no service is called ape; did you mean api? (there are: api, db, payment)"),
    (replaced("series: [db_pool_in_use]", "series: []"), "x.yaml:21 probes[1].series: expected at least one entry, got a list"),
    (replaced("http://{api}/metrics", "http://{ap}/metrics"), "x.yaml:21 probes[1].prometheus: no service or proxy is called ap; did you mean api? (there are: api, db, db-link, front, payment)"),
    (replaced("cpu of api", "cpu of db"), "x.yaml:24 budget[1]: no probe reads cpu of db, only of api"),
    (replaced("cpu of api", "throttled of api"), "x.yaml:24 budget[1]: no probe reads throttled of api; add {container: api} to probes"),
    (replaced("db_pool_in_use < 8", "db_pool_inuse < 8"), "x.yaml:25 budget[2]: unknown metric 'db_pool_inuse'; did you mean db_pool_in_use? (known: p50, p90, p95, p99, p99.9, max, mean, errors, rate, cpu, cpu_cores, memory, memory_bytes, throttled, disk_read_bytes_per_s, disk_write_bytes_per_s, rx_bytes_per_s, tx_bytes_per_s, restarts, oom_kills, rss_bytes, threads, open_files, load1, swap_used_bytes, disk_free, db_pool_in_use, and what a prometheus probe lists in series)"),
    (replaced("in stress", "in stres"), "x.yaml:23 budget[0]: no stage, role or fault is called stres; did you mean stress? (there are: freeze, level-100, level-500, recovery, slow-db, steady, stress, warm, warmup)"),
    (replaced("in stress", "in recovery"), "x.yaml:23 budget[0]: no stage has the role recovery, so the limit would never be looked at"),
    (replaced("errors > 10% for 30s", "errors > 10 for 30s"), "x.yaml:27 abort[0]: expected a percentage such as 0.5%, got '10'"),
    (replaced("budget, breaking_point]", "budgt]"), "x.yaml:28 questions[0]: expected one of the questions budget, breaking_point, got 'budgt'; did you mean budget?"),
    (replaced("budget, breaking_point]", "budget, budget]"), "x.yaml:28 questions[1]: the question budget is asked twice"),
    (replaced("budget, breaking_point]", "{budget: {x: 1}}]"), "x.yaml:28 questions[0].budget.x: unknown key 'x' (known here: none)"),
    (replaced("budget, breaking_point]", "{breaking_point: {limits: {p98: 1s}}}]"), "x.yaml:28 questions[0].breaking_point.limits.p98: unknown key 'p98'; did you mean p99? (known here: errors, p50, p90, p95, p99, p99.9, max, mean)"),
    (replaced("budget, breaking_point]", "{breaking_point: {limits: {errors: 1}}}]"), "x.yaml:28 questions[0].breaking_point.limits.errors: expected a percentage such as 0.5%, got '1'"),
    (replaced("budget, breaking_point]", "{breaking_point: {at_least: 5000}}]"), "x.yaml:28 questions[0].breaking_point.at_least: expected at most 500, the highest level, got 5000"),
    (replaced("users: 500", "users: 100"), "x.yaml:28 questions[1]: breaking_point needs at least two stages of role stress with rising load, got 100, 100 (write ladder: {users: [100, 500, 1000, 5000]} or {rate: [100/s, 200/s]}, or role: stress)"),
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
    ({"traffic": "scenario.py"}, "traffic: expected a mapping with the keys scenario, requests, target, timeout, think, pace, headers, data, login, processes, source_addresses, workers, arrivals, max_users, tags, exclude_tags, got 'scenario.py'"),
    ({"abort": ["p95 < 1s"] * 501}, "abort: expected at most 500 entries, got 501"),
    ({"probes": [{"process": "api"}, {"process": "api"}], "budget": []}, "probes[0]: two probes read the same of api; keep one"),
    ({"probes": [], "budget": ["cpu < 60%"]}, "budget[0]: no probe reads cpu; add {container: NAME} or {process: NAME} to probes"),
    ({"budget": ["memory of host < 1GB"]}, "budget[0]: memory of host is read as a share only; write a percentage"),
    ({"probes": [{"container": "host"}], "budget": []}, "probes[0]: host is the harness's own machine, which is always read; choose another name"),
    ({"probes": [{"process": "api"}, {"process": "db"}], "budget": ["cpu < 60%"]}, "budget[0]: cpu of what? Probes read it of api, db"),
    ({"stages": [{"name": "w", "role": "warmup", "users": 5, "hold": "1s"}], "faults": [], "budget": [], "questions": ["budget"]}, "stages: nothing is measured: expected a stage with a role of steady, stress, recovery"),
    ({"stages": [{"name": "w", "users": 0, "hold": "1s"}], "faults": [], "budget": [], "questions": ["budget"]}, "stages[0]: no measured stage has any load, so there is nothing to judge"),
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
