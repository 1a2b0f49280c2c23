"""A plot's SVG made fit to stand inside an HTML page: scaling, following the page's colours, and small.

matplotlib writes its colours as hex codes into style attributes; those of plots/style.py become CSS variables, so one
picture serves light, dark and paper. Ids that nothing refers to are dropped (several pictures share a page).
"""

from __future__ import annotations

import re

from markupsafe import Markup

# Colour in the file -> variable in report.css. Kept in step with plots/style.py by a test.
VARIABLES = {
    "#1b1f24": "--ink",
    "#c9ced6": "--faint",
    "#eef1f4": "--band",
    "#ffffff": "--paper",
    "#0072b2": "--blue",
    "#e69f00": "--orange",
    "#009e73": "--green",
    "#d55e00": "--vermillion",
    "#cc79a7": "--purple",
    "#56b4e9": "--sky",
}
_HEAD = re.compile(r"\A.*?(?=<svg\b)", re.DOTALL)
_METADATA = re.compile(r"\s*<metadata>.*?</metadata>", re.DOTALL)
_COMMENT = re.compile(r"\s*<!--.*?-->", re.DOTALL)
_OPENING = re.compile(r"<svg\b[^>]*>")
_VIEW_BOX = re.compile(r'viewBox="[\d. -]+"')
_NAMESPACES = re.compile(r'\s+xmlns(?::xlink)?="[^"]*"')
_ID = re.compile(r'\sid="([^"]+)"')
_REFERRED = re.compile(r'(?:url\(#|href="#)([^")]+)')
_FONT = re.compile(r"(font: [^;\"]*?[\d.]+px) [^;\"]*")
_COLOUR = re.compile(r"#[0-9a-f]{6}\b")
_STYLE = re.compile(r'style="[^"]*"')


def inline(svg: bytes, alt: str) -> Markup:
    """The <svg> element for an HTML page, named by `alt` for who cannot see it. `svg` must be our own drawing."""
    text = _METADATA.sub("", _HEAD.sub("", svg.decode("utf-8")))
    text = _NAMESPACES.sub("", _COMMENT.sub("", text))
    referred = set(_REFERRED.findall(text))
    text = _ID.sub(lambda found: found[0] if found[1] in referred else "", text)
    text = _STYLE.sub(lambda found: _themed(found[0]), text).replace("xlink:href", "href")
    box = _VIEW_BOX.search(text)
    label = Markup.escape(alt)
    opening = f'<svg {box[0] if box else ""} role="img" aria-label="{label}">'
    text = _OPENING.sub(lambda _: opening, text, count=1)
    return Markup(text)  # noqa: S704 - drawn by us; matplotlib escapes the text in it


def _themed(style: str) -> str:
    style = _COLOUR.sub(lambda found: f"var({VARIABLES[found[0]]})" if found[0] in VARIABLES else found[0], style)
    return _FONT.sub(r"\1 var(--font)", style)
