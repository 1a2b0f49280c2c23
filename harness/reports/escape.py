"""The door that foreign text passes on its way into a report: endpoint names, error messages, logs.

`clean` makes any text harmless to look at: secrets masked, terminal escapes and control characters gone, nothing that
turns the direction of writing, one line, bounded length. `markdown` then also keeps it from being markup. HTML is
escaped by jinja2, XML by ElementTree, JSON by json; matplotlib draws with `text.parse_math` off.
"""

from __future__ import annotations

import re
import unicodedata

from harness.secrets import mask

LINE_LIMIT = 300

# ECMA-48: CSI ... final byte; OSC ... BEL or ST; other two-character escapes. Unfinished ones end with the text.
_TERMINAL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]?|\x9b[0-?]*[ -/]*[@-~]?|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]?"
)
# Cc control, Cf format (bidi overrides, zero-width), Cs lone surrogates, Co private use, Cn unassigned, line ends.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_SPACE = re.compile(r"\s+")
_MARKDOWN = {char: f"\\{char}" for char in "\\`*_[]|~"} | {"<": "&lt;", ">": "&gt;", "&": "&amp;", "$": "&#36;"}
# Mentions, issue references and bare links are made from the *rendered* text, so only an unseen space breaks them.
_REFERENCE = re.compile(r"@(?=\w)|#(?=\d)|://|www\.", re.IGNORECASE)
_SPLIT, _START = "\ue000", "\ue001"
_BLOCK = re.compile(r"^(?:[-+=#]|\d+(?=[.)](?:\s|$)))")


def clean(text: object, limit: int = LINE_LIMIT) -> str:
    """One harmless line of at most `limit` characters, shortened in the middle."""
    # Long texts are cut before the costly part; what is cut off would not have been shown.
    raw = str(text)
    raw = raw if len(raw) <= 8 * limit + 4096 else raw[: 4 * limit + 2048] + raw[-4 * limit - 2048 :]
    line = _SPACE.sub(" ", _TERMINAL.sub("", mask(raw))).strip()
    line = "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(char) in _UNSEEN else char for char in line)
    return shorten(line, limit)


def shorten(text: str, limit: int) -> str:
    """The text, or its two ends around an ellipsis, in at most `limit` characters: both ends carry meaning."""
    if len(text) <= limit:
        return text
    tail = (limit - 1) // 2
    return text[: limit - 1 - tail] + "…" + text[len(text) - tail :]


def markdown(text: object, limit: int = LINE_LIMIT) -> str:
    """Text for any place in a Markdown line or table cell: no markup, link, mention, maths or HTML survives."""
    # Private-use characters, which clean text never holds, keep places while the rest is escaped.
    line = _REFERENCE.sub(lambda found: f"{found[0][0]}{_SPLIT}{found[0][1:]}", clean(text, limit))
    line = _BLOCK.sub(lambda found: f"{_START}{found[0]}", line)
    line = "".join(_MARKDOWN.get(char, char) for char in line).replace(_SPLIT, "&#8203;")
    return re.sub(f"{_START}(.)", lambda found: f"&#{ord(found[1])};", line)
