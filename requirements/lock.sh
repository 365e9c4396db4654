#!/usr/bin/env bash
# Makes the lock files anew from pyproject.toml, data.in and test-data.in. Needs uv.
set -euo pipefail
cd "$(dirname "$0")/.."
options=(--universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --quiet)
uv pip compile "${options[@]}" pyproject.toml -o requirements/run.lock
uv pip compile "${options[@]}" --extra test --extra embedded -c requirements/run.lock pyproject.toml -o requirements/test.lock
python3 -c 'import tomllib
with open("pyproject.toml", "rb") as file:
    print(*tomllib.load(file)["project"]["optional-dependencies"]["embedded"], sep="\n")' |
  uv pip compile "${options[@]}" -c requirements/run.lock -o requirements/embedded.lock -
for data in data test-data; do
  uv pip compile "${options[@]}" --no-deps "requirements/$data.in" -o "requirements/$data.lock"
done
