"""A service's loop on a real database."""

from __future__ import annotations

import threading
import time

from store.connection import Connection, connect
from store.loop import keep_running
from tests.integration.conftest import Database


def test_who_slept_in_a_transaction_goes_on_with_a_new_connection(database: Database) -> None:
    stop, processes = threading.Event(), []

    def step(connection: Connection) -> bool:
        processes.append(connection.info.backend_pid)
        if len(processes) > 1:
            stop.set()
            return False
        with connection.transaction():
            connection.execute("set local idle_in_transaction_session_timeout = '50ms'")
            time.sleep(0.5)
            connection.execute("select")
        return True

    keep_running("sleeper", lambda: connect(database.conninfo("app"), "test"), step, stop, every_s=0.0)
    first, second = processes
    assert first != second
