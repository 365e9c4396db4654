"""When the system itself is unwell: rules for Grafana's alerting, in the manner of panels, and the file of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from deploy.boards.grafana_fields import DATASOURCE_TYPE, DATASOURCE_UIDS
from deploy.boards.model import Source

_CONTACT = "meterline-operations"


@dataclass(frozen=True, slots=True)
class Rule:
    """One figure that must not stay above a limit. The statement returns one row of one number."""

    uid: str
    title: str
    summary: str
    sql: str
    above: float
    minutes: int
    """For how long, before it is told."""


RULES = (
    Rule(
        "meterline-stalled",
        "Commits have stalled",
        "No result was written for more than half an hour: do workers run, does the database take writes?",
        """
select coalesce(extract(epoch from now() - max(recorded_at)), 1e9)::float8 as value
from loss.balance
where recorded_at > now() - interval '7 days' and observed_at > now() - interval '8 days'
""",
        above=1_800,
        minutes=5,
    ),
    Rule(
        "meterline-delay",
        "Results come late",
        "99 % of the last quarter-hour's rows took longer than this from receipt to result.",
        """
select coalesce(
  percentile_cont(0.99) within group (order by extract(epoch from recorded_at - received_at)::float8), 0
) as value
from loss.balance
where recorded_at > now() - interval '15 minutes' and observed_at > now() - interval '2 hours' and interval_s <= 3600
  and mod(unit_id, greatest(1, (select count(*) / 4000 from grid.unit))) = 0
""",
        above=30,
        minutes=5,
    ),
    Rule(
        "meterline-lag",
        "Changes of the grid model are not sent",
        "The relay lags behind the outbox: does `meterline sync deliver` run, does Kafka take records?",
        """
select coalesce(extract(epoch from now() - min(o.recorded_at)), 0)::float8 as value
from grid.outbox o
where o.id > coalesce((select min(outbox_id) from sync.relay where topic = 'grid.change'), 0)
""",
        above=300,
        minutes=5,
    ),
    Rule(
        "meterline-kafka-lag",
        "Workers are behind",
        "Records wait in Kafka for workers, or no worker tells how many: do all run? `meterline worker` starts more.",
        """
-- No worker, or one whom Kafka doesn't tell: nobody knows how many wait.
select coalesce(sum(coalesce(s.lag_records, 1e9)), 1e9)::float8 as value
from (
  select worker, max(at) as at from telemetry.worker_state where at > now() - interval '2 minutes' group by worker
) l
join telemetry.worker_state s using (worker, at)
where s.part in ('areas', 'greater', 'scada')
""",
        above=100_000,
        minutes=10,
    ),
    Rule(
        "meterline-behind",
        "Units have fallen behind",
        "Share of the units that were live within the last day and whose newest result is older than 45 minutes.",
        """
with now_live as (
  select count(distinct unit_id) as units
  from loss.balance
  where observed_at > now() - interval '45 minutes' and interval_s <= 3600
), earlier as (
  select count(distinct unit_id) as units
  from loss.balance
  where observed_at > now() - interval '24 hours 45 minutes' and observed_at <= now() - interval '24 hours'
    and interval_s <= 3600
)
select coalesce(greatest(0, 1 - n.units / nullif(e.units, 0)::float8), 0) as value
from now_live n, earlier e
""",
        above=0.05,
        minutes=10,
    ),
    Rule(
        "meterline-rejected",
        "Much of the input is refused",
        "Share of the last hour's messages that could not be taken: `meterline rejected list` says why.",
        """
select coalesce(sum(rejected) / nullif(sum(records), 0)::float8, 0)::float8 as value
from telemetry.worker_state
where at > now() - interval '1 hour' and part in ('areas', 'scada', 'events', 'backfill', 'refusals')
""",
        above=0.01,
        minutes=10,
    ),
    Rule(
        "meterline-deliveries",
        "Deliveries are owed",
        "A delivery is due for more than ten minutes: `meterline alert deliver` and the receiver's log say why.",
        """
select coalesce(extract(epoch from now() - least(
  (select min(due_at) from alerts.delivery where delivered_at is null and due_at < now()),
  (select min(due_at) from sync.delivery where delivered_at is null and due_at < now())
)), 0)::float8 as value
""",
        above=600,
        minutes=5,
    ),
)


def rules_file() -> str:
    """What `deploy/grafana/provisioning/alerting/rules.json` says; Grafana reads JSON where it reads YAML."""
    group = {
        "orgId": 1,
        "name": "meterline",
        "folder": "Meterline",
        "interval": "1m",
        "rules": [_rule(rule) for rule in RULES],
    }
    return json.dumps({"apiVersion": 1, "groups": [group]}, indent=2, ensure_ascii=False) + "\n"


def _rule(rule: Rule) -> dict[str, Any]:
    uid = DATASOURCE_UIDS[Source.OPERATIONS]
    figure = {
        "refId": "A",
        "relativeTimeRange": {"from": 600, "to": 0},
        "datasourceUid": uid,
        "model": {
            "refId": "A",
            "datasource": {"type": DATASOURCE_TYPE, "uid": uid},
            "rawSql": rule.sql.strip(),
            "format": "table",
            "editorMode": "code",
            "rawQuery": True,
        },
    }
    limit = {
        "refId": "B",
        "relativeTimeRange": {"from": 600, "to": 0},
        "datasourceUid": "__expr__",
        "model": {
            "refId": "B",
            "type": "threshold",
            "datasource": {"type": "__expr__", "uid": "__expr__"},
            "expression": "A",
            "conditions": [{"evaluator": {"type": "gt", "params": [rule.above]}}],
        },
    }
    return {
        "uid": rule.uid,
        "title": rule.title,
        "condition": "B",
        "data": [figure, limit],
        "for": f"{rule.minutes}m",
        # A database that can't be asked is itself unwell.
        "noDataState": "Alerting",
        "execErrState": "Alerting",
        "annotations": {"summary": rule.summary},
        "labels": {"system": "meterline"},
        "notification_settings": {"receiver": _CONTACT},
    }
