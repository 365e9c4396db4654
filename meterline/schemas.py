"""JSON Schemas of the messages that devices and other systems send or receive."""

from __future__ import annotations

from ingest.messages import schema_files


def all_schemas() -> dict[str, str]:
    """Schema texts by file name."""
    return schema_files()
