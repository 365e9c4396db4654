"""What Meterline's services find of a city that was replayed: for the boards to show."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from zoneinfo import ZoneInfo

from alerts.evaluate import evaluate
from alerts.lifecycle import Action
from alerts.operate import operate
from alerts.outage_watch import OutageWatch
from alerts.routing import Routing
from alerts.rules import AlertPolicy
from alerts.work_orders import issue, report
from benefit.update import update_ledger
from grid.limits import Limits
from grid.model import UnitKind
from grid.network import SwitchPosition
from grid.thresholds import DEFAULTS
from meterline.usage import run_through
from store.connection import Connection
from store.deliveries import Target
from store.topology import apply_switch_position
from streams.steps.validate import DayRules
from streams.usage import UsageRules
from streams.usage_live import LiveSettings, LiveWatch
from streams.validation import validate_due
from sync.delivery import Subscriber
from sync.mapping import parse_mapping
from sync.match import match
from sync.reconcile import owe_repairs, reconcile
from sync.take import TakeRules, find_files, take_file
from sync.targets.csv_file import CsvFolder
from tests.benefit_grid import approve_some
from twin.city import City
from twin.sources.faults import FaultPlan
from twin.sources.headend import write_headend
from twin.sources.write import write_sources

#: So strict that whichever days it is, an ordinary area alarms.
STRICT = tuple(replace(each, high_rate=0.01) for each in DEFAULTS)


def find(connection: Connection, city: City, folder: Path, midnight: datetime, zone: ZoneInfo) -> None:
    """Let every service look once at what was replayed up to `midnight`; `connection` is in autocommit."""
    now = datetime.now(UTC)
    limits = Limits()
    day = midnight.date() - timedelta(days=1)
    run_through(connection, UsageRules(zone), day)
    watch = LiveWatch(LiveSettings())
    while watch.look(connection, midnight):
        pass
    validate_due(
        connection, DayRules(), limits.of(UnitKind.AREA).final_s, zone, round(now.timestamp() * 1e6),
        days=[day - timedelta(days=1), day],
    )  # fmt: skip
    # What must hold for a while before it alarms is looked at twice.
    for at in (midnight, midnight + timedelta(minutes=1)):
        evaluate(connection, AlertPolicy(), Routing(), at, defaults=STRICT)
    _compare_records(connection, city, folder / "sources", zone)
    _compare_copy(connection, folder / "copy")
    _act(connection, now)
    _open_breaker(connection, now - timedelta(hours=1))
    OutageWatch().look(connection, now)
    evaluate(connection, AlertPolicy(), Routing(), now)
    approve_some(connection)
    assert update_ledger(connection, zone, datetime.now(UTC)).written


def _compare_records(connection: Connection, city: City, folder: Path, zone: ZoneInfo) -> None:
    """Extracts of the source systems with errors, then with fewer and other ones."""
    mapping = parse_mapping((files("sync") / "default_mapping.toml").read_text("utf-8"))
    for seed, share in ((5, 0.08), (6, 0.04)):
        truth = write_sources(city.network, city.recorded, folder / str(seed), seed, FaultPlan.of(share))
        write_headend(truth, folder / str(seed))
        now = datetime.now(UTC)
        for system in sorted((folder / str(seed)).iterdir()):
            for file in find_files(system):
                take_file(connection, file, system.name, TakeRules(withheld=mapping.withheld(system.name)), now)
        match(connection, mapping, now.astimezone(zone).date(), now)


def _compare_copy(connection: Connection, folder: Path) -> None:
    """A target that holds nothing yet is owed all of the model."""
    subscriber = Subscriber(Target("gis", "", channel="csv"), CsvFolder(folder))
    reconcile(connection, subscriber, lambda: datetime.now(UTC))
    owe_repairs(connection, subscriber.name)


def _act(connection: Connection, now: datetime) -> None:
    """Marketing looks into a finding about a meter, and a crew has checked an area."""
    (looked_into, checked), *_ = connection.execute(
        """
        select
          min(alert_id) filter (where meter is not null),
          min(alert_id) filter (where meter is null and kind = 'high_loss')
        from alerts.alert
        where state = 'open'
        """
    )
    operate(connection, looked_into, Action.ASSIGN, "chief", "to look into", now, assignee="meterline_revenue")
    order = issue(connection, checked, "crew", "chief", now, expected_wh=50_000)
    report(connection, order.work_order_id, "confirmed", "crew", "a bridge before the meter", now, found_wh=61_000)


def _open_breaker(connection: Connection, at: datetime) -> None:
    """The last feeder that supplies areas loses its supply."""
    breakers = connection.execute(
        "select code from grid.switch where kind = 'breaker' and normal = 'closed' order by code desc"
    ).fetchall()
    for (breaker,) in breakers:
        if apply_switch_position(connection, breaker, SwitchPosition.OPEN, at).dead:
            return
    raise AssertionError(f"none of {len(breakers)} breakers supplies anything")
