"""Kafka topics of the system, made once at migration."""

from __future__ import annotations

from kafka.admin import KafkaAdminClient, NewTopic
from kafka.errors import TopicAlreadyExistsError

_DAY_MS = 86_400_000
#: How long the store may be away before what was acknowledged is lost.
_TELEMETRY = {"retention.ms": str(14 * _DAY_MS), "compression.type": "producer"}

#: Topics and their settings. Those of one agent have the same number of partitions, so that one worker has the same.
TOPICS: dict[str, dict[str, str]] = {
    "telemetry.area": _TELEMETRY,
    "telemetry.scada": _TELEMETRY,
    "telemetry.backfill": _TELEMETRY,
    "telemetry.rejected": {**_TELEMETRY, "max.message.bytes": str(24 * 1024 * 1024)},
    "energy.unit": _TELEMETRY,
    "grid.change": {"cleanup.policy": "compact"},
    "grid.resettle": {"retention.ms": str(30 * _DAY_MS)},
}


def ensure_topics(bootstrap: str, partitions: int, replication: int) -> list[str]:
    """Make the topics that are missing; returns their names."""
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        missing = sorted(set(TOPICS) - set(admin.list_topics()))
        topics = [NewTopic(name, partitions, replication, topic_configs=TOPICS[name]) for name in missing]
        if topics:
            try:
                admin.create_topics(topics)
            except TopicAlreadyExistsError:
                return []
        return missing
    finally:
        admin.close()
