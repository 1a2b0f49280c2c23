"""`$ref` within one document (RFC 6901 pointers in a URI fragment), and where it stood when it leads nowhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from harness.importing.calls import JsonValue, wrong

BUNDLE = "make one file of them first: npx @redocly/cli bundle FILE"
MAX_CHAIN = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A value of the document, where it stands (a JSON pointer), and the references that led here."""

    value: JsonValue
    place: str
    through: tuple[str, ...] = ()

    @property
    def mapping(self) -> Mapping[str, JsonValue]:
        """The value, or an empty mapping where the document has something else."""
        return self.value if isinstance(self.value, dict) else {}

    def text(self, key: str) -> str:
        """A text below, or an empty one."""
        value = self.mapping.get(key)
        return value if isinstance(value, str) else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class References:
    """Follows references in the document `root` of the file `where`."""

    where: str
    root: JsonValue

    def at(self, node: Node, *keys: str) -> Node:
        """What is below a node, each reference on the way followed; a missing key is an empty value."""
        for key in keys:
            below = Node(value=node.mapping.get(key), place=f"{node.place}/{_escaped(key)}", through=node.through)
            node = self.followed(below)
        return node

    def items(self, node: Node) -> list[Node]:
        """The entries of a list, or the values of a mapping, followed."""
        if isinstance(node.value, list):
            found = [(str(number), value) for number, value in enumerate(node.value)]
        else:
            found = list(node.mapping.items())
        return [
            self.followed(Node(value=value, place=f"{node.place}/{_escaped(key)}", through=node.through))
            for key, value in found
        ]

    def followed(self, node: Node) -> Node:
        """The node that a reference leads to, or the node itself. Raises BadInput when it leads nowhere."""
        chain = 0
        while isinstance(reference := node.mapping.get("$ref"), str):
            chain += 1
            if chain > MAX_CHAIN:
                raise wrong(self.where, node.place, f"$ref {reference} leads back to itself")
            node = Node(value=self._target(reference, node), place=reference, through=(*node.through, reference))
        return node

    def _target(self, reference: str, node: Node) -> JsonValue:
        if not reference.startswith("#"):
            raise wrong(self.where, node.place, f"$ref {reference} leads out of the document", BUNDLE)
        value = self.root
        for part in unquote(reference[1:]).split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            if isinstance(value, dict) and key in value:
                value = value[key]
            elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
                value = value[int(key)]
            else:
                raise wrong(self.where, node.place, f"$ref {reference} leads nowhere: there is no {part!r}")
        return value


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
