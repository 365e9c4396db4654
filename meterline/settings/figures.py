"""When figures are published and what they are judged by."""

from __future__ import annotations

from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator, model_validator

from grid.doubt import DoubtRule
from grid.limits import DEFAULTS, Limit, Limits
from grid.model import UnitKind
from grid.thresholds import DEFAULTS as DEFAULT_THRESHOLDS
from grid.thresholds import Threshold
from meterline.settings.section import Section


class LimitSection(Section):
    """How long figures of a kind of unit stay open."""

    provisional_s: int = Field(ge=1, le=86_400)
    final_s: int = Field(ge=2, le=90 * 86_400)

    @classmethod
    def of(cls, kind: UnitKind) -> Self:
        """What holds for a kind of unit when nothing is set."""
        return cls(provisional_s=DEFAULTS[kind].provisional_s, final_s=DEFAULTS[kind].final_s)


class SettlingSection(Section):
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


class VariationSection(Section):
    """How much loads vary inside an interval of one length."""

    interval_s: Literal[60, 300, 900, 1800, 3600] = 900
    constant_w2: float = Field(0.0, ge=0, allow_inf_nan=False)
    linear_w: float = Field(0.0, ge=0, allow_inf_nan=False)
    square: float = Field(0.0, ge=0, allow_inf_nan=False)
    spread: float = Field(0.0, ge=0, le=100)
    error: float = Field(0.0, ge=0, le=100)


class LossSection(Section):
    """How technical loss and the error of a loss are made, and whether what is missing is estimated."""

    clock_sigma_s: float = Field(5.0, ge=0, le=3_600)
    starting_power_w: float = Field(4.6, ge=0, le=1_000)
    customer_power_step: float = Field(1.0, ge=0, le=10)
    unit_power_step: float = Field(0.15, ge=0, le=10)
    estimate: bool = True
    variation: VariationSection | None = None


class ValidationSection(Section):
    """Limits of the rules that look at a meter's day, and which of them keep readings out of estimates' history."""

    spike_ratio: float = Field(3.0, gt=1, le=1_000)
    spike_least_wh: int = Field(1_000, ge=0, le=10**9)
    zero_hours: float = Field(24.0, gt=0, le=24)
    flat_intervals: int = Field(12, ge=2, le=1_440)
    multiplier_days: int = Field(5, ge=2, le=15)
    multiplier_tolerance: float = Field(0.15, gt=0, lt=1)
    multiplier_factors: tuple[Annotated[float, Field(gt=1, le=100_000)], ...] = (10, 20, 30, 40, 60, 80, 100)
    keep_out: tuple[DoubtRule, ...] = (DoubtRule.SPIKE, DoubtRule.FLAT_RUN)


class ThresholdSection(Section):
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


class ThresholdsSection(Section):
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


class ScadaSection(Section):
    """What is made of SCADA points."""

    stand_in_interval_s: Literal[60, 300, 900, 1800, 3600] = 900


class UsageSection(Section):
    """When usage is abnormal, and what of it becomes an alert."""

    every_s: float = Field(60, gt=0, le=86_400)
    history_d: int = Field(120, ge=63, le=400)
    fall: float = Field(6.0, gt=0, le=100)
    blame: float = Field(60.0, gt=0, le=100_000)
    blame_share: float = Field(0.03, gt=0, le=1)
    min_confidence: float = Field(0.6, ge=0, le=1)
    min_kwh: float = Field(20, ge=0, allow_inf_nan=False)
    #: Money a kWh by tariff class.
    prices: dict[str, float] = Field(default_factory=dict)
    generating_tariffs: tuple[str, ...] = ("generation",)
    live_every_s: float = Field(10, gt=0, le=3_600)
    live_lag_s: float = Field(120, ge=0, le=21_600)
    least_wh: int = Field(20, ge=0, le=100_000)
    capacity_share: float = Field(1.1, gt=0, le=10)
    low_v: float = Field(207, gt=0, le=1_000)
    high_v: float = Field(253, gt=0, le=1_000)
    overload_share: float = Field(1.0, gt=0, le=10)
    #: Comparison of records with voltages, energies and losses.
    records_every_d: int = Field(7, ge=1, le=366)
    records_d: int = Field(28, ge=14, le=92)
    neighbours: int = Field(4, ge=1, le=20)
    sure: float = Field(3.6, gt=0, le=20)

    @model_validator(mode="after")
    def _band(self) -> Self:
        if self.low_v >= self.high_v:
            raise ValueError("expected low_v < high_v")
        return self
