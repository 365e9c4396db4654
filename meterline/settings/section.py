"""What sections of the configuration share: they take no unknown setting, and secrets are read from files."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict


class ConfigError(RuntimeError):
    """The configuration can't be used; the message says what to mend."""


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


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
