"""`harness init --from`: what is written loads, plans, holds no secret and overwrites nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.declared import Send, Value, parts_of
from harness.errors import BadInput
from harness.experiment import Experiment, ExternalStack
from harness.importing import Body, Call, Imported, Request, Wait, experiment_text
from harness.importing.experiment_text import flow
from harness.loader import load
from harness.loader.yaml_lines import parse
from harness.plan import plan
from harness.starter import write_imported

DOCUMENTS = Path(__file__).parent / "documents"
AWKWARD = (
    "1e5",
    "no",
    "null",
    "2024-01-31",
    "a: b # c",
    "'\"\\",
    "ä\u2028\x85\x7f\t\n",
    "😀",
    "",
    " x ",
    "- [",
    "${X}",
    "***",
)


def written(source: Path, folder: Path, **options: Any) -> tuple[Experiment, tuple[str, ...]]:
    """The experiment that comes of a document, read again, and what the user was told."""
    terms = {"name": "", "all_methods": False, "host": "", "assets": False, **options}
    lines = write_imported(source, folder, **terms)
    (file,) = (folder / "experiments").glob("*.yaml")
    return load(file), lines


@pytest.mark.parametrize("document", ["petstore.yaml", "cycles.json", "shop.har"])
@pytest.mark.parametrize("everything", [False, True])
def test_what_is_written_loads_and_plans(document: str, everything: bool, tmp_path: Path) -> None:
    """Every document here, with and without the option that takes in more."""
    more = {"assets": everything} if document.endswith(".har") else {"all_methods": everything}
    experiment, lines = written(DOCUMENTS / document, tmp_path, **more)
    assert plan(experiment).steps
    assert experiment.name == document.partition(".")[0]
    assert experiment.traffic.declared is not None
    assert f"next: harness check {tmp_path}/experiments/{experiment.name}.yaml" in "\n".join(lines)
    assert lines[-1].startswith("then: harness run ")


def test_the_calls_that_are_read_again_are_those_of_the_document(tmp_path: Path) -> None:
    """Method, path, headers, body and expected status of the pet store, through the experiment file."""
    experiment, lines = written(DOCUMENTS / "petstore.yaml", tmp_path, all_methods=True, address="127.0.0.1:8080")
    assert experiment.stack == ExternalStack(addresses={"api": "http://127.0.0.1:8080"})
    assert experiment.traffic.declared is not None
    sends = {one.name: one.steps[0] for one in experiment.traffic.declared.activities}
    pet = sends["createPet"]
    assert isinstance(pet, Send)
    assert (pet.method, pet.url, pet.expect.statuses) == ("POST", "/v1/pets", ((201, 201),))
    assert dict(pet.headers) == {"X-Tenant": "blue", "Authorization": "Bearer {{credentials.bearer}}"}
    assert pet.content == {
        "name": "textxx",
        "kind": "cat",
        "age": 0.75,
        "owner": {"email": "someone@example.com"},
        "children": [],
        "shots": ["2024-01-31T12:00:00Z", "2024-01-31T12:00:00Z"],
    }
    assert (tmp_path / "experiments/petstore.credentials.csv").read_text() == "bearer,key\nchange-me,change-me\n"
    assert lines[0].endswith("petstore.yaml   5 requests, 5 calls, for http://127.0.0.1:8080")
    assert "left out: putPhoto: its body (image/png) cannot be written here" in lines


def test_what_is_off_stands_as_a_comment_that_can_be_switched_on(tmp_path: Path) -> None:
    """Without its `# `, a request that was left out is read like the others."""
    before, _ = written(DOCUMENTS / "petstore.yaml", tmp_path)
    file = tmp_path / "experiments/petstore.yaml"
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    start = next(number for number, line in enumerate(lines) if '# - name: "login"' in line)
    lines[start : start + 5] = [line.replace("    # ", "    ", 1) for line in lines[start : start + 5]]
    file.write_text("".join(lines), encoding="utf-8")
    assert before.traffic.declared
    after = load(file).traffic.declared
    assert after
    assert [one.name for one in before.traffic.declared.activities] == ["listPets", "getPet"]
    assert [one.name for one in after.activities] == ["listPets", "getPet", "login"]


def test_a_public_host_is_named_in_the_next_command(tmp_path: Path) -> None:
    """Nobody's to load without a word."""
    _, lines = written(DOCUMENTS / "petstore.yaml", tmp_path)
    assert "petstore.yaml --i-own eu.pets.example.com   shows the timeline" in lines[-2]


def test_nothing_is_overwritten_and_nothing_half_written(tmp_path: Path) -> None:
    """Neither the experiment nor the credentials that somebody filled in."""
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments/shop.credentials.csv").write_text("mine", encoding="utf-8")
    with pytest.raises(BadInput, match=r"shop\.credentials\.csv: is there already"):
        written(DOCUMENTS / "shop.har", tmp_path)
    assert [file.name for file in (tmp_path / "experiments").iterdir()] == ["shop.credentials.csv"]


