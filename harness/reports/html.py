"""report.html: the whole report in one file that asks the network for nothing."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from harness.reports.inline import inline
from harness.reports.picture import Picture
from harness.reports.story import SYMBOLS, Story


def html(told: Story, pictures: Sequence[Picture] = ()) -> str:
    """The page. Every text is escaped by jinja2; only our own drawings are put in as they are."""
    folder = resources.files("harness.reports")
    template = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).from_string(folder.joinpath("report.html").read_text("utf-8"))
    drawn = {
        picture.name: {
            "title": picture.title,
            "wide": inline(picture.svg, picture.alt),
            "narrow": inline(picture.narrow_svg, picture.alt),
        }
        for picture in pictures
    }
    css = Markup(folder.joinpath("report.css").read_text("utf-8"))  # noqa: S704 - a file of this package
    return template.render(told=told, figures=drawn, css=css, symbols=SYMBOLS)
