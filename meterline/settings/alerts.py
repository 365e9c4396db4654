"""Who is told of alerts, by what means, and when."""

from __future__ import annotations

from datetime import time
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from meterline.settings.section import Section


class WebhookTarget(Section):
    """A receiver of webhooks, signed after Standard Webhooks."""

    name: str = Field(min_length=1, max_length=64)
    url: str
    secret_file: Path
    allow_private: bool = False
    """Whether an address on a private network or this machine may be called."""


RoleName = Literal[
    "control_room", "marketing", "field_crew", "metering", "customer_service", "working_group", "leading_group"
]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class AlertWebhookTarget(WebhookTarget):
    """A receiver of webhooks about alerts."""

    roles: tuple[RoleName, ...] = ()
    """Which roles it reaches; none: all."""


class ChannelSection(Section):
    """Another means by which roles are told."""

    name: str = Field(min_length=1, max_length=64)
    type: Literal["apprise", "alertmanager", "kafka", "grafana"]
    url: str = ""
    """Address of Alertmanager or Grafana."""
    secret_file: Path | None = None
    """Apprise's address, or a bearer token."""
    allow_private: bool = False
    """Of apprise, also services of which it can't be told where they are."""
    roles: tuple[RoleName, ...] = ()

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.type in ("alertmanager", "grafana")) != bool(self.url):
            raise ValueError("alertmanager and grafana need a url, and the others take none")
        if self.type in ("apprise", "grafana") and self.secret_file is None:
            raise ValueError(f"{self.type} needs a secret_file")
        return self


class CalendarSection(Section):
    """Working hours in the utility's zone."""

    days: tuple[Weekday, ...] = WEEKDAYS
    opens: time = time(0)
    closes: time = time(0)
    """Not later than `opens`: on the next day."""


class TierSection(Section):
    """Whom to tell when nobody has acknowledged in time."""

    after_min: float = Field(gt=0, le=14 * 1_440)
    role: RoleName


class RouteSection(Section):
    """Leads alerts to a role."""

    role: RoleName
    kinds: tuple[str, ...] = ("*",)
    units: tuple[str, ...] = ("*",)
    min_severity: Literal["info", "warning", "critical"] = "info"
    calendar: str | None = None
    hold: bool = False
    escalate: tuple[TierSection, ...] = Field((), max_length=5)


class SenseSection(Section):
    """How long a condition must hold before it alarms, and be gone before it is over."""

    hold_s: float = Field(0, ge=0, le=30 * 86_400)
    clear_s: float = Field(0, ge=0, le=30 * 86_400)


class AlertsSection(Section):
    """When results alarm, and who is told."""

    super_high_rate: float = Field(0.30, gt=0, le=1)
    window_h: int = Field(24, ge=1, le=31 * 24)
    min_hours: float = Field(6, ge=0)
    every_s: float = Field(1, gt=0)
    notice_interval_s: float = Field(60, ge=0, le=86_400)
    link: str | None = None
    sense: dict[str, SenseSection] = Field(default_factory=dict)
    calendars: dict[str, CalendarSection] = Field(default_factory=dict)
    routes: tuple[RouteSection, ...] = ()
    webhooks: tuple[AlertWebhookTarget, ...] = ()
    channels: tuple[ChannelSection, ...] = ()

    @model_validator(mode="after")
    def _known_calendars(self) -> Self:
        for route in self.routes:
            if route.calendar is not None and route.calendar not in self.calendars:
                raise ValueError(f"no calendar is named {route.calendar!r}")
        return self
