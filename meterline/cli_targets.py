"""Commands of `meterline sync` about targets that hold a copy: drift and repair."""

from __future__ import annotations

import threading
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meterline.cli_common import ConfigOption, JsonOption, fail, print_json, printable, read_settings
from meterline.cli_sync import LimitOption, print_rows

if TYPE_CHECKING:
    from meterline.config import Settings
    from sync.delivery import Subscriber

TargetOption = Annotated[str | None, typer.Option(help="Only this target")]


def drift(
    target: TargetOption = None,
    days: Annotated[int, typer.Option(min=1, max=3_660, help="Add up the minutes of this many days")] = 7,
    limit: LimitOption = 50,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Which targets disagree with the grid model, about what, and since when.

    Example: meterline sync drift --target billing --json
    """
    from meterline.bootstrap import opener
    from store.sync_targets import count_drift, drift_minutes, list_drift

    now = datetime.now(UTC)
    with opener(read_settings(config, quiet=True), "meterline-sync")() as connection:
        counts = [row for row in count_drift(connection) if target in (None, row["target"])]
        minutes = [
            row for row in drift_minutes(connection, now - timedelta(days=days), now) if target in (None, row["target"])
        ]
        rows = list_drift(connection, target, limit)
    if as_json:
        print_json({"targets": counts, "minutes": minutes, "drifted": rows})
        return
    if not counts:
        print("no target was read back yet")
    for row in counts:
        state = "agrees" if not row["drifted"] else f"{row['drifted']} disagree, the oldest since {row['since']}"
        print(f"{printable(row['target'])}: {row['entities']} entities, {state}; read {row['checked_at']}")
    if rows:
        print_rows(rows, False, ("target", "kind", "code", "since", "missing", "extra"), "")


def reconcile(
    target: TargetOption = None,
    repair: Annotated[bool, typer.Option("--repair", help="Send what disagrees, and read it back")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare all that targets hold with the grid model; with --repair, make them equal. Ends with 1 if one differs.

    Example: meterline sync reconcile --target billing --repair
    """
    from meterline.bootstrap import opener
    from meterline.sync_targets import make_subscribers
    from sync.targets.contract import TargetError

    settings = read_settings(config, quiet=True)
    subscribers = [s for s in _subscribers(settings, make_subscribers) if target in (None, s.name)]
    if not subscribers:
        fail("no such target holds a copy that can be read back: see [[sync.targets]]")
    rows: list[dict[str, Any]] = []
    for subscriber in subscribers:
        try:
            with opener(settings, "meterline-sync")() as connection:
                connection.autocommit = True
                rows.append(_reconcile(connection, subscriber, repair))
        except TargetError as error:
            rows.append({"target": subscriber.name, "error": str(error)})
    if as_json:
        print_json(rows)
    else:
        for row in rows:
            if "error" in row:
                print(f"{printable(row['target'])}: {printable(row['error'], 300)}")
                continue
            done = "" if row["repaired"] is None else f"; {row['repaired']} were repaired"
            print(
                f"{printable(row['target'])}: {row['compared']} entities, {row['drifted']} disagree, "
                f"{row['waiting']} are on their way{done}"
            )
    if any("error" in row or row["drifted"] for row in rows):
        raise typer.Exit(1)


def _subscribers(settings: Settings, make: Any) -> list[Subscriber]:
    return [subscriber for subscriber in make(settings, threading.Event()) if subscriber.to_read]


def _reconcile(connection: Any, subscriber: Subscriber, repair: bool) -> dict[str, Any]:
    from sync.reconcile import owe_repairs
    from sync.reconcile import reconcile as run_reconcile
    from sync.service import settle

    def now() -> datetime:
        return datetime.now(UTC)

    found = run_reconcile(connection, subscriber, now)
    if not repair or not found.drifted:
        return {**asdict(found), "repaired": None}
    owe_repairs(connection, subscriber.name)
    settle(connection, subscriber, now)
    again = run_reconcile(connection, subscriber, now)
    return {**asdict(again), "repaired": found.drifted - again.drifted}
