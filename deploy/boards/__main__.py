"""``python -m deploy.boards`` writes the JSON of every board; ``--check`` only says whether it is up to date."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from deploy.boards.control_room import BOARDS
from deploy.boards.grafana import dumps

DIRECTORY = Path(__file__).parent / "json"


def main(arguments: list[str] | None = None) -> int:
    """Write or check the files; returns 1 when a checked file differs."""
    parser = argparse.ArgumentParser(prog="python -m deploy.boards", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 when a file is out of date")
    check = parser.parse_args(arguments).check
    outdated = 0
    for board in BOARDS:
        path = DIRECTORY / f"{board.uid.removeprefix('meterline-')}.json"
        text = dumps(board)
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        if check:
            outdated = 1
            sys.stderr.write(f"{path.name} is out of date: run python -m deploy.boards\n")
        else:
            DIRECTORY.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"wrote {path.name}\n")
    return outdated


if __name__ == "__main__":
    raise SystemExit(main())
