"""Hides secrets in whatever leaves the process: journals, reports, messages. Masking twice changes nothing more."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import TypeVar, cast

MASK = "***"
_WORDS = r"passw(?:or)?d|passphrase|secret|token|authorization|api[_-]?key|access[_-]?key|private[_-]?key|credential"
_SECRET_NAME = re.compile(_WORDS, re.IGNORECASE)
_URL_PASSWORD = re.compile(r"([a-z][a-z0-9+.-]*://[^\s/:@?#\"']*:)[^\s/?#\"']*(@)", re.IGNORECASE)
_HEADER = re.compile(
    r"(authorization[\"']?\s*[:=]\s*[\"']?)(?:(?:bearer|basic|digest|token)\s+)?[^\s\"',;]+", re.IGNORECASE
)
_ASSIGNED = re.compile(
    rf"((?:{_WORDS})[\w-]*[\"']?\s*(?:=|:(?=\s*[\"'])|:\s)\s*[\"']?)(?![\s\[{{<$])[^\s\"'&,;)}}<>]+", re.IGNORECASE
)
_FLAG = re.compile(rf"(--[\w-]*(?:{_WORDS})[\w-]*\s+)(?![-\[{{<$])[^\s\"']+", re.IGNORECASE)

# A placeholder is no secret: `?token=[id]` in an endpoint, `password={db}` in a command.
# Mappings whose keys are names of services, not of settings: a service called token-issuer is no secret.
_NAMES = frozenset({"external", "ready"})
_SHORTEST_VALUE = 6
_remembered: set[str] = set()

Tree = TypeVar("Tree")


def is_secret_name(name: str) -> bool:
    """Whether a key, header or environment variable of this name holds a secret."""
    return _SECRET_NAME.search(name) is not None


def remember(value: str) -> None:
    """A secret of this process's own: from now on it is masked wherever it stands."""
    if len(value) >= _SHORTEST_VALUE:
        _remembered.add(value)


def mask_text(text: str) -> str:
    """The text with passwords in URLs, Authorization headers and `password=...` replaced by ***."""
    for value in _remembered:
        text = text.replace(value, MASK)
    text = _URL_PASSWORD.sub(rf"\g<1>{MASK}\g<2>", text)
    text = _HEADER.sub(rf"\g<1>{MASK}", text)
    text = _ASSIGNED.sub(rf"\g<1>{MASK}", text)
    return _FLAG.sub(rf"\g<1>{MASK}", text)


def mask(tree: Tree) -> Tree:
    """A text, or a tree of mappings and lists, of the same shape with every secret masked."""
    return cast("Tree", _mask(tree, keys_are_names=False))


def hide(tree: Tree) -> Tree:
    """As `mask`, and the values of environment variables that are named like secrets are masked wherever they stand."""
    values = sorted((value for name, value in os.environ.items() if _tells(name, value)), key=len, reverse=True)

    def without(text: str) -> str:
        for value in values:
            text = text.replace(value, MASK)
        return text

    return mask(cast("Tree", _each_text(tree, without)))


def _tells(name: str, value: str) -> bool:
    return len(value) >= _SHORTEST_VALUE and is_secret_name(name)


def _each_text(tree: object, change: Callable[[str], str]) -> object:
    if isinstance(tree, str):
        return change(tree)
    if isinstance(tree, Mapping):
        return {key: _each_text(value, change) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(_each_text(item, change) for item in tree)
    return tree


def _mask(tree: object, *, keys_are_names: bool) -> object:
    if isinstance(tree, str):
        return mask_text(tree)
    if isinstance(tree, Mapping):
        return {key: _mask_entry(key, value, keys_are_names=keys_are_names) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(_mask(item, keys_are_names=False) for item in tree)
    return tree


def _mask_entry(key: object, value: object, *, keys_are_names: bool) -> object:
    if isinstance(key, str) and not keys_are_names and is_secret_name(key):
        if isinstance(value, list | tuple):
            return type(value)(MASK if _is_leaf(item) else _mask(item, keys_are_names=False) for item in value)
        if _is_leaf(value):
            return MASK
    return _mask(value, keys_are_names=isinstance(key, str) and not keys_are_names and key in _NAMES)


def _is_leaf(value: object) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool) and value != ""
