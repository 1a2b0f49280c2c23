"""Whatever stands in an experiment: an Experiment or BadInput, and nothing is taken for something else."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import BadInput
from harness.loader import from_document
from harness.loader.yaml_lines import Tree
from tests.documents import whole


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
        tree = tree[part]  # type: ignore[index]
    return tree


def rich() -> dict[str, Tree]:
    """The example document with a fault of every way in which one can be written."""
    document = whole()
    faults = document["faults"]
    assert isinstance(faults, list)
    faults += [
        {"name": "blink", "toxic": "down", "on": "front", "during": "level-100", "after": "1s", "for": "1s",
         "every": "9s", "times": 2},
        {"container": "kill", "on": {"service": "cart"}, "mode": "30%", "irreversible": "accepted",
         "during": "level-100"},
        {"container": "pause", "on": {"label": "tier=db"}, "mode": 2, "during": "level-500", "for": "1s"},
        {"name": "chaos", "random": {
            "from": [
                {"toxic": "latency", "on": "front", "latency": "1ms", "for": "1s"},
                {"container": "cpu", "on": {"name": "other-*"}, "cpus": 0.5, "mode": "all", "for": "2s"},
            ],
            "rate": "1/2s", "during": "level-500", "after": "2s", "for": "20s"}},
    ]  # fmt: skip
    return document


def test_the_document_of_these_tests_is_right() -> None:
    """Else everything would be refused for another reason."""
    found = from_document(rich(), base_dir=".")
    assert {fault.group or fault.name for fault in found.faults} == {
        "slow-db", "freeze", "blink", "kill-cart", "pause-tier-db", "chaos",
    }  # fmt: skip


# Mappings whose keys are the user's own: any name is right there, if nothing else names it.
FREE = {("stack", "process"), ("stack", "process", "api", "env"), ("proxies",)}
WORD_PLACES = [
    path
    for path in places(rich())
    if path
    and path[-1] in ("role", "toxic", "process", "container", "during", "target", "upstream", "on", "irreversible")
    and isinstance(at(rich(), path), str)
]
KEY_PLACES = [path for path in places(rich()) if path and isinstance(path[-1], str) and path[:-1] not in FREE]


def misspelt(word: str, draw: Callable[[st.SearchStrategy[int]], int]) -> str:
    """The word with one letter doubled, or dropped."""
    position = draw(st.integers(0, len(word) - 1))
    return word[:position] + word[position] * draw(st.sampled_from([0, 2])) + word[position + 1 :]


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_a_misspelt_key_is_always_refused_with_its_path(data: st.DataObject) -> None:
    """No key is ever silently left out."""
    path = data.draw(st.sampled_from(KEY_PLACES))
    document = rich()
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
    document = rich()
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
    st.sampled_from(["30s", "p95 < 1s", "api", "db", "front", "http://h", "***", "${X}", "level-500", "1%", "{api}",
                     "1/2s", "2/min", "accepted", "one", "all", "30%", "latency", "pause", "chaos", "a=b", "shop-*"]),
)  # fmt: skip
KEYS = st.one_of(st.sampled_from(sorted({str(path[-1]) for path in places(rich()) if path})), st.text(max_size=8))
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


PARTS = [path for path in places(rich()) if len(path) > 2 and path[0] == "faults"]


@settings(deadline=None, max_examples=200)
@given(st.data(), st.integers(0, 2**53))
def test_a_fault_with_anything_in_any_place_is_scheduled_or_bad_input(data: st.DataObject, seed: int) -> None:
    """Every fault that comes out has its own name, ends within its stage, and fights with none."""
    document = rich()
    for _ in range(data.draw(st.integers(1, 2))):
        path = data.draw(st.sampled_from(PARTS))
        try:
            at(document, path[:-1])[path[-1]] = data.draw(st.one_of(LEAVES, TREES))  # type: ignore[index]
        except (TypeError, KeyError, IndexError):
            continue  # what stood there is gone already
    try:
        found = from_document({**document, "seed": seed}, base_dir=".")
    except BadInput as error:
        assert all(problem.path for problem in error.problems)
        return
    names = [fault.name for fault in found.faults]
    assert len(set(names)) == len(names)
    assert all(0 <= f.after_ns < f.after_ns + f.hold_ns <= found.stage(f.stage).hold_ns for f in found.faults)


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_the_example_with_anything_in_any_place_is_an_experiment_or_bad_input(data: st.DataObject) -> None:
    """One place of a right document replaced by anything."""
    document = rich()
    path = data.draw(st.sampled_from([path for path in places(document) if path]))
    parent = at(document, path[:-1])
    parent[path[-1]] = data.draw(TREES)  # type: ignore[index]
    try:
        found = from_document(document, base_dir=".")
    except BadInput as error:
        assert error.problems
        assert str(error)
    else:
        again = from_document(found.document, base_dir=".")
        assert (again.name, again.faults) == (found.name, found.faults)
