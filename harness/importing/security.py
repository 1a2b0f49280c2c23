"""What an operation asks as proof of who calls: headers with a place for the secret, never the secret."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from harness.importing.calls import CREDENTIALS
from harness.importing.references import Node, References

MAX_COLUMN = 50


@dataclass(slots=True, kw_only=True)
class Proof:
    """Headers, query and cookies that carry credentials; `columns` is column of the file to what to fill in."""

    headers: dict[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)
    cookies: dict[str, str] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)


def column(name: str) -> str:
    """A name that may stand in a template and at the top of a CSV file."""
    plain = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_")
    return (plain if plain and not plain[0].isdigit() else f"c_{plain}".rstrip("_"))[:MAX_COLUMN]


def slot(name: str) -> str:
    """The template of a column of the credentials file."""
    return "{{" + f"{CREDENTIALS}.{name}" + "}}"


def proof_of(references: References, root: Node, operation: Node) -> Proof:
    """What the first alternative of the operation's `security` (else the document's) asks for."""
    proof = Proof()
    said = operation if "security" in operation.mapping else root
    alternatives = references.items(references.at(said, "security"))
    if not alternatives or any(not one.mapping for one in alternatives):
        return proof
    for name in alternatives[0].mapping:
        _add(proof, name, references.at(root, "components", "securitySchemes", name))
    return proof


def _add(proof: Proof, name: str, scheme: Node) -> None:
    into = column(name)
    kind, where, key = scheme.text("type"), scheme.text("in"), scheme.text("name")
    if kind == "apiKey" and where == "query":
        proof.query[key] = slot(into)
        proof.columns[into] = f"the API key of the query parameter {key}"
    elif kind == "apiKey" and where == "cookie":
        proof.cookies[key] = slot(into)
        proof.columns[into] = f"the value of the cookie {key}"
    elif kind == "apiKey":
        proof.headers[key] = slot(into)
        proof.columns[into] = f"the API key of the header {key}"
    elif kind == "http" and scheme.text("scheme").lower() == "basic":
        proof.headers["Authorization"] = f"Basic {slot(into)}"
        proof.columns[into] = "base64 of user:password (printf '%s' user:password | base64)"
    else:
        proof.headers["Authorization"] = f"Bearer {slot(into)}"
        proof.columns[into] = f"a bearer token ({kind or 'of an unknown scheme'})"
