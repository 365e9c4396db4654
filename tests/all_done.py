"""Waits until programs have done all that they were given, however slow the machine is."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing

from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient

from grid.topics import ENERGY_UNIT, GRID_CHANGE, GRID_RESETTLE, TELEMETRY_AREA, TELEMETRY_SCADA
from meterline.config import Settings
from meterline.group import GROUP
from store.connection import Connection
from store.outbox import read_outbox, relay_position

TOPICS = (TELEMETRY_AREA, TELEMETRY_SCADA, GRID_RESETTLE, ENERGY_UNIT)
#: Longer than what works has between a commit in Kafka and the next.
_APART_S = 1.5


def wait_until_done(settings: Settings, open_live: Callable[[], Connection], timeout_s: float = 200.0) -> None:
    """Wait until each change is relayed, each record acknowledged by its worker, and nothing is written meanwhile.

    What is on its way between two of them shows at the second look.
    """
    deadline = time.monotonic() + timeout_s
    before = None
    with (
        open_live() as connection,
        closing(KafkaConsumer(bootstrap_servers=settings.kafka.bootstrap)) as consumer,
        closing(KafkaAdminClient(bootstrap_servers=settings.kafka.bootstrap)) as admin,
    ):
        connection.autocommit = True
        places = [TopicPartition(t, p) for t in TOPICS for p in consumer.partitions_for_topic(t) or ()]
        while True:
            position = relay_position(connection, GRID_CHANGE)
            committed = {place: at.offset for place, at in admin.list_group_offsets(GROUP)[GROUP].items()}
            ends = consumer.end_offsets(places)
            behind = [place for place in places if ends[place] > max(committed.get(place, 0), 0)]
            written = connection.execute(
                "select count(*), sum(version), max(recorded_at) from telemetry.block"
            ).fetchone()
            now = (position, ends, written)
            if now == before and not behind and not read_outbox(connection, position, 1):
                return
            assert time.monotonic() < deadline, (behind, position)
            before = now
            time.sleep(_APART_S)
