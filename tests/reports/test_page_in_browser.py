"""report.html in a real browser: on a phone and on paper."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.reports import render
from tests.reports.samples import HOSTILE, arrivals, hostile, ladder, small_evidence, small_verdict

FLAGS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync")  # fmt: skip
CASES = {
    "ladder": ladder,
    "arrivals": arrivals,
    "hostile": hostile,
    "long names": lambda: (small_verdict("GET /" + "x" * 200), small_evidence("GET /" + "x" * 200, "m" * 10_000)),
    "hostile findings": lambda: (small_verdict(HOSTILE, HOSTILE), small_evidence(HOSTILE, HOSTILE, why="w" * 900)),
}


@pytest.mark.e2e
@pytest.mark.needs("chromium")
def test_no_sideways_scrolling_on_a_phone_and_no_complaints(tmp_path: Path) -> None:
    """Nothing is wider than 375 px or an A4 page, paper stays white, nothing is logged and nothing fetched."""
    from playwright.sync_api import sync_playwright

    pages = {}
    for name, make in CASES.items():
        pages[name] = tmp_path / f"{name}.html"
        pages[name].write_bytes(dict(render(*make(), plots=name in {"ladder", "arrivals", "hostile"}))["report.html"])
    binary = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=binary, args=list(FLAGS), timeout=60_000)
        try:
            for name, path in pages.items():
                page = browser.new_page(viewport={"width": 375, "height": 812})
                said: list[str] = []
                asked: list[str] = []
                page.on("console", lambda message, said=said: said.append(message.text))
                page.on("pageerror", lambda error, said=said: said.append(str(error)))
                page.on("request", lambda request, asked=asked: asked.append(request.url))
                page.goto(path.as_uri(), timeout=30_000)
                assert page.evaluate("document.documentElement.scrollWidth") <= 375, name
                assert page.locator(".word").bounding_box()["y"] < 400, name  # type: ignore[index]
                assert (said, asked) == ([], [path.as_uri()]), name
                page.set_viewport_size({"width": 794, "height": 1123})
                page.emulate_media(media="print", color_scheme="dark")
                assert page.evaluate("document.documentElement.scrollWidth") <= 794, f"{name} on A4"
                assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
                page.close()
        finally:
            browser.close()
