"""Data files: rows as they are, and the first thing that is wrong with its line."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.datafile import BadData, columns_of, read_rows

CELLS = st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)


def written(folder: Path, name: str, text: str | bytes) -> Path:
    """A file with this content."""
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@settings(deadline=None)
@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=5))
def test_what_a_csv_writer_writes_is_read(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
) -> None:
    """Commas, quotes and line breaks within cells included."""
    path = tmp_path_factory.mktemp("csv") / "x.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([("a", "b"), *rows])
    assert [tuple(row.values()) for row in read_rows(path)] == rows


def test_a_csv_of_a_spreadsheet_is_read(tmp_path: Path) -> None:
    """With a byte order mark, CRLF, blanks in the header and an empty line at the end."""
    path = written(tmp_path, "x.csv", b"\xef\xbb\xbfname, pin\r\nann,1\r\nbob,2\r\n\r\n")
    assert list(read_rows(path)) == [{"name": "ann", "pin": "1"}, {"name": "bob", "pin": "2"}]
    assert columns_of(path) == ("name", "pin")


def test_json_lines_keep_their_types(tmp_path: Path) -> None:
    """Numbers, null and what has an inside; more keys than the first line has do no harm."""
    path = written(tmp_path, "x.jsonl", '{"a": 1, "b": null}\n\n{"a": [2], "b": "x", "c": 0}\n')
    assert list(read_rows(path)) == [{"a": 1, "b": None}, {"a": [2], "b": "x", "c": 0}]


BAD = [
    ("x.csv", "", 0, "has no rows"),
    ("x.csv", "a,b\n", 0, "has no rows"),
    ("x.csv", "a,b\n1,2\n3\n", 3, "1 value, and the header names 2"),
    ("x.csv", "a,b\n1,2,3\n", 2, "3 values, and the header names 2"),
    ("x.csv", 'a,b\n"1\n1",2\n3,4,5\n', 4, "3 values, and the header names 2"),
    ("x.csv", "a,,b\n1,2,3\n", 1, "a column has no name in the header"),
    ("x.csv", "a,a\n1,2\n", 1, "two columns are called 'a'"),
    ("x.csv", 'a,b\n1,"2\n', 2, "is no CSV: unexpected end of data"),
    ("x.csv", b"a,b\n\xff,2\n", 0, "is not UTF-8: invalid start byte at byte 4"),
    ("x.jsonl", '{"a": 1}\n{"a": }\n', 2, "is no JSON: Expecting value"),
    ("x.jsonl", '{"a": 1}\n[1]\n', 2, 'expected an object such as {"name": "ann"}'),
    ("x.ndjson", '{"a": 1}\n{"b": 1}\n', 2, "no key 'a', which the first line has"),
    ("x.jsonl", "\n", 0, "has no rows"),
    ("x.xlsx", "a", 0, "expected a file of .csv, .jsonl, .ndjson, got .xlsx"),
]


@pytest.mark.parametrize(("name", "text", "line", "message"), BAD, ids=[f"{one[0]} {one[3]}" for one in BAD])
def test_a_damaged_file_is_refused_by_line(
    tmp_path: Path, name: str, text: str | bytes, line: int, message: str
) -> None:
    """Wherever the damage is: every row is read."""
    with pytest.raises(BadData) as caught:
        list(read_rows(written(tmp_path, name, text)))
    assert (str(caught.value), caught.value.line) == (message, line)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """With the system's own word."""
    with pytest.raises(BadData, match="cannot be read: No such file"):
        columns_of(tmp_path / "x.csv")
