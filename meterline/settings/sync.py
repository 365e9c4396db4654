"""Source systems, copies of the grid model, and the roll-out."""

from __future__ import annotations

from datetime import time, timedelta
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from grid.channel import Limits
from meterline.settings.alerts import WEEKDAYS, CalendarSection, WebhookTarget
from meterline.settings.section import Section
from sync.mapping import Department
from sync.proposals.lifecycle import ReviewRules


class SyncTarget(Section):
    """A system that holds a copy of the grid model and is read back."""

    name: str = Field(min_length=1, max_length=64)
    type: Literal["webhook", "kafka", "postgres", "csv", "cim"]
    url: str = ""
    """Of a webhook: where it is told."""
    read_url: str = ""
    """Of a webhook: where it says what it holds; without it, it isn't read back."""
    secret_file: Path | None = None
    """Of a webhook: the key of its signatures."""
    allow_private: bool = False
    topic: str = ""
    """Of Kafka."""
    conninfo_file: Path | None = None
    """Of PostgreSQL: a file with the connection string."""
    table: str = ""
    """Of PostgreSQL: with a schema before a dot if need be."""
    path: Path | None = None
    """Of CSV a folder, of CIM a file."""
    subjects: tuple[Literal["grid", "loss", "findings", "work_orders"], ...] = ("grid",)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        needed = {
            "webhook": {"url", "secret_file"},
            "kafka": {"topic"},
            "postgres": {"conninfo_file", "table"},
            "csv": {"path"},
            "cim": {"path"},
        }
        given = {
            name
            for name in ("url", "read_url", "secret_file", "topic", "conninfo_file", "table", "path")
            if getattr(self, name)
        }
        optional = {"read_url"} if self.type == "webhook" else set()
        if not needed[self.type] <= given or given - needed[self.type] - optional:
            raise ValueError(f"a target of type {self.type} needs {', '.join(sorted(needed[self.type]))}, and no other")
        if self.type == "cim" and set(self.subjects) != {"grid"}:
            raise ValueError("a CIM file carries the grid model alone")
        return self


class SyncSection(Section):
    """What source systems say, who approves changes of the grid model, and who is told of them."""

    webhooks: tuple[WebhookTarget, ...] = ()
    targets: tuple[SyncTarget, ...] = ()
    #: How often all that a target holds is compared with the model.
    reconcile_every_s: float = Field(3_600, ge=10, le=604_800)
    #: What their columns mean; none = the mapping that comes with Meterline.
    mapping_file: Path | None = None
    take_in_part: bool = False
    max_refused: int = Field(1_000, ge=1, le=100_000)
    #: Keys the hashes that stand in place of what is withheld.
    withheld_key_file: Path | None = None
    approvals_model: int = Field(2, ge=1, le=5)
    approvals_correction: int = Field(1, ge=1, le=5)
    proposal_due_d: int = Field(14, ge=1, le=365)
    departments: dict[str, tuple[Department, ...]] = Field(default_factory=dict, max_length=10_000)
    """For which of them an account acts on the command line without a token; empty: for any that it names."""

    def review_rules(self) -> ReviewRules:
        """As `sync.proposals` takes them."""
        return ReviewRules(self.approvals_model, self.approvals_correction, timedelta(days=self.proposal_due_d))


class PromiseSection(Section):
    """Working hours within which a ticket is taken, and resolved."""

    respond_h: float = Field(gt=0, le=1_000)
    resolve_h: float = Field(gt=0, le=10_000)


class ChannelLimits(Section):
    """What the channel of a site must keep; see `grid.channel.Limits`."""

    delay_s: float = Field(1.0, gt=0, le=3_600)
    jitter_s: float = Field(0.3, gt=0, le=3_600)
    loss: float = Field(0.01, ge=0, lt=1)
    clock_s: float = Field(1.0, gt=0, le=86_400)
    share: float = Field(0.1, gt=0, le=1)

    def limits(self) -> Limits:
        """As `grid.channel` takes them."""
        return Limits(**self.model_dump())


class EndpointSection(Section):
    """Something that a site must reach."""

    name: str = Field(min_length=1, max_length=64)
    url: str = Field(max_length=500, pattern=r"^(tcp|tls|http|https|ipp|socket|cups)://[^\s/]+\S*$")
    """tcp and tls with a port, http or https; of printers ipp, socket, or cups with the queue's name."""


class AcceptanceSection(Section):
    """What `meterline doctor --acceptance` asks of a site."""

    cpus: int = Field(2, ge=1)
    memory_gib: float = Field(3.5, gt=0)
    disk_gib: float = Field(5, ge=0)
    disk_path: Path = Path("/")
    servers: tuple[Literal["database", "kafka", "mqtt"], ...] = ("database", "kafka", "mqtt")
    """Those that the site works with itself; a site that has a gateway alone names mqtt, or none."""
    endpoints: tuple[EndpointSection, ...] = Field((), max_length=100)
    printers: tuple[EndpointSection, ...] = Field((), max_length=100)
    time_service: bool = True
    time_server: str = ""
    """Host, or host:port, that is asked by SNTP."""
    time_within_s: float = Field(1.0, gt=0)
    keys: dict[str, Path] = Field(default_factory=dict)
    """Public key of each site, PEM: who it doesn't name can't file."""


class ReportSection(Section):
    """A report that is sent by the channels of alerts."""

    span: Literal["daily", "weekly", "monthly"]
    level: Literal["unit", "working", "leading"]
    unit: str = Field("", max_length=64)
    at: time = time(7)
    """Local, of the day after what it covers has ended."""
    language: Literal["en", "zh"] = "en"
    targets: tuple[str, ...] = ()
    """Names of webhooks or channels of alerts; none: those that reach the role of the level."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.level == "unit") != bool(self.unit):
            raise ValueError("a report of level unit names its unit, and no other does")
        if self.level == "unit" and not self.targets:
            raise ValueError("a report of level unit names its targets: no role is that of a unit")
        return self


class RolloutSection(Section):
    """How the service desk of the roll-out works."""

    tiers: int = Field(2, ge=2, le=3)
    hours: CalendarSection = Field(
        default_factory=lambda: CalendarSection(days=WEEKDAYS[:5], opens=time(8), closes=time(18))
    )
    promises: dict[Literal["urgent", "high", "normal", "low"], PromiseSection] = Field(default_factory=dict)
    channel: ChannelLimits = ChannelLimits()
    acceptance: AcceptanceSection = AcceptanceSection()
    reports: tuple[ReportSection, ...] = Field((), max_length=1_000)
