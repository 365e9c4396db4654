"""The web server of the console."""

from __future__ import annotations

import socket
from typing import Final

import uvicorn
from fastapi import FastAPI

from console.live import Hub

#: What is still being answered when the console is stopped gets this long.
STOP_S: Final = 2


class ConsoleServer(uvicorn.Server):
    """Serves `app`; when it is told to stop it ends the live connections, which would go on for ever.

    Parameters
    ----------
    app
        From `console.app.create_app`.
    hub
        The same that the application was given.
    """

    def __init__(self, app: FastAPI, hub: Hub) -> None:
        # Pages ask for some files at once beside their live connection.
        at_once = 2 * hub.limits.viewers + 100
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=STOP_S,
                limit_concurrency=at_once,
            )
        )
        self._hub = hub

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Called by `run` when a signal came."""
        self._hub.end_streams()
        await super().shutdown(sockets)
