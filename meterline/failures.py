"""Failures that a user can mend, each as one line that says what to do."""

from __future__ import annotations

import psycopg
from kafka.errors import KafkaError

from deploy.stack import StackError
from ingest.sources.mqtt.bridge import BridgeError
from meterline.config import ConfigError
from meterline.ready import NotReadyError
from twin.simbench import DataMissingError


def explain(error: Exception) -> str | None:
    """One line for an expected failure; None for a bug, which shall show its traceback."""
    if isinstance(error, (ConfigError, BridgeError, StackError, DataMissingError, NotReadyError)):
        return str(error)
    if isinstance(error, psycopg.OperationalError):
        first = str(error).strip().splitlines()[0]
        return f"the database can't be used ({first}); `meterline doctor` tells more"
    if isinstance(error, KafkaError):
        return f"Kafka can't be used ({error}); `meterline doctor` tells more"
    return None
