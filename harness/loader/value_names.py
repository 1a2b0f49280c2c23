"""Which {{values}} a text may name, and the problem of one that names something else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from harness.declared import BUILT_IN, Value, parts_of, texts_in
from harness.loader.problems import Path, Problems, did_you_mean, path_text

_UNKNOWN = "unknown value {{{{{name}}}}}{near} (known here: {known})"
_MOST_LISTED = 15


class ValueNames:
    """The names that are known at one point of the traffic; `learn` adds one from there on.

    `columns` are those of each data source, None where nobody has looked into its file. `elsewhere` says where a name
    that is not known here is extracted.
    """

    def __init__(
        self, columns: Mapping[str, tuple[str, ...] | None], elsewhere: Mapping[str, str], problems: Problems
    ) -> None:
        self._columns = columns
        self._elsewhere = elsewhere
        self._problems = problems
        self._learned: dict[str, None] = {}
        self._barred: frozenset[str] = frozenset()

    def without(self, sources: Iterable[str]) -> ValueNames:
        """A copy for the login, in which rows of these sources, drawn for each iteration, cannot be used."""
        made = self.beside({})
        made._barred = frozenset(sources)
        return made

    def beside(self, elsewhere: Mapping[str, str]) -> ValueNames:
        """A copy that learns on its own."""
        made = ValueNames(self._columns, {**self._elsewhere, **elsewhere}, self._problems)
        made._learned, made._barred = dict(self._learned), self._barred
        return made

    def learn(self, name: str, place: Path | None = None) -> None:
        """From here on {{name}} is an extracted value. Without a place it was looked at before."""
        if place is not None and (name in BUILT_IN or name in self._columns):
            what = "a built-in value" if name in BUILT_IN else "data"
            self._problems.add(place, f"{name} is {what} already", hint="give it another name")
        self._learned[name] = None

    def check(self, tree: object, place: Path) -> None:
        """A problem for each value in a text, or in any text of a tree, that is not known."""
        for path, text in texts_in(tree):
            try:
                parts = parts_of(text)
            except ValueError as error:
                self._problems.add((*place, *path), str(error))
                continue
            for part in parts:
                if isinstance(part, Value) and (message := self._wrong(part.name)):
                    self._problems.add((*place, *path), message)

    def _wrong(self, name: str) -> str:
        if name in BUILT_IN or name in self._learned:
            return ""
        source, dot, column = name.partition(".")
        if source in self._columns:
            return self._wrong_column(source, column if dot else None)
        if name in self._elsewhere:
            return f"{{{{{name}}}}} is not known here: it is extracted {self._elsewhere[name]}"
        known = (*self._learned, *(f"{each}.COLUMN" for each in self._columns), *BUILT_IN)
        return _UNKNOWN.format(name=name, near=did_you_mean(name, known), known=_listed(known))

    def _wrong_column(self, source: str, column: str | None) -> str:
        known = self._columns[source]
        if source in self._barred:
            return f"a row of {source} is drawn for each iteration, and the login is done once (per: user)"
        if column is None:
            return f"{source} is data: name a column, such as {{{{{source}.{(known or ('name',))[0]}}}}}"
        if known is None or column in known:
            return ""
        return f"the data {source} has no column {column!r}{did_you_mean(column, known)} (there are: {_listed(known)})"


def _listed(names: Iterable[str]) -> str:
    every = list(names)
    return ", ".join(every[:_MOST_LISTED]) + (", ..." if len(every) > _MOST_LISTED else "")


def extracted_in(steps: object, path: Path, words: str) -> dict[str, str]:
    """The names that steps, as written, extract, with where in words; `{}` in the words is the step's path."""
    found: dict[str, str] = {}
    for number, step in enumerate(steps if isinstance(steps, list) else ()):
        extract = step.get("extract") if isinstance(step, Mapping) else None
        for name in extract if isinstance(extract, Mapping) else ():
            found.setdefault(str(name), words.format(path_text((*path, number))))
    return found
