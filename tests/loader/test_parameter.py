"""Parameters that are words: free texts, commands, flags, and those that say how to undo."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from harness.errors import BadInput
from harness.experiment import Fault
from harness.loader import from_document, schema
from harness.loader.catalogue import Kind, find
from harness.loader.parameter import Param, Unit
from harness.loader.yaml_lines import Tree
from tests.documents import built, whole, wrong


def param(unit: Unit) -> Param:
    """A parameter of that unit."""
    return Param(name="x", unit=unit, doc="what it is")


@pytest.mark.parametrize(
    ("unit", "written", "normal"),
    [
        ("text", "any: thing, {} of 'mine'\nand more", "any: thing, {} of 'mine'\nand more"),
        ("text", "", ""),
        ("text", "x" * 2000, "x" * 2000),
        ("command", "flag.sh --to  'two words'", "flag.sh --to  'two words'"),
        ("command", "flag.sh | grep on", "flag.sh | grep on"),
        ("command", ["flag.sh", "--to", "two words"], "flag.sh --to 'two words'"),
        ("command", ["say", ""], "say ''"),
        ("flag", True, True),
        ("flag", False, False),
    ],
)
def test_what_may_be_written(unit: Unit, written: object, normal: object) -> None:
    """A command comes back as one text; what was one text stays as it is, since a shell may be asked to read it."""
    assert param(unit).read(written) == normal


COMMAND = "expected a command such as ./flag.sh on, or its words as a list, got "


@pytest.mark.parametrize(
    ("unit", "written", "message"),
    [
        ("text", 5, "expected a text of at most 2000 characters, got 5"),
        ("text", "x" * 2001, "expected a text of at most 2000 characters, got a text of 2001 characters"),
        ("text", "a\0b", "expected a text of at most 2000 characters, got 'a\\x00b'"),
        ("command", "", COMMAND + "''"),
        ("command", "  ", COMMAND + "'  '"),
        ("command", [], COMMAND + "a list"),
        ("command", ["", "x"], COMMAND + "a list"),
        ("command", ["x", 5], COMMAND + "a list"),
        ("command", ["x\0"], COMMAND + "a list"),
        ("command", {"x": "y"}, COMMAND + "a mapping"),
        ("command", "say 'it", COMMAND + '"say \'it": No closing quotation'),
        ("command", ["x" * 1500, "y" * 1500], "expected a command of at most 2000 characters, got 3001"),
        ("flag", "true", "expected true or false, got 'true'"),
        ("flag", 1, "expected true or false, got 1"),
    ],
)
def test_what_is_refused(unit: Unit, written: object, message: str) -> None:
    """With what was expected."""
    with pytest.raises(ValueError, match="expected") as caught:
        param(unit).read(written)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("key", "written", "message"),
    [
        ("inject", "PSOT http://h/x", "a method and a URL such as POST http://127.0.0.1:8080/flags/x"),
        ("heal", "http://h/x", "a method and a URL"),
        ("confirm", "GET h:80/x", "a method and a URL"),
        ("confirm", "GET http:///x", "a method and a URL"),
        ("expect", "2xx", "statuses such as 204 or 200-299,404, got '2xx'"),
        ("expect", 999, "statuses such as 204 or 200-299,404, got '999'"),
        ("headers", "Accept json", "`Name: value` on each line"),
        ("heal", "POST http://{apy}/x", "no service or proxy is called apy; did you mean api?"),
    ],
)
def test_a_call_that_cannot_be_made_is_refused_where_it_is_written(key: str, written: object, message: str) -> None:
    """Before any run: the driver would refuse it too, once the stack is up."""
    call = {"inject": "POST http://{api}/x", "heal": "DELETE http://h/x", key: written}
    (said,) = wrong(faults=[{"http": "call", "on": "api", "during": "level-500", **call}])
    assert said.startswith(f"faults[0].{key}: ")
    assert message in said


@pytest.mark.parametrize(
    ("key", "written"),
    [
        ("inject", "PUT http://h:80/x?y=1#z"),
        ("inject", "POST {api}/flags"),
        ("inject", "POST http://***/x"),
        ("confirm", "HEAD https://[::1]:80"),
        ("headers", "A: b\nX-Y:c\n"),
        ("expect", 204),
        ("expect", "200-299, 404"),
    ],
)
def test_a_call_may_be_written_so(key: str, written: object) -> None:
    """A status alone is no text in YAML; what was masked in a record is taken as it is."""
    call = {"inject": "POST http://{api}/x", "heal": "DELETE http://h/x", key: written}
    (found,) = built(faults=[{"http": "call", "on": "api", "during": "level-500", **call}]).faults
    assert found.params[key] == str(written)


@pytest.mark.parametrize(("written", "whole_number"), [(2, 2), (2.0, 2), (2.5, None), (65, None)])
def test_whole_numbers_are_whole_where_they_are_written(written: float, whole_number: int | None) -> None:
    """Half a worker is refused by `check`, not by the driver of a run."""
    workers = find("process", "stress-cpu").params[0]
    if whole_number is None:
        with pytest.raises(ValueError, match=r"expected (a whole number from 1 to 64|at most 64)"):
            workers.read(written)
    else:
        assert workers.read(written) == whole_number


@given(st.lists(st.text(st.characters(exclude_characters="\0"), max_size=20), min_size=1, max_size=8))
def test_a_command_is_the_same_words_again(words: list[str]) -> None:
    """Whatever the words hold."""
    if words[0]:
        assert shlex.split(str(param("command").read(words))) == words


def flagged() -> Kind:
    """A kind of somebody else's, whose undo is a parameter."""
    ours = find("container", "pause")
    assert ours is not None
    heal = Param(name="heal", unit="command", doc="takes it back", required_unless_irreversible=True)
    return replace(ours, driver="flags", name="run", params=(heal, Param(name="quiet", unit="flag", doc="q")))


