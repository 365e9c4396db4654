"""A real browser without a screen, and what every page of the console must pass in it."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.waiting import PATIENCE_S

ROOT = Path(__file__).resolve().parents[1]
#: Screenshots are kept here for a person to look at.
OUTPUT = ROOT / ".ci" / "output" / "screenshots"
SIZES = {"desk": (1920, 1080), "phone": (390, 844)}

# Elements that stick out of the window, and texts cut off by their own box that no box around them scrolls.
OVERFLOWING = """
() => {
  const found = [];
  const width = document.documentElement.clientWidth;
  const wide = document.documentElement.scrollWidth;
  const name = (e) => `${e.tagName}.${e.getAttribute("class") ?? ""} ${(e.textContent ?? "").slice(0, 30)}`;
  if (wide > width) found.push(`page ${wide} > ${width}`);
  const scrolls = (e) => ["auto", "scroll"].includes(getComputedStyle(e).overflowX);
  for (const element of document.querySelectorAll("header *, main, main *")) {
    const box = element.getBoundingClientRect();
    if (!box.width || element.closest("svg, .uplot, .tip, .own > div, [hidden]")) continue;
    let holder = element.parentElement;
    while (holder && !scrolls(holder)) holder = holder.parentElement;
    if (holder && holder !== document.documentElement && holder !== document.body) continue;
    if (box.right > width + 0.5 || box.left < -0.5) found.push(`${name(element)} ends at ${Math.round(box.right)}`);
    const panel = element.parentElement?.closest(".panel, .card");
    if (panel) {
      const frame = panel.getBoundingClientRect();
      const isOut = box.bottom > frame.bottom + 1 || box.right > frame.right + 1;
      if (isOut) found.push(`${name(element)} leaves ${panel.dataset.panel ?? panel.id}`);
    }
  }
  return found;
}
"""


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """The machine's Chromium, or the one that Playwright brought."""
    expect.set_options(timeout=1_000 * PATIENCE_S)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("chromium-browser"),
            # In a container there is no user namespace for the sandbox when the tests run as root.
            chromium_sandbox=os.geteuid() != 0,
        )
        yield browser
        browser.close()


class Visit:
    """A page of the console that collects what goes wrong."""

    def __init__(self, browser: Browser, base: str, size: str, language: str = "en-GB") -> None:
        width, height = SIZES[size]
        self.size = size
        self.base = base
        # A browser of another zone than the utility's: what a page shows is the utility's.
        self.context = browser.new_context(
            viewport={"width": width, "height": height}, locale=language, timezone_id="America/New_York"
        )
        self.context.set_default_timeout(1_000 * PATIENCE_S)
        self.page: Page = self.context.new_page()
        self.wrong: list[str] = []
        self.page.on("console", lambda message: self._heard(message.type, message.text))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))

    def _heard(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"}:
            self.wrong.append(f"{kind}: {text}")

    def open(self, path: str) -> Page:
        """Go to `path` and wait until every panel has been heard of."""
        self.page.goto(self.base + path)
        return self.filled()

    def filled(self) -> Page:
        """Wait until the board's first round is over."""
        self.page.wait_for_selector("#state.live, #state.past")
        # A frame for what the last event draws.
        self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        return self.page

    def check(self, name: str) -> None:
        """Nothing overflows, no error, accessible; keep a screenshot."""
        OUTPUT.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=OUTPUT / f"{name}-{self.size}.png", full_page=self.size == "phone")
        problems = [*self.wrong, *self.page.evaluate(OVERFLOWING), *violations(self.page)]
        assert not problems, "\n".join(problems)


def violations(page: Page) -> list[str]:
    """What axe finds against WCAG 2.2 AA and its own good practice."""
    found: Any = Axe().run(page).response["violations"]
    return [f"{each['id']}: {node['html'][:160]} {node['failureSummary']}" for each in found for node in each["nodes"]]
