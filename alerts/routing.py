"""Who is told of an alert, when, and who next when nobody answers; pure.

Routes lead from kind, severity and unit to roles, in the hours of a calendar in the utility's zone. A role is reached
through channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import lru_cache

from grid.calendar import Calendar
from grid.finding import Severity


class Role(StrEnum):
    """Who acts."""

    CONTROL_ROOM = "control_room"  # 调度
    MARKETING = "marketing"  # 营销
    FIELD_CREW = "field_crew"  # 配电运检
    METERING = "metering"  # 计量
    CUSTOMER_SERVICE = "customer_service"  # 客服
    WORKING_GROUP = "working_group"  # 工作组, of the roll-out
    LEADING_GROUP = "leading_group"  # 领导小组


@lru_cache(maxsize=4_096)
def _matches(text: str, patterns: tuple[str, ...]) -> bool:
    return "*" in patterns or any(fnmatchcase(text, pattern) for pattern in patterns)


@dataclass(frozen=True, slots=True)
class Tier:
    """Whom to tell when an alert is still untouched after this long."""

    after_s: float
    role: str


@dataclass(frozen=True, slots=True)
class Route:
    """Leads alerts to a role.

    Attributes
    ----------
    kinds, units
        Patterns as of file names; a unit matches by its own code or its feeder's.
    calendar
        None: at any time.
    hold
        Outside the calendar a notice waits for its begin; otherwise this route tells nobody then.
    tiers
        In order of time.
    """

    role: str
    kinds: tuple[str, ...] = ("*",)
    units: tuple[str, ...] = ("*",)
    min_severity: Severity = Severity.INFO
    calendar: Calendar | None = None
    hold: bool = False
    tiers: tuple[Tier, ...] = ()

    def __post_init__(self) -> None:
        times = [tier.after_s for tier in self.tiers]
        if times != sorted(set(times)) or any(seconds <= 0 for seconds in times):
            raise ValueError("tiers of escalation follow each other in time")

    def matches(self, subject: Subject) -> bool:
        """Whether it is for an alert, whatever the time."""
        return (
            subject.severity.rank >= self.min_severity.rank
            and _matches(subject.kind, self.kinds)
            and (_matches(subject.unit, self.units) or _matches(subject.feeder, self.units))
        )

    def tells_at(self, at: datetime) -> datetime | None:
        """When what happens at an instant is told; None: not by this route."""
        if self.calendar is None or self.calendar.is_open(at):
            return at
        return self.calendar.next_open(at) if self.hold else None


@dataclass(frozen=True, slots=True)
class Subject:
    """What routes look at."""

    kind: str
    severity: Severity
    unit: str
    feeder: str


@dataclass(frozen=True, slots=True)
class Channel:
    """A target and the roles that it reaches; none named: all.

    Attributes
    ----------
    every_end
        It keeps a list of its own of what is open: of a storm it is told every end, not only the first events.
    """

    target: str
    roles: frozenset[str] = frozenset()
    every_end: bool = False

    def reaches(self, role: str) -> bool:
        """Whether it does."""
        return not self.roles or role in self.roles


_OUTAGE_TIERS = (Tier(600, Role.CONTROL_ROOM), Tier(1_800, Role.FIELD_CREW))
#: What holds where no route is configured.
DEFAULT_ROUTES: tuple[Route, ...] = (
    Route(Role.CONTROL_ROOM, kinds=("outage",), tiers=_OUTAGE_TIERS),
    Route(Role.CUSTOMER_SERVICE, kinds=("outage",)),
    Route(
        Role.METERING,
        kinds=("negative_loss", "stopped_meter", "wrong_*", "*_ct", "*phase*", "clock_*", "meter_*", "missing_data"),
    ),
    Route(
        Role.WORKING_GROUP,
        kinds=(
            "milestone_slipped",
            "promise_broken",
            "decision_overdue",
            "channel_slow",
            "channel_unknown",
            "warning_order",
        ),
        tiers=(Tier(86_400, Role.LEADING_GROUP),),
    ),
    Route(Role.FIELD_CREW, kinds=("order_overdue",), tiers=(Tier(86_400, Role.MARKETING),)),
    Route(Role.MARKETING, kinds=("high_loss", "theft*", "*theft", "hook*", "uncontracted*", "over_*", "suspected*")),
)


@dataclass(frozen=True, slots=True)
class Routing:
    """Routes, the channels they end in, and how often one group of alerts may be told.

    Attributes
    ----------
    interval_s
        Between two notices of one group to one target.
    link
        Address of the console, put before an alert's path in what is told.
    """

    channels: tuple[Channel, ...] = ()
    routes: tuple[Route, ...] = DEFAULT_ROUTES
    interval_s: float = 60.0
    link: str | None = None

    @classmethod
    def to_all(cls, targets: Sequence[str], interval_s: float = 60.0) -> Routing:
        """Every target is told of everything."""
        return cls(tuple(Channel(target) for target in targets), interval_s=interval_s)

    def unreached(self) -> list[str]:
        """Roles to which alerts lead and that no channel reaches, in order."""
        wanted = {str(role) for route in self.routes for role in (route.role, *(tier.role for tier in route.tiers))}
        # What no route matches leads there.
        wanted.add(Role.CONTROL_ROOM.value)
        return sorted(role for role in wanted if not any(channel.reaches(role) for channel in self.channels))

    def owner(self, subject: Subject) -> tuple[str, tuple[Tier, ...]]:
        """The role that operates an alert, and its escalation: those of the first route that matches."""
        first = next((route for route in self.routes if route.matches(subject)), None)
        return (Role.CONTROL_ROOM.value, ()) if first is None else (str(first.role), first.tiers)

    def tell(self, subject: Subject, at: datetime) -> dict[str, datetime]:
        """When each target is told of what happens at an instant.

        Where no route is open at the time, the first that matches is: nothing is lost for a gap between two shifts.
        """
        matching = [route for route in self.routes if route.matches(subject)] or [Route(Role.CONTROL_ROOM)]
        times = [(route.role, when) for route in matching if (when := route.tells_at(at)) is not None]
        return self._targets(times or [(matching[0].role, at)])

    def tell_role(self, role: str, at: datetime) -> dict[str, datetime]:
        """The same for one role, whatever the hour: an escalation doesn't wait."""
        return self._targets([(role, at)])

    def _targets(self, times: Sequence[tuple[str, datetime]]) -> dict[str, datetime]:
        told: dict[str, datetime] = {}
        for role, when in times:
            for channel in self.channels:
                if channel.reaches(role):
                    told[channel.target] = min(when, told.get(channel.target, when))
        return told
