"""SCADA points as a row each, as a peer: Faust, a JSON message with many points, COPY to a stage and upsert.

Run as ``python -m benchmarks.peers.point_rows BOOTSTRAP FOLDER``, as often as workers are wanted; the connection string
comes in the environment variable ``PEER_CONNINFO``.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import faust
import psycopg
from faust.worker import Worker

TOPIC = "peer.point"
TABLE = """
create table if not exists public.peer_point (
  point text not null, observed_at timestamptz not null, value double precision not null, quality smallint not null,
  writer integer not null, primary key (point, observed_at)
)
"""
_STAGE = "create temporary table stage (like public.peer_point) on commit delete rows"
_UPSERT = """
insert into public.peer_point select * from stage order by point, observed_at
on conflict (point, observed_at) do update set value = excluded.value, quality = excluded.quality
"""


def build(bootstrap: str, folder: str, conninfo: str) -> faust.App:
    """An application that takes 1,000 messages at a time and stores their points in one transaction."""
    app = faust.App(
        "peer-points",
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
    connection.execute(_STAGE)
    connection.commit()

    async def store(stream: Any) -> None:
        async for events in stream.noack_take(1_000, within=0.2):
            rows = {
                (point, event.value["observed_at"]): (value, quality)
                for event in events
                for point, value, quality in zip(
                    event.value["point"], event.value["value"], event.value["quality"], strict=True
                )
            }
            with connection.transaction(), connection.cursor() as cursor:
                with cursor.copy("copy stage from stdin") as copy:
                    for key, values in rows.items():
                        copy.write_row((*key, *values, os.getpid()))
                cursor.execute(_UPSERT)
            for event in events:
                await stream.ack(event)

    app.agent(app.topic(TOPIC), name="peer.points")(store)
    return app


if __name__ == "__main__":
    made = build(sys.argv[1], sys.argv[2], os.environ["PEER_CONNINFO"])
    Worker(made, loglevel="error").execute_from_commandline()
