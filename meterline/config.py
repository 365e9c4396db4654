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
from typing import Any, Literal

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from grid.loss_rules import LoadVariation, LossRules
from grid.thresholds import Thresholds
from meterline.settings.alerts import AlertsSection
from meterline.settings.figures import (
    LossSection,
    ScadaSection,
    SettlingSection,
    ThresholdsSection,
    UsageSection,
    ValidationSection,
)
from meterline.settings.section import ConfigError
from meterline.settings.servers import (
    ConsoleSection,
    DatabaseSection,
    IngestSection,
    KafkaSection,
    MqttSection,
    RetentionSection,
    StackSection,
    WorkerSection,
)
from meterline.settings.sync import RolloutSection, SyncSection

LOCAL_FILE = "local.toml"
_PREFIX = "METERLINE_"
_NESTED = "__"


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
    validation: ValidationSection = ValidationSection()
    thresholds: ThresholdsSection = ThresholdsSection()
    scada: ScadaSection = ScadaSection()
    alerts: AlertsSection = AlertsSection()
    sync: SyncSection = SyncSection()
    usage: UsageSection = UsageSection()
    rollout: RolloutSection = RolloutSection()
    console: ConsoleSection = ConsoleSection()
    retention: RetentionSection = RetentionSection()
    log_level: Literal["debug", "info", "warning", "error"] = "info"


def loss_rules(settings: Settings) -> LossRules:
    """What losses are judged by."""
    found = settings.loss.variation
    variation = None if found is None else LoadVariation(**found.model_dump())
    return LossRules(
        Thresholds(settings.thresholds.defaults()),
        settings.loss.clock_sigma_s,
        settings.loss.starting_power_w,
        variation,
        settings.loss.estimate,
        settings.settling.zone(),
        settings.validation.keep_out,
        settings.loss.customer_power_step,
        settings.loss.unit_power_step,
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
