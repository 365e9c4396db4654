"""What nobody can read, by a gateway and in the topics, and meters that nobody knows."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from grid.block import Block, encode_block
from meterline.config import Settings
from tests.chaos.publishing import passwords
from twin.scenario import Twin, Unit

#: A gateway's message that is well above what is taken, and below what the broker lets pass.
HUGE_BYTES = 10_000_000


class Sender:
    """A second connection of a gateway's account, which sends what it likes."""

    def __init__(self, settings: Settings, twin: Twin, unit: Unit) -> None:
        self.unit = unit
        self._client = Client(CallbackAPIVersion.VERSION2, client_id=f"poison-{unit.code}", protocol=MQTTv5)
        self._client.username_pw_set(unit.gateway, passwords(settings, twin)[unit.gateway])
        self._client.max_inflight_messages_set(200)
        self._client.connect(settings.mqtt.host, settings.mqtt.port)

    @property
    def topic(self) -> str:
        """Of the unit's blocks."""
        return f"meterline/v1/{self.unit.gateway}/block/{self.unit.code}"

    def send(self, payload: bytes, topic: str | None = None) -> Any:
        """Hand a message over; whoever waits for what is returned knows that the broker has it."""
        return self._client.publish(topic or self.topic, payload, qos=1)

    @contextlib.contextmanager
    def connected(self) -> Iterator[None]:
        self._client.loop_start()
        try:
            yield
        finally:
            self._client.disconnect()
            self._client.loop_stop()


def messages(chance: random.Random, meters: list[str], not_ours: str) -> list[tuple[str | None, bytes]]:
    """One message of each kind that is refused whole, with its topic where that isn't the sender's.

    `not_ours` is the topic, below the sender's name, of a unit that it doesn't read. Each bears a number that came long
    ago, so that nobody asks for those between.
    """
    quarter = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)

    def block(**changes: object) -> bytes:
        values = [chance.randrange(1_000) for _ in meters]
        said = {"sequence": 1, "observed_at": f"{quarter:%Y-%m-%dT%H:%M:%SZ}", "interval_s": 900, "meter": meters}
        return json.dumps({**said, "import_wh": values, **changes}).encode()

    whole = block()
    return [
        (None, whole[: chance.randrange(1, len(whole))]),
        (None, chance.randbytes(1_000)),
        (None, block(import_wh=[float("nan")] * len(meters))),
        (None, block(import_wh=[1e308] * len(meters))),
        (None, block(import_wh=[-1e308] * len(meters))),
        (None, chance.randbytes(HUGE_BYTES)),
        (None, b"[" * 100_000 + str(chance.random()).encode()),
        (not_ours, whole),
        (None, block(observed_at="2100-01-01T00:00:00Z")),
    ]


def records(chance: random.Random, unit: str, meter: str) -> list[bytes]:
    """One record of each kind that a worker refuses, as if something else had written into its topic."""
    one = np.ones(1, np.int64)
    # Right by all that can be seen of it, but no instant of the store's: it fails when it is settled.
    names, channels = pa.array([meter], pa.string()), {"import_wh": one}
    never = Block(unit, "nobody", 2**62, 900, 2**62, names, one, channels, np.zeros(1, np.uint8))
    return [
        b"",
        b"\x00" * 100,
        b"\xff" * 1_000,
        b"[" * 100_000,
        b'{"sequence": 1, "observed_at": "2100-01-01T00:00:00Z", "interval_s": 900, "meter": [',
        json.dumps({"sequence": 1e308, "import_wh": [float("nan"), -1e308, 1e308]}).encode(),
        b'{"unit": "nobody", "until": 1}',
        chance.randbytes(1_000_000),
        encode_block(never),
    ]


def invented(first: int, meters: int) -> bytes:
    """A message of meters that nobody has, numbered from `first` on."""
    names = ",".join(f'"x{number}"' for number in range(first, first + meters))
    ones = ",".join(["1"] * meters)
    hour = f"{datetime.now(UTC):%Y-%m-%dT%H:00:00Z}"
    text = f'{{"sequence":1,"observed_at":"{hour}","interval_s":900,"meter":[{names}],"import_wh":[{ones}]}}'
    return text.encode()
