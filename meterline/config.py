"""Configuration: a TOML file, then environment variables, with secrets in files.

The file is named by ``METERLINE_CONFIG`` or ``--config``. A ``local.toml`` beside it overrides single settings: the
native stack writes its file anew at each start, and leaves that one alone. A variable such as
``METERLINE_KAFKA__BOOTSTRAP`` overrides both. A secret is never a value here: each is the path of a file that holds it.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from psycopg.conninfo import make_conninfo
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from grid.limits import DEFAULTS, Limit, Limits
from grid.loss_rules import LoadVariation, LossRules
from grid.model import UnitKind
from grid.thresholds import DEFAULTS as DEFAULT_THRESHOLDS
from grid.thresholds import Threshold, Thresholds
from ingest.checks import MAX_BEHIND_US

LOCAL_FILE = "local.toml"
#: What is this many days late is still taken.
LATE_D = MAX_BEHIND_US // 86_400_000_000
_PREFIX = "METERLINE_"
_NESTED = "__"


class ConfigError(RuntimeError):
    """The configuration can't be used; the message says what to mend."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StackSection(_Section):
    """The native stack that this configuration belongs to."""

    home: Path


class MqttSection(_Section):
    """The broker and the bridge's account there."""

    host: str = "127.0.0.1"
    port: int = Field(1883, ge=1, le=65_535)
    username: str = "bridge"
    password_file: Path
    gateway_passwords_dir: Path | None = None
    ca_file: Path | None = None


class KafkaSection(_Section):
    """The Kafka cluster."""

    bootstrap: str = "127.0.0.1:9092"
    partitions: int = Field(8, ge=1, le=1_000)
    replication: int = Field(1, ge=1, le=7)


class DatabaseSection(_Section):
    """TimescaleDB and the three roles that work in it."""

    host: str = "127.0.0.1"
    port: int = Field(5432, ge=1, le=65_535)
    name: str = "meterline"
    user: str = "meterline_app"
    password_file: Path
    owner: str = "meterline_owner"
    owner_password_file: Path
    board: str = "meterline_board"
    board_password_file: Path
    sslmode: Literal["disable", "prefer", "require", "verify-ca", "verify-full"] = "prefer"

    def conninfo(self, role: Literal["app", "owner", "board"] = "app") -> str:
        """Libpq connection string of one role, with its password."""
        user, file = {
            "app": (self.user, self.password_file),
            "owner": (self.owner, self.owner_password_file),
            "board": (self.board, self.board_password_file),
        }[role]
        return make_conninfo(
            host=self.host,
            port=self.port,
            dbname=self.name,
            user=user,
            password=read_secret(file),
            sslmode=self.sslmode,
        )


class IngestSection(_Section):
    """What ingest gathers, sets apart and asks for again."""

    gather_below: int = Field(32, ge=0, le=4_096)
    gather_linger_s: float = Field(0.2, ge=0, le=5)
    backfill_after_s: float = Field(7_200, ge=60)
    gap_wait_s: float = Field(5, ge=0.1, le=3_600)
    gap_tries: int = Field(10, ge=1, le=1_000)
    gap_outstanding: int = Field(4, ge=1, le=100)
    gap_messages: int = Field(1_000, ge=1, le=100_000)


class WorkerSection(_Section):
    """How workers batch."""

    batch: int = Field(1_000, ge=1, le=20_000)
    linger_s: float = Field(0.2, gt=0, le=10)
    gather: int = Field(4_096, ge=1, le=100_000)
    gather_s: float = Field(1.5, gt=0, le=60)
    stalled_s: float = Field(30, gt=0, le=3_600)
    """A batch that is in hand for longer means that commits stall."""
    backfill_batch: int = Field(500, ge=1, le=20_000)
    backfill_share: float = Field(0.5, gt=0, le=1)


class LimitSection(_Section):
    """How long figures of a kind of unit stay open."""

    provisional_s: int = Field(ge=1, le=86_400)
    final_s: int = Field(ge=2, le=90 * 86_400)

    @classmethod
    def of(cls, kind: UnitKind) -> Self:
        """What holds for a kind of unit when nothing is set."""
        return cls(provisional_s=DEFAULTS[kind].provisional_s, final_s=DEFAULTS[kind].final_s)


