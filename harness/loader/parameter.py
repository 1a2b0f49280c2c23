"""A parameter of a fault: how a person writes it, and what the driver is given."""

from __future__ import annotations

import math
import re
import shlex
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.experiment import Scalar
from harness.loader.problems import did_you_mean, shown
from harness.secrets import MASK, mask_text
from harness.units import NS_PER_MS, NS_PER_US, duration_ns, percent_share, size_bytes

Unit = Literal["duration", "size", "rate", "share", "number", "word", "text", "command", "flag"]

_LONGEST_WRITTEN = 40
_LONGEST_TEXT = 2000
_MOST = 2**53
_WRITTEN_SECOND = "/s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Param:
    """A parameter of a kind. `scale` is what one of the driver's units is: ns of a duration, bytes of a size or rate.

    A parameter that is not required has its default as a person would write it. `required_unless_irreversible` is for
    one that says how to undo: it may be left out only by who writes `irreversible: accepted`. A command comes back as
    one text that `shlex.split` takes apart again. A `whole` number has no fraction; a text with a `pattern` must fit
    it, and `such_as` says so in words (what was recorded without its secrets, ***, fits any).
    """

    name: str
    unit: Unit
    doc: str
    required: bool = False
    required_unless_irreversible: bool = False
    default: str | int | float = ""
    choices: tuple[str, ...] = ()
    scale: int = 1
    minimum: float = 0
    maximum: float = _MOST
    whole: bool = False
    pattern: str = ""
    such_as: str = ""

    def read(self, written: object) -> Scalar:
        """The value in the driver's units. Raises ValueError with what was expected and got."""
        longest = _LONGEST_TEXT if self.unit in ("text", "command") else _LONGEST_WRITTEN
        if isinstance(written, str) and len(written) > longest:
            raise ValueError(f"expected {self.expected()}, got a text of {len(written)} characters")
        if self.unit in _WORDS:
            return self._words(written)
        return self._quantity(written)

    def _words(self, written: object) -> Scalar:
        if self.unit == "word":
            return self._word(written)
        if self.unit == "flag":
            return _flag(written)
        return self._text(written) if self.unit == "text" else _command(written)

    def _quantity(self, written: object) -> Scalar:
        if self.unit == "share":
            return self._bounded(_share(written), written)
        if self.unit == "number":
            number = self._bounded(_number(written), written)
            if self.whole and not number.is_integer():
                raise ValueError(f"expected {self.expected()}, got {written!r}")
            return int(number) if self.whole else number
        base = duration_ns(written) if self.unit == "duration" else self._bytes(written)
        whole, rest = divmod(base, self.scale)
        if rest:
            raise ValueError(f"expected {self.expected()}, got {written!r}")
        return int(self._bounded(whole, written))

    def expected(self) -> str:
        """What may be written, in words: 'a duration in whole milliseconds such as 200ms'."""
        if self.unit == "duration":
            return f"a duration in whole {_SCALE_WORDS[self.scale]} such as {_SCALE_EXAMPLES[self.scale]}"
        if self.unit == "rate":
            return "a rate in whole KB/s such as 100KB/s"
        if self.unit == "word" and self.choices:
            return f"one of {', '.join(self.choices)}"
        if self.such_as:
            return self.such_as
        if self.whole:
            return f"a whole number from {int(self.minimum)} to {int(self.maximum)}"
        return _EXPECTED[self.unit]

    def _word(self, written: object) -> str:
        if self.name == "signal":
            written = _signal_name(written)
        if not isinstance(written, str) or (not written and self.required):
            raise ValueError(f"expected {self.expected()}, got {written!r}")
        if not self.choices:
            return written
        if written not in self.choices:
            raise ValueError(f"expected {self.expected()}, got {written!r}{did_you_mean(written, self.choices)}")
        return written

    def _text(self, written: object) -> str:
        text = str(written) if self.pattern and type(written) is int else _text(written)
        if self.pattern and text and MASK not in text and re.fullmatch(self.pattern, text, re.ASCII) is None:
            raise ValueError(f"expected {self.expected()}, got {mask_text(repr(text))}")
        return text

    def _bytes(self, written: object) -> int:
        if self.unit == "size":
            return size_bytes(written)
        if not isinstance(written, str) or not written.endswith(_WRITTEN_SECOND):
            raise ValueError(f"expected {self.expected()}, got {written!r}")
        return size_bytes(written.removesuffix(_WRITTEN_SECOND).strip())

    def _bounded(self, value: float, written: object) -> float:
        if not self.minimum <= value <= self.maximum:
            word = f"at least {self.minimum}" if value < self.minimum else f"at most {self.maximum}"
            unit = f" {self._driver_unit()}" if self._driver_unit() else ""
            raise ValueError(f"expected {word}{unit}, got {written!r}")
        return value

    def _driver_unit(self) -> str:
        if self.unit == "duration":
            return {NS_PER_MS: "ms", NS_PER_US: "us"}.get(self.scale, "ns")
        return {"size": "bytes", "rate": "KB/s"}.get(self.unit, "")

    def schema(self) -> dict[str, object]:
        """The JSON Schema of what may be written."""
        about: dict[str, object] = {"description": self.doc}
        if not self.required and self.default != "":
            about["default"] = self.default
        if self.unit == "word" and self.name == "signal":
            words = [*self.choices, *(f"SIG{word}" for word in self.choices)]
            about["anyOf"] = [{"type": "string", "enum": words}, {"type": "integer", "minimum": 1, "maximum": 64}]
        elif self.choices:
            about["enum"] = list(self.choices)
        else:
            about.update({"type": "integer"} if self.whole else _SCHEMAS[self.unit])
        if self.unit == "number":
            about["minimum"] = self.minimum
        return about


