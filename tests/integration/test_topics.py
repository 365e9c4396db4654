"""Kafka topics are made once, and those of an earlier release follow."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient

from deploy.stack import StackSpec
from meterline.topics import TOPICS, ensure_topics
from tests.waiting import until

DAY_MS = 86_400_000


@pytest.fixture
def bootstrap(stack: StackSpec) -> str:
    return f"127.0.0.1:{stack.ports.kafka}"


@pytest.fixture
def admin(bootstrap: str) -> Iterator[KafkaAdminClient]:
    ensure_topics(bootstrap, 8, 1)
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    yield admin
    admin.close()
    ensure_topics(bootstrap, 8, 1)


def give(admin: KafkaAdminClient, topic: str, **settings: str) -> None:
    configs = {key.replace("_", "."): value for key, value in settings.items()}
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs)])
    # The controller has taken a change before the broker tells it.
    until(lambda: configs.items() <= settings_of(admin, topic).items())


def settings_of(admin: KafkaAdminClient, topic: str) -> dict[str, str]:
    resource = ConfigResource(ConfigResourceType.TOPIC, topic)
    found = admin.describe_configs([resource], config_filter="all")["topic"][topic]
    return {key: about["value"] for key, about in found.items()}


def test_telemetry_waits_for_14_days(admin: KafkaAdminClient) -> None:
    for topic in TOPICS:
        settings = settings_of(admin, topic)
        assert {key: settings[key] for key in TOPICS[topic]} == TOPICS[topic]
        if topic.startswith("telemetry.") or topic == "energy.unit":
            assert settings["retention.ms"] == str(14 * DAY_MS)


def test_topics_of_an_earlier_release_follow(admin: KafkaAdminClient, bootstrap: str) -> None:
    give(admin, "telemetry.area", retention_ms=str(3 * DAY_MS), segment_bytes="1048576")
    give(admin, "telemetry.rejected", max_message_bytes="1000000")
    assert ensure_topics(bootstrap, 8, 1) == ["telemetry.area", "telemetry.rejected"]
    until(lambda: settings_of(admin, "telemetry.area")["retention.ms"] == str(14 * DAY_MS))
    assert settings_of(admin, "telemetry.area")["segment.bytes"] == "1048576"  # none of ours
    size = TOPICS["telemetry.rejected"]["max.message.bytes"]
    until(lambda: settings_of(admin, "telemetry.rejected")["max.message.bytes"] == size)
    assert ensure_topics(bootstrap, 8, 1) == []  # the same again changes nothing


@pytest.mark.parametrize("longer", [str(60 * DAY_MS), "-1"])
def test_what_somebody_keeps_for_longer_stays(admin: KafkaAdminClient, bootstrap: str, longer: str) -> None:
    give(admin, "energy.unit", retention_ms=longer)
    try:
        assert ensure_topics(bootstrap, 8, 1) == []
        assert settings_of(admin, "energy.unit")["retention.ms"] == longer
    finally:
        give(admin, "energy.unit", retention_ms=str(14 * DAY_MS))
