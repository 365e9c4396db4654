"""Where servers and programs are, how they batch, and how long rows are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from psycopg.conninfo import make_conninfo
from pydantic import Field, ValidationInfo, field_validator

from ingest.checks import MAX_BEHIND_US
from meterline.settings.section import ConfigError, Section, read_secret

#: What is this many days late is still taken.
LATE_D = MAX_BEHIND_US // 86_400_000_000


class StackSection(Section):
    """The native stack that this configuration belongs to."""

    home: Path


class MqttSection(Section):
    """The broker and the bridge's account there."""

    host: str = "127.0.0.1"
    port: int = Field(1883, ge=1, le=65_535)
    username: str = "bridge"
    password_file: Path
    gateway_passwords_dir: Path | None = None
    ca_file: Path | None = None


class KafkaSection(Section):
    """The Kafka cluster."""

    bootstrap: str = "127.0.0.1:9092"
    partitions: int = Field(8, ge=1, le=1_000)
    replication: int = Field(1, ge=1, le=7)


class DatabaseSection(Section):
    """TimescaleDB and the roles that work in it."""

    host: str = "127.0.0.1"
    port: int = Field(5432, ge=1, le=65_535)
    name: str = "meterline"
    user: str = "meterline_app"
    password_file: Path
    owner: str = "meterline_owner"
    owner_password_file: Path
    board: str = "meterline_board"
    board_password_file: Path
    revenue: str = "meterline_revenue"
    revenue_password_file: Path | None = None
    sslmode: Literal["disable", "prefer", "require", "verify-ca", "verify-full"] = "prefer"

    def conninfo(self, role: Literal["app", "owner", "board", "revenue"] = "app") -> str:
        """Libpq connection string of one role, with its password."""
        user, file = {
            "app": (self.user, self.password_file),
            "owner": (self.owner, self.owner_password_file),
            "board": (self.board, self.board_password_file),
            "revenue": (self.revenue, self.revenue_password_file),
        }[role]
        if file is None:
            raise ConfigError(f"database.{role}_password_file is missing")
        return make_conninfo(
            host=self.host,
            port=self.port,
            dbname=self.name,
            user=user,
            password=read_secret(file),
            sslmode=self.sslmode,
        )


class IngestSection(Section):
    """What ingest gathers, sets apart and asks for again."""

    gather_below: int = Field(32, ge=0, le=4_096)
    gather_linger_s: float = Field(0.2, ge=0, le=5)
    backfill_after_s: float = Field(7_200, ge=60)
    reading_linger_s: float = Field(1, ge=0, le=60)
    reading_hold: int = Field(400_000, ge=1, le=2_000_000)
    gap_wait_s: float = Field(5, ge=0.1, le=3_600)
    gap_tries: int = Field(10, ge=1, le=1_000)
    gap_outstanding: int = Field(4, ge=1, le=100)
    gap_messages: int = Field(1_000, ge=1, le=100_000)


class WorkerSection(Section):
    """How workers batch."""

    batch: int = Field(1_000, ge=1, le=20_000)
    linger_s: float = Field(0.5, gt=0, le=10)
    gather: int = Field(4_096, ge=1, le=100_000)
    gather_s: float = Field(1.5, gt=0, le=60)
    stalled_s: float = Field(30, gt=0, le=3_600)
    """A batch that is in hand for longer means that commits stall."""
    backfill_batch: int = Field(500, ge=1, le=20_000)
    backfill_share: float = Field(0.5, gt=0, le=1)


class ConsoleSection(Section):
    """Where the console listens, and how much it asks the database for."""

    host: str = "127.0.0.1"
    port: int = Field(8080, ge=1, le=65_535)
    hosts: tuple[str, ...] = ("127.0.0.1", "localhost")
    """Names under which it may be asked for."""
    connections: int = Field(3, ge=1, le=32)
    timeout_s: float = Field(5, gt=0, le=60)
    rows: int = Field(5_000, ge=1, le=100_000)
    viewers: int = Field(200, ge=1, le=10_000)
    watches: int = Field(50, ge=1, le=1_000)
    longest_d: int = Field(400, ge=1, le=3_660)
    refresh_s: float = Field(2, ge=0.5, le=3_600)
    revenue: bool = False
    """Whether boards of revenue protection are served too: for a console that only they may see."""
    tokens_file: Path | None = None
    """Hashes of the tokens of the alerts' API; without it there is no such API."""
    requests_per_s: float = Field(20, gt=0, le=10_000)
    request_burst: int = Field(100, ge=1, le=100_000)

    @property
    def url(self) -> str:
        """Where a browser on this machine finds it."""
        host = "127.0.0.1" if self.host in {"0.0.0.0", "::"} else self.host  # noqa: S104 - compared, not listened at
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/"


class RetentionSection(Section):
    """How many days rows are kept; what still waits is kept longer."""

    # By default also what is late as can be and then waits in Kafka for as long as it can.
    blocks_d: int = Field(415, ge=1, le=36_500)
    balances_d: int = Field(1_826, ge=1, le=36_500, validate_default=True)
    scada_d: int = Field(90, ge=3, le=36_500)
    events_d: int = Field(415, ge=3, le=36_500)
    rejected_d: int = Field(90, ge=1, le=36_500)
    outbox_d: int = Field(90, ge=1, le=36_500)
    deliveries_d: int = Field(90, ge=1, le=36_500)
    findings_d: int = Field(1_826, ge=1, le=36_500)

    @field_validator("blocks_d")
    @classmethod
    def _longer_than_late(cls, value: int) -> int:
        if value <= LATE_D:
            raise ValueError(
                f"at least {LATE_D + 1}: readings are taken {LATE_D} days late, and settled with what is stored"
            )
        return value

    @field_validator("balances_d")
    @classmethod
    def _longer_than_readings(cls, value: int, info: ValidationInfo) -> int:
        if value < info.data.get("blocks_d", 0):
            raise ValueError("results are kept at least as long as readings, retention.blocks_d")
        return value
