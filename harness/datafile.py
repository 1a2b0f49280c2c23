"""Files of data for declared traffic: CSV with a header, or JSON lines, read row by row.

CSV as in RFC 4180, UTF-8 (a byte order mark is fine), blank lines are no rows; every value is a text. JSON lines hold
an object each with at least the keys of the first; values keep their types.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

SUFFIXES = (".csv", ".jsonl", ".ndjson")
_LONGEST_CELL = 1 << 20

Row = dict[str, Any]


class BadData(ValueError):
    """A data file cannot be used. `line` is 0 when it is about the file as a whole."""

    def __init__(self, message: str, *, line: int = 0, hint: str = "") -> None:
        super().__init__(message)
        self.line = line
        self.hint = hint


def columns_of(path: Path) -> tuple[str, ...]:
    """The names of the columns. Raises BadData."""
    return tuple(next(read_rows(path)))


def read_rows(path: Path) -> Iterator[Row]:
    """Every row, at least one. Raises BadData, with the line, for the first thing that is wrong."""
    reader = {".csv": _csv_rows, ".jsonl": _json_rows, ".ndjson": _json_rows}.get(path.suffix.lower())
    if reader is None:
        raise BadData(f"expected a file of {', '.join(SUFFIXES)}, got {path.suffix or 'no suffix'}")
    found = False
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for row in reader(file):
                found = True
                yield row
    except OSError as error:
        raise BadData(f"cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise BadData(f"is not UTF-8: {error.reason} at byte {error.start}", hint="save it as UTF-8") from error
    if not found:
        raise BadData("has no rows", hint="a header and at least one row below it" if path.suffix == ".csv" else "")


def _csv_rows(file: TextIO) -> Iterator[Row]:
    csv.field_size_limit(_LONGEST_CELL)
    reader = csv.reader(file, strict=True)
    header: list[str] = []
    begins = 1
    try:
        for cells in reader:
            line, begins = begins, reader.line_num + 1
            if not cells:
                continue
            if not header:
                header = _header(cells, line)
                continue
            if len(cells) != len(header):
                raise BadData(
                    f"{_count(len(cells), 'value')}, and the header names {len(header)}",
                    line=line,
                    hint="put a value that holds a comma in quotes",
                )
            yield dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise BadData(f"is no CSV: {error}", line=begins) from error


def _header(cells: list[str], line: int) -> list[str]:
    names = [cell.strip() for cell in cells]
    if not all(names):
        raise BadData("a column has no name in the header", line=line, hint="the first line names the columns")
    doubled = next((name for name in names if names.count(name) > 1), None)
    if doubled is not None:
        raise BadData(f"two columns are called {doubled!r}", line=line, hint="the first line names the columns")
    return names


def _json_rows(file: TextIO) -> Iterator[Row]:
    first: Row | None = None
    for line, text in enumerate(file, start=1):
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except (ValueError, RecursionError) as error:
            message = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
            raise BadData(f"is no JSON: {message}", line=line) from error
        if not isinstance(row, dict) or not row:
            raise BadData('expected an object such as {"name": "ann"}', line=line)
        first = row if first is None else first
        missing = next((key for key in first if key not in row), None)
        if missing is not None:
            raise BadData(f"no key {missing!r}, which the first line has", line=line)
        yield row


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
