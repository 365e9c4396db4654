"""A report as PDF, by the machine's Chromium where there is one: it draws Chinese text and tables as a browser does."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from sync.rollout.errors import RolloutError

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_WITHIN_S = 120


def write_pdf(html: str, target: Path) -> None:
    """Print a page to a file.

    Raises
    ------
    RolloutError
        When there is no Chromium, or it fails.
    """
    browser = next((found for name in _BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        raise RolloutError("PDF needs Chromium (chromium, google-chrome); without it write HTML and print that")
    # Within a container there is no user namespace for the sandbox when it runs as root; the page is our own.
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory() as folder:
        page, printed = Path(folder) / "report.html", Path(folder) / "report.pdf"
        page.write_text(html, "utf-8")
        options = ["--headless", "--disable-gpu", "--no-pdf-header-footer", f"--user-data-dir={folder}/profile"]
        command = [browser, *options, *sandbox, f"--print-to-pdf={printed}", page.as_uri()]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_WITHIN_S)
        except subprocess.TimeoutExpired:
            raise RolloutError(f"Chromium has not printed the report within {_WITHIN_S} s") from None
        if done.returncode != 0 or not printed.is_file():
            raise RolloutError(f"Chromium has not printed the report: {done.stderr.strip()[-200:]}")
        shutil.copyfile(printed, target)
