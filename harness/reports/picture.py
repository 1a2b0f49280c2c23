"""A finished plot, on its way from the package that draws to the reports that show it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A plot for a desk (`svg`, `png`) and for a phone (`narrow_svg`); `alt` is for who cannot see it."""

    name: str
    title: str
    alt: str
    svg: bytes
    narrow_svg: bytes
    png: bytes
