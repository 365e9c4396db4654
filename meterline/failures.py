"""Failures that a user can mend, each as one line that says what to do."""

from __future__ import annotations

import psycopg
from kafka.errors import KafkaError

from console.asking import AskError
from console.reading import ChoiceError, SnapshotError
from console.window import RangeError
from deploy.stack import StackError
from ingest.sources.files import FileError
from ingest.sources.mqtt.bridge import BridgeError
from meterline.city import CityError
from meterline.demonstration import PublisherError
from meterline.model_file import ModelFileError
from meterline.points_file import PointsFileError
from meterline.ready import NotReadyError
from meterline.replay_moments import ChangesFileError
from meterline.replaying import ReplayError
from meterline.score.reading import ScoreError
from meterline.settings.section import ConfigError
from store.connection import LOST
from store.points import UnknownReferenceError
from store.rollout import TakenNumberError, UnknownCodeError
from streams.ordering import OutOfOrderError
from sync.load import InvalidModelError
from sync.rollout.errors import RolloutError
from twin.gateway import BrokerError
from twin.ledger import LedgerError
from twin.simbench import DataMissingError
from twin.topology import NoSolutionError
from twin.truth_tables import TruthError

_PLAIN = (
    AskError,
    BridgeError,
    BrokerError,
    ChangesFileError,
    ChoiceError,
    CityError,
    ConfigError,
    DataMissingError,
    FileError,
    InvalidModelError,
    LedgerError,
    ModelFileError,
    NoSolutionError,
    NotReadyError,
    PointsFileError,
    OutOfOrderError,
    PublisherError,
    RangeError,
    ReplayError,
    RolloutError,
    ScoreError,
    SnapshotError,
    StackError,
    TakenNumberError,
    TruthError,
    UnknownCodeError,
    UnknownReferenceError,
)
#: The database answers and isn't ours yet: another release's, or never migrated.
_NOT_MIGRATED = (
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.InvalidSchemaName,
    psycopg.errors.InsufficientPrivilege,
)


def explain(error: Exception) -> str | None:
    """One line for an expected failure; None for a bug, which shall show its traceback."""
    if isinstance(error, _PLAIN):
        return str(error)
    if isinstance(error, LOST):
        return f"the database can't be used ({_first_line(error)}); `meterline doctor` tells more"
    if isinstance(error, _NOT_MIGRATED):
        return f"the database isn't that of this release ({_first_line(error)}): run `meterline migrate`"
    if isinstance(error, KafkaError):
        return f"Kafka can't be used ({error}); `meterline doctor` tells more"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else f"no connection: {error.strerror}"
    return None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
