"""Kafka topics that ingest feeds, and the form of a rejection on its topic."""

from __future__ import annotations

import json

from grid.errors import Rejection
from grid.model import UnitKind

TELEMETRY_AREA = "telemetry.area"
TELEMETRY_SCADA = "telemetry.scada"
TELEMETRY_REJECTED = "telemetry.rejected"


def topic_of(kind: UnitKind) -> str:
    """Topic of a unit's blocks; what stands at a feeder's head comes with SCADA."""
    return TELEMETRY_SCADA if kind is UnitKind.FEEDER else TELEMETRY_AREA


def rejection_headers(rejection: Rejection) -> list[tuple[str, bytes]]:
    """Kafka headers that carry everything of `rejection` but the original bytes, which are the value."""
    about = {
        "reason": rejection.reason.value,
        "detail": rejection.detail[:2_000],
        "topic": rejection.topic[:1_000],
        "meters": list(rejection.meters),
    }
    return [("rejection", json.dumps(about).encode())]
