"""Experiment files: what is read from them, filled in and recorded."""

# ruff: noqa: E501 - a message stands on one line, as users see it

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import BadInput
from harness.experiment import ComposeStack, ExternalStack, Fault, ProcessStack, Ready, Stage
from harness.loader import from_document, load
from harness.loader.catalogue import KINDS, Kind, find
from harness.loader.yaml_lines import Tree
from tests.documents import TEXT, built, problems, replaced, whole, write, wrong

S = 1_000_000_000


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with a scenario in it, and an experiment beside it."""
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "checkout.py").write_text("")
    monkeypatch.chdir(tmp_path)
    return tmp_path


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
    document: dict[str, object] = {
        **whole(),
        "faults": [{"gpu": "throttle", "on": "card-1", "cpus": 2, "during": "level-500"}],
    }
    assert from_document(document, base_dir=".", extra_kinds=[theirs]).faults[0].driver == "gpu"
    with pytest.raises(BadInput, match=r"expected one of the keys toxic, container, process, .*, got gpu"):
        from_document(document, base_dir=".")


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
        ("traffic.timeut=5s", "--set traffic.timeut=5s traffic.timeut: unknown key 'timeut'; did you mean timeout? (known here: scenario, requests, target, timeout, think, pace, headers, data, login, processes, source_addresses, workers, arrivals, max_users, tags, exclude_tags)"),
        ("trafic.timeout=5s", "--set trafic.timeout=5s trafic: unknown key 'trafic'; did you mean traffic? (known here: name, why, stack, toxiproxy, proxies, traffic, stages, ladder, faults, probes, budget, abort, questions, targets, blast_radius, steady_state, seed)"),
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


def test_a_reading_is_named_as_its_probe_names_it() -> None:
    """Memory as a size is another reading than memory as a share; the host needs no probe."""
    budget = [
        "memory of api < 200MB",
        "memory of api < 75%",
        "memory of box < 64MiB",
        "cpu of host < 90%",
        "disk_free > 5%",
    ]
    found = built(probes=[{"process": "api"}, {"container": "box"}], budget=budget)
    assert [(limit.metric, limit.of) for limit in found.budget] == [
        ("rss_bytes", "api"), ("memory", "api"), ("memory_bytes", "box"), ("cpu", "host"), ("disk_free", "host"),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.key}-{kind.name}")
def test_every_kind_of_the_catalogue_can_be_written(kind: Kind) -> None:
    """With what it requires, as its own parameters say it should look."""
    examples = {
        "duration": "20ms", "size": "64MB", "rate": "100KB/s", "number": 2, "word": "x", "share": "50%",
        "text": "POST http://127.0.0.1/x", "command": "./x.sh",
    }  # fmt: skip
    params = {
        param.name: examples[param.unit]
        for param in kind.params
        if param.required or param.required_unless_irreversible
    }
    on = "front" if kind.driver == "toxiproxy" else "payment" if kind.driver == "process" else "some-container"
    found = built(faults=[{kind.key: kind.name, "on": on, "during": "level-500", **params}])
    assert (found.faults[0].driver, found.faults[0].kind) == (kind.driver, kind.name)
    expected = {param.name for param in kind.params if param.default != ""} | set(params)
    assert set(found.faults[0].params) == expected
