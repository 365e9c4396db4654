"""Messages of alerts, as other systems receive them: figures, never a series of readings."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Literal

import msgspec


class Figures(msgspec.Struct, frozen=True):
    """Evidence of a loss alert: the unit's own loss over a window, with its band.

    `loss_rate` is `loss_wh` / `supply_wh`; the band is loss ± `z` standard deviations, as rates.
    """

    supply_wh: int
    loss_wh: int
    sigma_wh: float
    z: float
    loss_rate: float
    low_rate: float
    high_rate: float
    threshold_rate: float
    window_from: datetime
    window_to: datetime
    settled_h: float
    intervals: int


class AlertNotice(msgspec.Struct, frozen=True):
    """An alert as it stood at the event."""

    alert_id: int
    code: str
    """Names the condition; one alert is open for it at a time."""
    kind: Literal["high_loss", "negative_loss"]
    severity: Literal["warning", "critical"]
    unit: str
    unit_kind: str
    unit_name: str
    opened_at: datetime
    figures: Figures


class AlertWebhook(msgspec.Struct, frozen=True):
    """Body of a webhook that tells of an alert; its id is in header ``webhook-id``."""

    type: Literal["alert.opened", "alert.resolved"]
    timestamp: datetime
    data: AlertNotice


def schema_files() -> dict[str, str]:
    """Published schema files by name."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(AlertWebhook)}
    return {"alert-webhook.schema.json": json.dumps(schema, indent=2) + "\n"}