def loaded(kind: Kind, **keys: object) -> Fault:
    """The one fault of that kind in the example document."""
    fault = {kind.key: kind.name, "on": "api", "during": "level-500", **keys}
    return from_document({**whole(), "faults": [fault]}, base_dir=".", extra_kinds=[kind]).faults[0]


def test_an_undo_may_be_left_out_only_where_that_is_accepted() -> None:
    """A fault whose undo is not known is refused."""
    kind = flagged()
    assert loaded(kind, heal=["a", "b c"], quiet=True).params == {"heal": "a 'b c'", "quiet": True}
    assert not loaded(kind, heal="a").irreversible
    taken = loaded(kind, irreversible="accepted")
    assert (taken.irreversible, taken.params) == (True, {})
    with pytest.raises(BadInput, match=r"faults\[0\].heal: this key is required, and missing \(a command such as"):
        loaded(kind)


def test_a_kind_without_an_undo_must_be_accepted() -> None:
    """Nothing brings its data back."""
    kind = replace(flagged(), params=(), undo="")
    assert loaded(kind, irreversible="accepted").irreversible
    with pytest.raises(BadInput, match=r"faults\[0\]: nothing takes run back \(write irreversible: accepted"):
        loaded(kind)


@pytest.mark.parametrize("written", [True, "yes", "Accepted", "", None, 1])
def test_irreversible_is_accepted_in_that_word_only(written: object) -> None:
    """`true` might be a slip."""
    with pytest.raises(BadInput, match=r"faults\[0\].irreversible: expected accepted, for a fault that nothing takes"):
        loaded(flagged(), irreversible=written)


def test_the_schema_knows_that_an_undo_may_be_left_out() -> None:
    """With `irreversible: accepted`, and only so."""
    kind = flagged()
    validator = Draft202012Validator(schema([kind]))
    fault: dict[str, Tree] = {"flags": "run", "on": "api", "during": "level-500"}
    for more, right in (
        ({}, False),
        ({"irreversible": "accepted"}, True),
        ({"heal": ["x"]}, True),
        ({"heal": 5}, False),
    ):
        document: dict[str, object] = {**whole(), "faults": [{**fault, **more}]}
        assert validator.is_valid(document) is right
