"""``python -m deploy.boards`` writes the JSON of boards and alert rules; ``--check`` says whether it is up to date."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from deploy.boards.grafana import files
from deploy.boards.health import rules_file

DIRECTORY = Path(__file__).parent / "json"
RULES_FILE = Path(__file__).parents[1] / "grafana/provisioning/alerting/rules.json"


def main(arguments: list[str] | None = None) -> int:
    """Write or check the files; returns 1 when a checked file differs."""
    parser = argparse.ArgumentParser(prog="python -m deploy.boards", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 when a file is out of date")
    check = parser.parse_args(arguments).check
    outdated = 0
    wanted = dict(files())
    for path in sorted(DIRECTORY.rglob("*.json")):
        if path.relative_to(DIRECTORY).as_posix() not in wanted:
            outdated = 1
            if check:
                sys.stderr.write(f"{path.name} is no board: run python -m deploy.boards\n")
            else:
                path.unlink()
    drawn = {DIRECTORY / name: text for name, text in wanted.items()} | {RULES_FILE: rules_file()}
    for path, text in drawn.items():
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        outdated = 1
        if check:
            sys.stderr.write(f"{path.name} is out of date: run python -m deploy.boards\n")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"wrote {path.relative_to(DIRECTORY.parents[2])}\n")
    return outdated if check else 0


if __name__ == "__main__":
    raise SystemExit(main())