class SettlingSection(_Section):
    """When figures are published, and when days begin."""

    time_zone: str = "UTC"
    area: LimitSection = LimitSection.of(UnitKind.AREA)
    line: LimitSection = LimitSection.of(UnitKind.FEEDER)
    region: LimitSection = LimitSection.of(UnitKind.REGION)
    period_share: float = Field(0.9, gt=0, le=1)
    """Part of a day or a month that must be settled for its loss to be computable."""
    period_every_s: float = Field(15, gt=0, le=3_600)

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"no time zone of that name: {value!r}; one is Asia/Shanghai") from None
        return value

    @model_validator(mode="after")
    def _upwards(self) -> Self:
        self.limits()
        return self

    def limits(self) -> Limits:
        """Limits by kind of unit; raises ValueError when a unit above waits less than one below."""
        of = dict.fromkeys(UnitKind, self.region)
        of |= {UnitKind.AREA: self.area, UnitKind.DEDICATED: self.area, UnitKind.FEEDER: self.line}
        limits = {kind: Limit(limit.provisional_s, limit.final_s) for kind, limit in of.items()}
        # Elements stand between lines and regions.
        limits[UnitKind.ELEMENT] = Limit(
            (self.line.provisional_s + self.region.provisional_s) // 2, (self.line.final_s + self.region.final_s) // 2
        )
        return Limits(limits)

    def zone(self) -> ZoneInfo:
        """The utility's time zone."""
        return ZoneInfo(self.time_zone)


class VariationSection(_Section):
    """How much loads vary inside an interval of one length."""

    interval_s: Literal[60, 300, 900, 1800, 3600] = 900
    constant_w2: float = Field(0.0, ge=0, allow_inf_nan=False)
    linear_w: float = Field(0.0, ge=0, allow_inf_nan=False)
    square: float = Field(0.0, ge=0, allow_inf_nan=False)
    spread: float = Field(0.0, ge=0, le=100)
    error: float = Field(0.0, ge=0, le=100)


class LossSection(_Section):
    """How technical loss and the error of a loss are made, and whether what is missing is estimated."""

    clock_sigma_s: float = Field(5.0, ge=0, le=3_600)
    estimate: bool = True
    variation: VariationSection | None = None


class ThresholdSection(_Section):
    """Between which loss rates a kind of unit counts as normal while the database says nothing, and what it may say."""

    low_rate: float = Field(ge=-1, le=1)
    high_rate: float = Field(ge=-1, le=1)
    min_inflow_wh_per_h: float = Field(ge=0, allow_inf_nan=False)
    lowest_rate: float = Field(-0.05, ge=-1, le=1)
    highest_rate: float = Field(0.30, ge=-1, le=1)

    @classmethod
    def of(cls, kind: UnitKind) -> Self:
        """What holds for a kind of unit when nothing is set."""
        (found,) = (t for t in DEFAULT_THRESHOLDS if t.unit_kind is kind)
        return cls(low_rate=found.low_rate, high_rate=found.high_rate, min_inflow_wh_per_h=found.min_inflow_wh_per_h)

    @model_validator(mode="after")
    def _in_range(self) -> Self:
        if not self.lowest_rate <= self.low_rate < self.high_rate <= self.highest_rate:
            raise ValueError("expected lowest_rate <= low_rate < high_rate <= highest_rate")
        return self

    def allows(self, low_rate: float, high_rate: float) -> bool:
        """Whether these limits may be set."""
        return self.lowest_rate <= low_rate < high_rate <= self.highest_rate


class ThresholdsSection(_Section):
    """Limits of loss rates by kind of unit."""

    area: ThresholdSection = ThresholdSection.of(UnitKind.AREA)
    dedicated: ThresholdSection = ThresholdSection.of(UnitKind.DEDICATED)
    line: ThresholdSection = ThresholdSection.of(UnitKind.FEEDER)
    region: ThresholdSection = ThresholdSection.of(UnitKind.REGION)
    voltage_level: ThresholdSection = ThresholdSection.of(UnitKind.VOLTAGE_LEVEL)
    element: ThresholdSection = ThresholdSection.of(UnitKind.ELEMENT)

    def of(self, kind: UnitKind) -> ThresholdSection:
        """The section of a kind of unit."""
        found: ThresholdSection = getattr(self, "line" if kind is UnitKind.FEEDER else kind.value)
        return found

    def defaults(self) -> tuple[Threshold, ...]:
        """What holds while the database says nothing."""
        sections = ((kind, self.of(kind)) for kind in UnitKind)
        return tuple(Threshold(kind, s.low_rate, s.high_rate, s.min_inflow_wh_per_h) for kind, s in sections)


class ScadaSection(_Section):
    """What is made of SCADA points."""

    stand_in_interval_s: Literal[60, 300, 900, 1800, 3600] = 900


