"""A city whose units all settle together, again and again: how soon what is high by that comes to a receiver.

The alert service runs as it does in a stack. A worker's part is played by one that commits the balances of an interval
in batches, as workers do; the clock of a unit starts with the commit of its batch.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from alerts.formats import events_of
from benchmarks.alerts_outage import receiver, tell
from benchmarks.alerts_storm import storm_model
from deploy.stack import StackSpec, start_programs, stop_programs
from meterline.bootstrap import opener
from meterline.config import Settings
from store.connection import Connection, allow_long
from sync.load import load_grid

_QUARTER = timedelta(minutes=15)
_DAY = 96
#: Units that a worker writes in one transaction.
_BATCH = 256
_TIMEOUT_S = 120.0
#: Rounds fall on all parts of the minute in which the service looks at all units once.
_PAUSE_S = 7.3


Notices = list[tuple[datetime, dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Latency:
    """What rounds came to.

    Attributes
    ----------
    seconds
        Of every alert, from the commit of its unit's interval to the receiver.
    settling_s
        For the commits of a round.
    """

    seconds: tuple[float, ...]
    settling_s: float

    def percentile(self, percent: float) -> float:
        """Of the seconds."""
        return float(np.percentile(self.seconds, percent))


def time_alerts(spec: StackSpec, settings: Settings, feeders: int, areas: int, rounds: int) -> Latency:
    """Rounds in which all units settle, and of some feeders one unit each becomes high that was not before.

    Each of them is alone in its group, whose notice therefore waits for no interval.
    """
    base = datetime.now(UTC).replace(second=0, microsecond=0) - rounds * _QUARTER
    base -= timedelta(minutes=base.minute % 15)
    with receiver() as (url, notices), opener(settings, "benchmark")() as connection:
        connection.autocommit = True
        load_grid(connection, storm_model(feeders, areas))
        with connection.transaction():
            allow_long(connection)
            connection.execute(_SETTLE, {"until": base, "intervals": _DAY, "units": None, "high": []})
            connection.execute("analyze loss.balance")
        units = [row[0] for row in connection.execute("select code from grid.unit where kind in ('feeder', 'area')")]
        tell(spec, url)
        start_programs(spec, ("alerts",))
        try:
            settled_at: dict[str, datetime] = {}
            settling_s = 0.0
            # The first round is the service's own begin.
            for number in range(rounds):
                high = {_unit_of(n, areas) for n in range(number * feeders // rounds, (number + 1) * feeders // rounds)}
                started = time.perf_counter()
                at = _settle(connection, base + (number + 1) * _QUARTER, units, high)
                settling_s += time.perf_counter() - started
                _wait(notices, high)
                if number:
                    settled_at |= {code: at[code] for code in high}
                time.sleep(_PAUSE_S)
        finally:
            stop_programs(spec, ("alerts",))
            (spec.home / "local.toml").unlink()
    told_at = _told(notices)
    return Latency(tuple((told_at[code] - at).total_seconds() for code, at in settled_at.items()), settling_s / rounds)


def _unit_of(feeder: int, areas: int) -> str:
    """A feeder or one of its areas."""
    return f"F{feeder}" if feeder % (areas + 1) == areas else f"F{feeder}-A{feeder % (areas + 1)}"


def _settle(connection: Connection, until: datetime, units: list[str], high: set[str]) -> dict[str, datetime]:
    """An interval of all units; when each was committed."""
    at: dict[str, datetime] = {}
    for start in range(0, len(units), _BATCH):
        part = units[start : start + _BATCH]
        connection.execute(_SETTLE, {"until": until, "intervals": 1, "units": part, "high": sorted(high & set(part))})
        at |= dict.fromkeys(part, datetime.now(UTC))
    return at


#: An interval in which a unit is high has lost so much that its day has.
_SETTLE = """
insert into loss.balance (
  unit_id, observed_at, interval_s, inflow_wh, outflow_wh, loss_wh, members_loss_wh, sigma_wh, coverage, status,
  computable, revision, received_at
)
select
  u.unit_id, %(until)s::timestamptz - n * interval '15 minutes', 900, i.inflow_wh, i.inflow_wh - i.loss_wh, i.loss_wh,
  0, 50, 1, 'final', true, 1, now()
from grid.unit u
cross join generate_series(0, %(intervals)s::integer - 1) n
cross join lateral (
  select
    case when h then 400000 else 10000 end as inflow_wh,
    case when h then 350000 else 400 end as loss_wh
  from (select u.code = any(%(high)s::text[]) as h) one
) i
where u.kind in ('feeder', 'area') and (%(units)s::text[] is null or u.code = any(%(units)s::text[]))
"""


def _told(notices: Notices) -> dict[str, datetime]:
    """When each unit's alert came."""
    events = [(at, event) for at, body in list(notices) for event in events_of(body)]
    return {event["data"]["unit"]: at for at, event in events if event["type"] == "alert.opened"}


def _wait(notices: Notices, units: set[str]) -> None:
    deadline = time.monotonic() + _TIMEOUT_S
    while missing := units - _told(notices).keys():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{len(missing)} of {len(units)} alerts weren't told in {_TIMEOUT_S:g} s")
        time.sleep(0.05)
