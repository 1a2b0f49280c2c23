"""Foreign text is harmless after it passed the door."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from harness.reports.escape import clean, markdown, shorten
from tests.reports.samples import HOSTILE, SECRET

ANYTHING = st.text(alphabet=st.characters(), max_size=200) | st.text(
    alphabet="<>|`*_[]()!#&$~\\@:/.-+=1a \x1b[31m\n", max_size=80
)


@given(ANYTHING)
def test_clean_text_is_one_visible_line(text: str) -> None:
    """No control, format or surrogate character and no line break survives, and the length is bounded."""
    line = clean(text, 50)
    assert len(line) <= 50
    assert not [char for char in line if unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"}]
    line.encode("utf-8")


def test_terminal_escapes_are_dropped_whole() -> None:
    """Colours, titles and unfinished sequences leave nothing behind."""
    assert clean("a\x1b[31;1mb\x1b[0mc\x1b]0;title\x07d\x1b(Be\x9b2Jf\x1b[") == "abcdef"


def test_direction_overrides_do_not_turn_text() -> None:
    """A right-to-left override cannot disguise a file name."""
    assert "\u202e" not in clean("evil\u202egnp.exe")


def test_secrets_are_masked() -> None:
    """A password in a URL does not reach a report."""
    assert "hunter2" not in clean(f"cannot connect to {SECRET}")


def test_long_text_keeps_both_ends() -> None:
    """Shortening happens in the middle: both ends tell names apart."""
    assert shorten("abcdefghij", 5) == "ab…ij"
    assert clean("start" + "x" * 1_000_000 + "stop", 20) == "startxxxxx…xxxxxstop"


@given(ANYTHING)
def test_markdown_renders_as_the_plain_text(text: str) -> None:
    """In a table cell, escaped text is text: no markup, no HTML, no further cell."""
    rendered = MarkdownIt("gfm-like", {"linkify": False}).render(f"| a | b |\n| - | - |\n| {markdown(text)} | z |\n")
    cells = re.findall(r"<td>(.*?)</td>", rendered, re.DOTALL)
    assert len(cells) == 2
    assert "<" not in cells[0]
    shown = cells[0].replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"').replace("&amp;", "&")
    assert shown.replace("\u200b", "") == clean(text)


@pytest.mark.parametrize("text", ["- a", "+ a", "# a", "1. a", "12) a", "=== a", "--- a"])
def test_markdown_at_the_start_of_a_line_makes_no_block(text: str) -> None:
    """A message that starts like a list, a heading or a rule stays a paragraph."""
    assert MarkdownIt().render(f"{markdown(text)}\n").startswith("<p>")


def test_mentions_references_and_links_are_broken() -> None:
    """A hostile error message pings nobody and links nowhere."""
    line = markdown("@everyone #12 http://evil.example www.evil.example")
    assert not re.search(r"@\w|#\d|://|www\.", line.replace("&#8203;", "\u200b"))


def test_hostile_sample_is_hostile() -> None:
    """The sample that other tests use holds what they mean to test."""
    assert {"\x1b", "\u202e", "\x00", "\ud800", "|", "`", "$", "<"} <= set(HOSTILE)
