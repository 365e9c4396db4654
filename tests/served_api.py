"""An application served over HTTP, and what schemathesis finds wrong in it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from tests.waiting import PATIENCE_S, until


@contextmanager
def serve(app: Any) -> Iterator[str]:
    """Its address on 127.0.0.1, for as long as the block runs."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started, "the server starts")
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(PATIENCE_S)


def ask_wrongly(
    url: str, token: str, folder: Path, accepted: str, *options: str, examples: int = 20, timeout_s: float = 240
) -> None:
    """Requests made from the description, right and wrong: no error of ours, and no answer that isn't described.

    `accepted` are the statuses that a request may get that is right by the description.
    """
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "run", f"{url}/api/openapi.json", *options,
        "--header", f"Authorization: Bearer {token}", "--max-examples", f"{examples}", "--seed", "7",
        "--generation-database", "none", "--no-color", "--continue-on-failure",
    ]  # fmt: skip
    (folder / "schemathesis.toml").write_text(
        f"[checks.positive_data_acceptance]\nexpected-statuses = [{accepted}]\n"
        "[checks.missing_required_header]\nexpected-statuses = [401, 403, 422, 428]\n"
    )
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False, cwd=folder)
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-2_000:]
