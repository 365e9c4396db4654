"""JSON Schemas of the messages that devices and other systems send or receive."""

from __future__ import annotations

import alerts.messages
import ingest.event_messages
import ingest.messages
import ingest.point_messages
import ingest.reading_messages
import ingest.requests
import sync.messages


def all_schemas() -> dict[str, str]:
    """Schema texts by file name."""
    return (
        ingest.messages.schema_files()
        | ingest.reading_messages.schema_files()
        | ingest.point_messages.schema_files()
        | ingest.event_messages.schema_files()
        | ingest.requests.schema_files()
        | alerts.messages.schema_files()
        | sync.messages.schema_files()
    )
