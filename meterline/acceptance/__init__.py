"""`meterline doctor --acceptance`: looks at all that a site needs, against what the configuration asks for."""

from __future__ import annotations

from meterline.acceptance.interfaces import check_interfaces
from meterline.acceptance.machine import check_machine
from meterline.acceptance.servers import check_database, check_kafka, check_mqtt
from meterline.config import Settings
from sync.rollout.acceptance import Check

__all__ = ["examine"]


def examine(settings: Settings) -> list[Check]:
    """Look at everything that a site needs. Nothing is changed, and what fails is a check's result."""
    options = settings.rollout.acceptance
    return [
        *check_machine(options),
        *check_database(settings.database),
        *check_kafka(settings.kafka),
        *check_mqtt(settings.mqtt),
        *check_interfaces(options),
    ]
