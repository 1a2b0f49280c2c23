"""What requests say: JSON to checked values, and the errors that the API answers with."""

from __future__ import annotations

import json
from collections.abc import Mapping


class ApiError(Exception):
    """An answer other than success: `{"error": message, "status": status}`."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message

    def as_json(self) -> Mapping[str, object]:
        """As the API shows it."""
        return {"error": self.message, "status": self.status}


def bad_body(why: str) -> ApiError:
    """400, in the words of the Go server."""
    return ApiError(400, f"bad request body: {why}")


def parse(body: bytes) -> object:
    """The JSON value of a request."""
    try:
        return json.loads(body)
    except ValueError as error:
        raise bad_body(str(error)) from None


class Words:
    """The members of one JSON object, each asked for with its type; null counts as not given."""

    def __init__(self, value: object) -> None:
        if not isinstance(value, dict):
            raise bad_body(f"expected an object, got {type(value).__name__}")
        self.members: dict[str, object] = value

    def text(self, key: str, default: str) -> str:
        """A string."""
        value = self.members.get(key)
        if value is None:
            return default
        if not isinstance(value, str):
            raise bad_body(f"{key}: expected a string, got {value!r}")
        return value

    def flag(self, key: str, *, default: bool) -> bool:
        """A boolean."""
        value = self.members.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise bad_body(f"{key}: expected true or false, got {value!r}")
        return value

    def whole(self, key: str, default: int) -> int:
        """An integer."""
        value = self.members.get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int):
            raise bad_body(f"{key}: expected a whole number, got {value!r}")
        return value

    def number(self, key: str, default: float) -> float:
        """A number."""
        value = self.members.get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise bad_body(f"{key}: expected a number, got {value!r}")
        return float(value)

    def inner(self, key: str) -> Words:
        """An object; empty when not given."""
        value = self.members.get(key)
        return Words({} if value is None else value)