class WebhookTarget(_Section):
    """A receiver of webhooks, signed after Standard Webhooks."""

    name: str = Field(min_length=1, max_length=64)
    url: str
    secret_file: Path
    allow_private: bool = False
    """Whether an address on a private network or this machine may be called."""


class AlertsSection(_Section):
    """When loss is high, and whom to tell."""

    threshold_rate: float = Field(0.10, gt=0, lt=1)
    window_h: int = Field(24, ge=1, le=31 * 24)
    min_hours: float = Field(6, ge=0)
    min_inflow_wh: int = Field(10_000, ge=0)
    every_s: float = Field(10, gt=0)
    webhooks: tuple[WebhookTarget, ...] = ()


class SyncSection(_Section):
    """Who is told of changes of the grid model."""

    webhooks: tuple[WebhookTarget, ...] = ()


class RetentionSection(_Section):
    """How many days rows are kept; what still waits is kept longer."""

    # By default also what is late as can be and then waits in Kafka for as long as it can.
    blocks_d: int = Field(415, ge=1, le=36_500)
    balances_d: int = Field(1_826, ge=1, le=36_500, validate_default=True)
    scada_d: int = Field(90, ge=3, le=36_500)
    rejected_d: int = Field(90, ge=1, le=36_500)
    outbox_d: int = Field(90, ge=1, le=36_500)
    deliveries_d: int = Field(90, ge=1, le=36_500)

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


class Settings(BaseSettings):
    """All settings of Meterline."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, env_nested_delimiter=_NESTED, extra="forbid", frozen=True)

    stack: StackSection | None = None
    mqtt: MqttSection
    kafka: KafkaSection = KafkaSection()
    database: DatabaseSection
    ingest: IngestSection = IngestSection()
    worker: WorkerSection = WorkerSection()
    settling: SettlingSection = SettlingSection()
    loss: LossSection = LossSection()
    thresholds: ThresholdsSection = ThresholdsSection()
    scada: ScadaSection = ScadaSection()
    alerts: AlertsSection = AlertsSection()
    sync: SyncSection = SyncSection()
    retention: RetentionSection = RetentionSection()
    log_level: Literal["debug", "info", "warning", "error"] = "info"


def loss_rules(settings: Settings) -> LossRules:
    """What losses are judged by."""
    found = settings.loss.variation
    variation = None if found is None else LoadVariation(**found.model_dump())
    return LossRules(
        Thresholds(settings.thresholds.defaults()),
        settings.loss.clock_sigma_s,
        variation,
        settings.loss.estimate,
        settings.settling.zone(),
    )


def load_settings(path: Path) -> Settings:
    """Read the configuration file at `path`; environment variables override it.

    Raises
    ------
    ConfigError
        When the file isn't there or doesn't say what it must.
    """
    if not path.is_file():
        raise ConfigError(f"no configuration at {path}: start the stack (./run --keep) or name one with --config")
    local = path.with_name(LOCAL_FILE)
    texts = {file: _read_toml(file) for file in (local, path) if file.is_file()}

    class FromFile(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (env_settings, *(InitSettingsSource(settings_cls, values) for values in texts.values()))

    try:
        return FromFile()
    except ValidationError as error:
        first = error.errors()[0]
        place = first["loc"]
        source = _source(place, texts) or (len(place) > 1 and _source(place[:-1], texts)) or path
        raise ConfigError(f"{source}: {'.'.join(str(part) for part in place)} {_complaint(first)}") from None
    except SettingsError as error:
        raise ConfigError(f"the environment's {_PREFIX}… can't be used: {error}") from None


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"can't read {path}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(f"{path} is not TOML: {error}") from None


def _source(setting: Sequence[int | str], texts: dict[Path, dict[str, Any]]) -> str | Path | None:
    """The variable or file that a setting's value comes from; None when nothing gives one."""
    names = [str(part) for part in setting]
    variables = {name.upper() for name in os.environ}
    for length in range(len(names), 0, -1):
        variable = _PREFIX + _NESTED.join(names[:length]).upper()
        if variable in variables:
            return variable
    for file, values in texts.items():
        found: Any = values
        for part in setting:
            try:
                found = found[part]
            except (KeyError, IndexError, TypeError):
                break
        else:
            return file
    return None


def _complaint(error: ErrorDetails) -> str:
    known = {"missing": "is missing", "extra_forbidden": "is no setting"}
    return known.get(error["type"]) or f"is {error['input']!r:.60}: {error['msg']}"


def read_secret(path: Path) -> str:
    """The secret in a file, without the line's end.

    Raises
    ------
    ConfigError
        When it can't be read.
    """
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise ConfigError(f"can't read the secret {path}: {error.strerror}") from None
