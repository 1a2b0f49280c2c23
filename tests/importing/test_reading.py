"""Which files are documents: one clear error for each that is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import BadInput
from harness.importing import read_document, reading
from harness.importing.reading import document_of


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "f: expected an OpenAPI 3 document (JSON or YAML) or a HAR file, got no mapping"),
        (b"[1]", "f: expected an OpenAPI 3 document (JSON or YAML) or a HAR file, got no mapping"),
        (b"{}", "f: expected an OpenAPI 3 document (JSON or YAML) or a HAR file, got a mapping with the keys (none)"),
        (b"a: 1\nb: 2", "got a mapping with the keys a, b"),
        (b'{"log":\n {"entries": [}}', "f:2: not valid JSON: Expecting value"),
        (b"a: [1\nb: 2", "f:2: neither JSON nor YAML: did not find expected ',' or ']'"),
        (b"a: !!python/object:os.system 1", "f:1: neither JSON nor YAML: could not determine a constructor"),
        (b"\x00\x01", "f: neither JSON nor YAML"),
        (b"a: 1\n\xff", "f:2: the file is not UTF-8 text"),
        (b"swagger: '2.0'", "f swagger: OpenAPI 3.0 and 3.1 are read, not Swagger 2.0 (convert it first"),
        (b"openapi: 4.0.0", "f openapi: OpenAPI 3.0 and 3.1 are read, not 4.0.0"),
        (b'{"a": ' + b"[" * 300 + b"]" * 300 + b"}", "f: the document is nested more than 200 deep"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "f: the document is nested more than 200 deep"),
    ],
)
def test_what_is_no_document_is_told_with_its_line(data: bytes, message: str) -> None:
    """Never a traceback."""
    with pytest.raises(BadInput) as caught:
        document_of(data, where="f")
    assert message in str(caught.value)


def test_a_missing_file_and_one_that_is_too_large_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is read."""
    with pytest.raises(BadInput, match="cannot read the document: No such file"):
        read_document(tmp_path / "none.yaml")
    monkeypatch.setattr(reading, "MAX_BYTES", 10)
    (tmp_path / "large.yaml").write_text("openapi: 3.0.0", encoding="utf-8")
    with pytest.raises(BadInput, match="the file has 14 bytes; at most 10 are read"):
        read_document(tmp_path / "large.yaml")


def test_yaml_is_read_as_openapi_means_it() -> None:
    """Dates and `no` are words, keys are texts, aliases hold, also those that are a circle."""
    data = b"openapi: 3.0.0\nday: 2024-01-31\nno: no\n200: &a {x: [1, 2.5, true, null]}\nb: *a\nc: &c [*c]\n"
    tree = document_of(data, where="f").tree
    assert tree["day"] == "2024-01-31"
    assert tree["no"] == "no"
    assert tree["200"] == {"x": [1, 2.5, True, None]}
    assert tree["b"] is tree["200"]
    circle = tree["c"]
    assert isinstance(circle, list)
    assert circle[0] is circle
