"""The usual way, as a peer: Faust with one JSON event a reading and a row a reading.

Run as ``python -m benchmarks.peers.faust_rows BOOTSTRAP FOLDER``, as often as workers are wanted; the connection string
comes in the environment variable ``PEER_CONNINFO``.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import faust
import psycopg
from faust.worker import Worker

TOPIC = "peer.reading"
TABLE = """
create table if not exists public.peer_reading (
  meter text not null, observed_at timestamptz not null, import_wh bigint not null, export_wh bigint not null,
  voltage_v real not null, writer integer not null, primary key (meter, observed_at)
)
"""


def build(bootstrap: str, folder: str, conninfo: str) -> faust.App:
    """An application that takes 1,000 events at a time and inserts their rows in one transaction."""
    app = faust.App(
        "peer",
        broker=f"kafka://{bootstrap}",
        datadir=f"{folder}/{os.getpid()}",
        store="memory://",
        value_serializer="json",
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        consumer_auto_offset_reset="earliest",
        stream_buffer_maxsize=8192,
    )
    connection = psycopg.connect(conninfo)

    async def store(stream: Any) -> None:
        async for events in stream.noack_take(1_000, within=0.2):
            rows = [
                (v["meter"], v["observed_at"], v["import_wh"], v["export_wh"], v["voltage_v"], os.getpid())
                for v in (event.value for event in events)
            ]
            with connection.transaction(), connection.cursor() as cursor:
                cursor.executemany(
                    "insert into public.peer_reading values (%s, %s, %s, %s, %s, %s) on conflict do nothing", rows
                )
            for event in events:
                await stream.ack(event)

    app.agent(app.topic(TOPIC), name="peer.rows")(store)
    return app


if __name__ == "__main__":
    made = build(sys.argv[1], sys.argv[2], os.environ["PEER_CONNINFO"])
    Worker(made, loglevel="error").execute_from_commandline()
