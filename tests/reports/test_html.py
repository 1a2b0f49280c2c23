"""report.html: one file that asks the network for nothing and cannot be made to run anything."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from harness.judges import judge
from harness.reports.html import html
from harness.reports.inline import inline
from harness.reports.picture import Picture
from harness.reports.plots import pictures
from harness.reports.story import story
from harness.verdict import Outcome
from tests.reports.samples import HOSTILE, SECRET, empty_evidence, small_evidence, small_verdict


class Page(HTMLParser):
    """Every tag with its attributes, and the text in between."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A tag begins."""
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Text between tags."""
        self.words.append(data)


@pytest.fixture(scope="module")
def drawn() -> tuple[Picture, ...]:
    """The plots of a small run with a hostile endpoint."""
    return tuple(pictures(small_verdict(HOSTILE), small_evidence(HOSTILE)))


@pytest.fixture(scope="module")
def page(drawn: tuple[Picture, ...]) -> str:
    """A page in which every foreign text is hostile."""
    evidence = small_evidence(HOSTILE, f"{HOSTILE} {SECRET}", why=HOSTILE)
    verdict = small_verdict(HOSTILE, f"{HOSTILE} {SECRET}")
    return html(story(replace(verdict, warnings=(HOSTILE,)), evidence), drawn)


def test_the_page_loads_and_runs_nothing(page: str) -> None:
    """No script, no frame, no handler, and no address in any attribute that a browser follows."""
    tags = Page(page).tags
    assert not {name for name, _ in tags} & {"script", "iframe", "object", "embed", "link", "img", "form", "base"}
    for _, attributes in tags:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href", "srcset", "action", "data", "xlink:href"):
            assert (attributes.get(name) or "#").startswith("#")
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)


def test_hostile_text_is_shown_as_text(page: str) -> None:
    """The script's letters are there to read, its terminal escapes and direction overrides are not."""
    assert "<script>alert(1)</script>" in "".join(Page(page).words)
    assert not {"\x1b", "\u202e", "\x00"} & set(page)
    assert "hunter2" not in page


def test_the_verdict_comes_first(page: str) -> None:
    """Word, symbol and reason stand before everything else in the body."""
    words = [text.strip() for text in Page(page[page.index("<body>") :]).words if text.strip()]
    assert words[2] == "✕ FAIL"
    assert words[3].startswith("errors < 0.5% broke in level-50")


def test_tables_have_headers_and_pictures_have_names(page: str) -> None:
    """Who listens instead of looking gets column heads, row heads and a label for each plot."""
    tags = Page(page).tags
    names = [name for name, _ in tags]
    assert names.count("thead") >= 4
    assert all("scope" in attributes for name, attributes in tags if name == "th")
    assert all(attributes.get("aria-label") for name, attributes in tags if name == "svg")
    assert names.count("h1") == 1


def test_ids_are_unique(page: str) -> None:
    """Twelve drawings share the page and none takes another's clip path."""
    ids = [attributes["id"] for _, attributes in Page(page).tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_drawings_follow_the_page_colours(drawn: tuple[Picture, ...]) -> None:
    """No colour of the palette is left fixed, so that dark mode reaches all of them."""
    for picture in drawn:
        left = set(re.findall(r"(?:fill|stroke): (#[0-9a-f]{6})", inline(picture.svg, picture.alt)))
        assert left == set()


@pytest.mark.parametrize("outcome", list(Outcome))
def test_every_outcome_has_its_word(outcome: Outcome) -> None:
    """The three outcomes are told apart by a word and a symbol, not by colour alone."""
    text = html(story(replace(small_verdict(), outcome=outcome), small_evidence()))
    assert re.search(rf'<p class="word">\S {outcome.value.upper()}</p>', text)


def test_a_run_without_anything_has_a_page() -> None:
    """Stopped before the first stage: the page says so and has no empty tables."""
    evidence = empty_evidence()
    text = html(story(judge(evidence), evidence))
    assert "SIGINT" in text
    assert "<tbody>\n</tbody>" not in text


def test_a_dirty_target_is_the_first_thing_on_the_page() -> None:
    """Title, big word, what is left and the whole command to type; no word of being clean."""
    command = f"curl -X DELETE http://127.0.0.1:8474/proxies/db/toxics/{'x' * 400}"
    verdict = replace(small_verdict(), outcome=Outcome.PASS, dirty=(f"slow-db: latency on db: gone; type: {command}",))
    page = html(story(verdict, small_evidence()))
    assert "<title>TARGET LEFT DIRTY: ladder</title>" in page
    assert '<div class="verdict fail dirty">' in page
    assert f"<code>{command}</code>" in page
    assert "left clean" not in page


def test_a_clean_target_is_told_below_the_verdict() -> None:
    """Seen without scrolling: when it was checked."""
    page = html(story(small_verdict(), small_evidence()))
    assert page.index("Target left clean: checked at 21:04:26 UTC") < page.index("<h2>")