@pytest.mark.parametrize(
    ("document", "options", "message"),
    [
        ("shop.har", {"all_methods": True}, "--all-methods is for an OpenAPI document, and this is none"),
        ("petstore.yaml", {"host": "x"}, "--host is for a HAR file, and this is none"),
        ("petstore.yaml", {"assets": True}, "--assets is for a HAR file, and this is none"),
        ("petstore.yaml", {"name": "a b"}, "--name a b: expected letters"),
        ("petstore.yaml", {"address": "ftp://x"}, "ftp://x: expected an address"),
        ("shop.har", {"address": "http://x/y"}, "http://x/y: expected an address without a path"),
        ("none.yaml", {}, "cannot read the document: No such file"),
    ],
)
def test_an_option_that_does_not_fit_is_refused(document: str, options: Any, message: str, tmp_path: Path) -> None:
    """Nothing is ignored silently, and nothing is written."""
    with pytest.raises(BadInput, match=message):
        written(DOCUMENTS / document, tmp_path, **options)
    assert not list(tmp_path.iterdir())


def test_a_document_that_is_too_much_for_an_experiment_loses_its_comments_then_is_refused(tmp_path: Path) -> None:
    """Operations that are off are many in a large API."""
    paths: dict[str, Any] = {f"/{n}": {"get": {}, "post": {"summary": "x" * 190}} for n in range(800)}
    source = tmp_path / "large.json"
    source.write_text(json.dumps({"openapi": "3.0.0", "paths": paths}), encoding="utf-8")
    experiment, lines = written(source, tmp_path)
    assert experiment.traffic.declared
    assert len(experiment.traffic.declared.activities) == 800
    assert "# - name" not in (tmp_path / "experiments/large.yaml").read_text(encoding="utf-8")
    assert any("and 792 more: it may change something" in line for line in lines)
    paths |= {f"/{'y' * 200}{n}": {"get": {}} for n in range(800)}
    source.write_text(json.dumps({"openapi": "3.0.0", "paths": paths}), encoding="utf-8")
    with pytest.raises(BadInput, match="bytes of experiment would come of it; one has at most"):
        written(source, tmp_path / "again")


def test_a_text_is_read_again_as_it_was() -> None:
    """Words that YAML would take for something else, quotes, line separators, what is not in the BMP."""
    tree = {"list": list(AWKWARD), **{f"{text}.": text for text in AWKWARD}, "true": 1.5, "n": None, "f": 1e30}
    assert parse(f"a: {flow(tree)}\n".encode(), where="f").value == {"a": tree}
    assert yaml.safe_load(flow("half \ud800 pair")) == "half \ufffd pair"


def test_a_comment_cannot_break_out() -> None:
    """Texts of a document on one line, whatever they hold."""
    call = Call(method="GET", path="/", remarks=("a\nname: evil\u2028x: y\x85z: 1",))
    request = Request(name="n", steps=(call,), off="b\r\nname: evil")
    other = Request(name="m", steps=(call, Wait(wait_ns=1_500_000_000), call))
    imported = Imported(what="w\nx: 1", address="http://h", requests=(request, other), notes=("c\nname: evil",))
    tree = parse(experiment_text(imported, name="n", file="f", source="s", credentials="c").encode(), where="f").value
    assert isinstance(tree, dict)
    assert set(tree) == {"name", "why", "stack", "traffic", "stages", "budget", "abort", "questions"}
    assert tree["name"] == "n"
    traffic = tree["traffic"]
    assert isinstance(traffic, dict)
    step = {"get": "/", "expect": {"status": "2xx"}}
    assert traffic["requests"] == [{"name": "m", "weight": 1, "steps": [step, {"wait": "1.5s"}, step]}]


def test_headers_that_all_calls_share_are_said_once() -> None:
    """But a Content-Type, which goes with its body."""
    headers = {"X-A": "1", "Content-Type": "text/plain"}
    body = Body(kind="body", value="b")
    steps = tuple(Call(method="POST", path=f"/{n}", headers={**headers, "X-N": n}, body=body) for n in "ab")
    imported = Imported(what="w", address="https://h", requests=(Request(name="r", steps=steps),))
    tree: Any = parse(
        experiment_text(imported, name="n", file="f", source="s", credentials="c").encode(), where="f"
    ).value
    assert tree["traffic"]["headers"] == {"X-A": "1"}
    assert tree["traffic"]["requests"][0]["steps"][1]["headers"] == {"Content-Type": "text/plain", "X-N": "b"}


def test_braces_of_the_document_are_none_of_ours(tmp_path: Path) -> None:
    """A text with {{ is sent as it is; only our own templates are filled in."""
    experiment, _ = written(DOCUMENTS / "shop.har", tmp_path)
    assert experiment.traffic.declared
    order = next(step for step in experiment.traffic.declared.activities[0].sends if step.url == "/api/orders")
    content: Any = order.content
    assert parts_of(content["note"]) == ("{{", "x}}")
    assert parts_of(dict(order.headers)["Authorization"]) == ("Bearer ", Value("access_token"))
