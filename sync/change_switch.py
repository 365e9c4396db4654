"""Reports of switch positions that come as changes, and not from SCADA."""

from __future__ import annotations

from datetime import datetime

from store.connection import Connection
from store.topology import SwitchError, apply_switch_position
from sync.messages import SwitchPositionChange
from sync.tell import AppliedChange, SwitchChangeError


def apply_switch(connection: Connection, change: SwitchPositionChange, _recorded_at: datetime) -> AppliedChange:
    """Record a position and move the areas that it concerns; the store tells of it, as for SCADA."""
    try:
        applied = apply_switch_position(connection, change.switch, change.position, change.valid_from)
    except SwitchError as error:
        raise SwitchChangeError(str(error)) from None
    return AppliedChange(applied.outbox_id, applied.units, applied.recorded_at, applied.units)
