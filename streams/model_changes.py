"""Word of changes of the grid model: what a worker holds of it is dropped within seconds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Protocol

from aiokafka import AIOKafkaConsumer

from grid.topics import GRID_CHANGE


class Held(Protocol):
    """What a worker holds of the grid model."""

    def drop(self, code: str) -> None: ...

    def clear(self) -> None: ...


async def follow_changes_of_model(bootstrap: str, held: Sequence[Held]) -> None:
    """Drop what is held of a unit when its model changes: outside the group, so that every worker sees every change."""
    consumer = AIOKafkaConsumer(
        GRID_CHANGE, bootstrap_servers=bootstrap, auto_offset_reset="latest", enable_auto_commit=False
    )
    await consumer.start()
    try:
        # What was held before the consumer had its place may have changed unheard.
        for partition in consumer.assignment():
            await consumer.position(partition)
        for cache in held:
            cache.clear()
        async for message in consumer:
            units = units_of(message.value)
            for cache in held:
                if units is None:
                    cache.clear()
                for unit in units or ():
                    cache.drop(unit)
    finally:
        await consumer.stop()


def units_of(value: bytes | None) -> list[str] | None:
    """Units that a change names; None when it doesn't say, and anything may have changed."""
    try:
        payload = json.loads(value or b"{}")["payload"]
        return [str(unit) for unit in payload["units"]] if "units" in payload else [str(payload["unit"])]
    except (ValueError, TypeError, KeyError):
        return None
