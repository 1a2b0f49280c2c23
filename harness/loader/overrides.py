"""Changes to an experiment before it is judged valid: `--set path=value`, and ${VAR} from the environment."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.errors import BadInput, Problem
from harness.loader.problems import Path, Problems, path_text
from harness.loader.yaml_lines import Tree, parse
from harness.secrets import MASK, is_secret_name, mask_text

# Where ${VAR} is replaced: what differs between machines. A `why` or a limit is the same everywhere.
SUBSTITUTED = ("stack", "toxiproxy", "proxies", "faults", "probes")

_PART = re.compile(r"([^.\[\]]+)|\[(\d{1,6})\]")
_PATH = re.compile(r"[^.\[\]=]+(?:\.[^.\[\]=]+|\[\d{1,6}\])*")
_VARIABLE = re.compile(r"\$(?:\$\{|\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}|\{([^}]*)\}?)")


def apply_overrides(document: dict[str, Tree], overrides: Sequence[str], problems: Problems) -> None:
    """Set values in place, from `stages[0].users=50` and the like; the last one on a path wins.

    What cannot be set becomes a problem whose place is that --set.
    """
    for text in overrides:
        where = mask_text(f"--set {text}")
        written, equals, value = text.partition("=")
        if not equals or _PATH.fullmatch(written) is None:
            problems.found.append(
                Problem(where=where, path="", message="expected path=value such as stages[0].users=50")
            )
            continue
        try:
            parsed = parse(value.encode() or b"''", where=where).value
        except BadInput as error:
            problems.found.extend(error.problems)
            continue
        path = tuple(key if key else int(number) for key, number in _PART.findall(written))
        _mark(path, where, problems)
        _set(document, path, parsed, problems)


def _mark(path: Path, where: str, problems: Problems) -> None:
    """From here on, what is wrong at or below `path` was said by this --set."""
    for inner in [each for each in problems.overridden if each[: len(path)] == path]:
        del problems.overridden[inner]
    problems.overridden[path] = where
    problems.lines = {each: line for each, line in problems.lines.items() if each[: len(path)] != path}


def _set(document: dict[str, Tree], path: Path, value: Tree, problems: Problems) -> None:
    at: Tree = document
    for depth, part in enumerate(path):
        last = depth == len(path) - 1
        if isinstance(at, dict) and isinstance(part, str):
            if last:
                at[part] = value
            elif at.get(part) is None:
                at[part] = {}  # an unknown key is refused later, with its neighbours
                problems.overridden[path[: depth + 1]] = problems.overridden[path]
            at = at[part]
        elif isinstance(at, list) and isinstance(part, int) and part < len(at):
            if last:
                at[part] = value
            at = at[part]
        else:
            problems.add(path, f"there is no {path_text(path[: depth + 1])} to set{_what_is(at)}")
            return


def _what_is(at: Tree) -> str:
    if isinstance(at, list):
        return f": it is a list of {len(at)}, from [0]"
    if isinstance(at, dict):
        return f": it is a mapping with the keys {', '.join(at) or '(none)'}"
    return ": it is no list and no mapping"


@dataclass(frozen=True, slots=True, kw_only=True)
class Environ:
    """Environment variables; with `hide`, those that are named like secrets read as ***: for what is recorded."""

    variables: Mapping[str, str]
    hide: bool = False

    def get(self, name: str, default: str | None) -> str | None:
        """The value; an unset or empty variable takes the default, when there is one."""
        value = self.variables.get(name)
        found = default if default is not None and not value else value
        return MASK if self.hide and found is not None and is_secret_name(name) else found


def substitute(document: Mapping[str, Tree], environ: Environ, problems: Problems) -> dict[str, Tree]:
    """The document with ${VAR} and ${VAR:-default} replaced in the sections that may differ between machines."""
    return {
        key: _substitute(value, environ, (key,), problems) if key in SUBSTITUTED else value
        for key, value in document.items()
    }


def _substitute(value: Tree, environ: Environ, path: Path, problems: Problems) -> Tree:
    if isinstance(value, dict):
        return {key: _substitute(item, environ, (*path, key), problems) for key, item in value.items()}
    if isinstance(value, list):
        return [_substitute(item, environ, (*path, number), problems) for number, item in enumerate(value)]
    if not isinstance(value, str) or "${" not in value:
        return value

    def replaced(match: re.Match[str]) -> str:
        name, default, malformed = match.groups()
        if match[0] == "$${":
            return "${"
        if name is None:
            message = f"expected ${{NAME}} or ${{NAME:-default}}, got ${{{malformed}}}"
            problems.add(path, message, hint="write $${ for a plain ${")
            return ""
        found = environ.get(name, default)
        if found is None:
            hint = f"set it, or write ${{{name}:-default}}"
            problems.add(path, f"the environment variable {name} is not set", hint=hint)
            return ""
        return found

    return _VARIABLE.sub(replaced, value)