_SCALE_WORDS = {NS_PER_MS: "milliseconds", NS_PER_US: "microseconds"}
_SCALE_EXAMPLES = {NS_PER_MS: "200ms", NS_PER_US: "500us"}
_EXPECTED = {
    "size": "a size such as 64MB or 512KiB",
    "share": "a share from 0 to 1 or a percentage such as 30%",
    "number": "a number such as 0.5",
    "word": "a word",
    "text": f"a text of at most {_LONGEST_TEXT} characters",
    "command": "a command such as ./flag.sh on, or its words as a list",
    "flag": "true or false",
}
_WORDS = ("word", "text", "command", "flag")
_SCHEMAS: Mapping[str, Mapping[str, object]] = {
    "duration": {"type": "string", "pattern": r"^(\d+(\.\d+)?\s*(ns|us|ms|min|s|m|h)\s*)+$"},
    "size": {"type": "string", "pattern": r"^\d+(\.\d+)?\s*[KkMmGg]?[Ii]?[Bb]$"},
    "rate": {"type": "string", "pattern": r"^\d+(\.\d+)?\s*[KkMmGg]?[Ii]?[Bb]\s*/s$"},
    "share": {
        "anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, {"type": "string", "pattern": r"^\d+(\.\d+)?\s*%$"}]
    },
    "number": {"type": "number"},
    "word": {"type": "string"},
    "text": {"type": "string", "maxLength": _LONGEST_TEXT},
    "command": {
        "anyOf": [
            {"type": "string", "pattern": r"\S", "maxLength": _LONGEST_TEXT},
            {"type": "array", "minItems": 1, "items": {"type": "string"}},
        ]
    },
    "flag": {"type": "boolean"},
}


def _signal_name(written: object) -> object:
    """9, "sigkill" and KILL are KILL; what is no signal stays as it is."""
    if isinstance(written, str):
        return written.upper().removeprefix("SIG")
    try:
        return signal.Signals(written).name.removeprefix("SIG") if type(written) is int else written
    except ValueError:
        return written


def _number(written: object) -> float:
    if isinstance(written, bool) or not isinstance(written, int | float) or not math.isfinite(written):
        raise ValueError(f"expected {_EXPECTED['number']}, got {written!r}")
    return float(written)


def _share(written: object) -> float:
    if isinstance(written, str):
        return percent_share(written)
    if isinstance(written, bool) or not isinstance(written, int | float) or not math.isfinite(written):
        raise ValueError(f"expected {_EXPECTED['share']}, got {written!r}")
    return float(written)


def _flag(written: object) -> bool:
    if not isinstance(written, bool):
        raise ValueError(f"expected {_EXPECTED['flag']}, got {written!r}")
    return written


def _text(written: object) -> str:
    if not isinstance(written, str) or "\0" in written:
        raise ValueError(f"expected {_EXPECTED['text']}, got {written!r}")
    return written


def _command(written: object) -> str:
    """The command as one text: as it was written, or its words as a shell would find them again."""
    if isinstance(written, str):
        try:
            words: Sequence[object] = shlex.split(written)
        except ValueError as error:
            raise ValueError(f"expected {_EXPECTED['command']}, got {written!r}: {error}") from error
    else:
        words = written if isinstance(written, list | tuple) else ()
    plain = [word for word in words if isinstance(word, str) and "\0" not in word]
    if not plain or not plain[0] or len(plain) != len(words):
        raise ValueError(f"expected {_EXPECTED['command']}, got {shown(written)}")
    joined = written if isinstance(written, str) else shlex.join(plain)
    if len(joined) > _LONGEST_TEXT:
        raise ValueError(f"expected a command of at most {_LONGEST_TEXT} characters, got {len(joined)}")
    return joined
