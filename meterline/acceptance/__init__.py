"""`meterline doctor --acceptance`: looks at all that a site needs, against what the configuration asks for."""

from __future__ import annotations

from meterline.acceptance.interfaces import check_interfaces
from meterline.acceptance.machine import check_machine
from meterline.acceptance.servers import check_database, check_kafka, check_mqtt
from meterline.config import Settings
from sync.rollout.acceptance import Check

__all__ = ["examine"]


def examine(settings: Settings) -> list[Check]:
    """Look at everything that a site needs, of the servers at those that it names.

    Nothing is changed, and what fails is a check's result.
    """
    options = settings.rollout.acceptance
    checks = check_machine(options)
    if "database" in options.servers:
        checks += check_database(settings.database)
    if "kafka" in options.servers:
        checks += check_kafka(settings.kafka)
    if "mqtt" in options.servers:
        checks += check_mqtt(settings.mqtt)
    return [*checks, *check_interfaces(options)]
