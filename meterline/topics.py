"""Kafka topics of the system, made at migration, with settings that follow the release."""

from __future__ import annotations

from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, NewTopic
from kafka.errors import TopicAlreadyExistsError

from grid.topics import (
    ALERT,
    ENERGY_UNIT,
    GRID_CHANGE,
    GRID_RESETTLE,
    TELEMETRY_AREA,
    TELEMETRY_BACKFILL,
    TELEMETRY_EVENT,
    TELEMETRY_READING,
    TELEMETRY_REJECTED,
    TELEMETRY_SCADA,
)

_DAY_MS = 86_400_000
#: How long the store may be away before what was acknowledged is lost.
_TELEMETRY = {"retention.ms": str(14 * _DAY_MS), "compression.type": "producer"}

#: Topics and their settings. Those of one agent have the same number of partitions, so that one worker has the same.
TOPICS: dict[str, dict[str, str]] = {
    TELEMETRY_READING: _TELEMETRY,
    TELEMETRY_AREA: _TELEMETRY,
    TELEMETRY_SCADA: _TELEMETRY,
    TELEMETRY_EVENT: _TELEMETRY,
    TELEMETRY_BACKFILL: _TELEMETRY,
    TELEMETRY_REJECTED: {**_TELEMETRY, "max.message.bytes": str(24 * 1024 * 1024)},
    ENERGY_UNIT: _TELEMETRY,
    GRID_CHANGE: {"cleanup.policy": "compact"},
    GRID_RESETTLE: {"retention.ms": str(30 * _DAY_MS)},
    ALERT: {"retention.ms": str(30 * _DAY_MS)},
}


def ensure_topics(bootstrap: str, partitions: int, replication: int) -> list[str]:
    """Make the topics that are missing, and give the others the settings of this release; returns the names of both."""
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        present = set(admin.list_topics())
        missing = sorted(set(TOPICS) - present)
        topics = [NewTopic(name, partitions, replication, topic_configs=TOPICS[name]) for name in missing]
        if topics:
            try:
                admin.create_topics(topics)
            except TopicAlreadyExistsError:
                missing = []  # another process is making them
        return sorted(missing + _alter(admin, sorted(set(TOPICS) & present)))
    finally:
        admin.close()


def _alter(admin: KafkaAdminClient, names: list[str]) -> list[str]:
    """Set what differs; what somebody keeps for longer stays so, and so do other settings."""
    kind = ConfigResourceType.TOPIC
    if not names:
        return []
    found = admin.describe_configs([ConfigResource(kind, name) for name in names], config_filter="all")["topic"]
    wanted = {
        name: {key: value for key, value in TOPICS[name].items() if not serves(key, found[name][key]["value"], value)}
        for name in names
    }
    differing = {name: settings for name, settings in wanted.items() if settings}
    if differing:
        admin.alter_configs([ConfigResource(kind, name, settings) for name, settings in differing.items()])
    return list(differing)


def serves(key: str, found: str, wanted: str) -> bool:
    """Whether a setting that was found does what is wanted: longer retention does too."""
    if key == "retention.ms":
        return int(found) == -1 or int(found) >= int(wanted)
    return found == wanted
