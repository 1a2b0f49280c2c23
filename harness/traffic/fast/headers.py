"""The headers of an answer, read from its raw head when somebody asks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping


def final_head(raw: bytes) -> bytes:
    """The head of the real answer, interim ones (1xx) skipped; empty when it is not complete yet."""
    start = 0
    while (end := raw.find(b"\r\n\r\n", start)) >= 0:
        if raw[start + 8 : start + 10] != b" 1" or raw[start + 9 : start + 12] == b"101":
            return raw[start:end]
        start = end + 4
    return b""


class Headers(Mapping[str, str]):
    """Header fields by name, in any case; fields that came several times are joined by commas (RFC 9110, 5.3)."""

    __slots__ = ("_fields", "version")

    def __init__(self, head: bytes = b"") -> None:
        lines = head.decode("latin-1").split("\r\n")
        self.version = lines[0][5:8]
        fields: dict[str, list[str]] = {}
        name = ""
        for line in lines[1:]:
            if line[:1] in {" ", "\t"} and name:  # an obsolete folded line goes on with the one before
                fields[name][-1] += " " + line.strip()
                continue
            name, _, value = line.partition(":")
            name = name.strip().lower()
            fields.setdefault(name, []).append(value.strip())
        self._fields = fields

    def __getitem__(self, name: str) -> str:
        return ", ".join(self._fields[name.lower()])

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._fields

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __repr__(self) -> str:
        return repr(dict(self))

    def all(self, name: str) -> list[str]:
        """Each value of a field that may come several times."""
        return list(self._fields.get(name.lower(), ()))

    @property
    def asks_to_close(self) -> bool:
        """Whether the server will close the connection after this answer."""
        return "close" in [word.strip().lower() for word in self.get("connection", "").split(",")]
