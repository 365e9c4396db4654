"""Whatever a message of events says, and in whatever order its events stand, the same is decoded."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from grid.device_events import EVENT_KINDS, decode_events, encode_events
from ingest.decode_events import decode_events_message
from tests.unit.test_decode_events import TOPIC
from tests.unit.test_decode_points import NOON_US, Units

EVENTS = st.lists(
    st.tuples(
        st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/+#"), min_size=1, max_size=64),
        st.sampled_from(EVENT_KINDS),
        st.integers(NOON_US - 300 * 86_400_000_000, NOON_US + 200_000_000),
    ),
    min_size=1,
    max_size=30,
)


@given(EVENTS)
def test_what_is_said_comes_through(events: list[tuple[str, str, int]]) -> None:
    payload = json.dumps(
        {
            "sequence": 3,
            "meter": [e[0] for e in events],
            "kind": [e[1] for e in events],
            "observed_at": [datetime.fromtimestamp(e[2] // 1_000_000, UTC).isoformat() for e in events],
        }
    ).encode()
    decoded = decode_events_message(TOPIC, payload, NOON_US, Units())
    assert decoded.rejections == ()
    assert decoded.batch is not None
    batch = decode_events(encode_events(decoded.batch))
    seconds = (batch.observed_at_us // 1_000_000).tolist()
    said = zip(batch.meters.to_pylist(), batch.kinds.to_pylist(), seconds, strict=True)
    assert list(said) == [(meter, kind, at // 1_000_000) for meter, kind, at in events]


@given(st.binary(max_size=200))
def test_no_bytes_make_it_raise(payload: bytes) -> None:
    decoded = decode_events_message(TOPIC, payload, NOON_US, Units())
    assert decoded.batch is None
    assert len(decoded.rejections) == 1
