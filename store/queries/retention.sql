-- name: lock
select pg_try_advisory_lock(hashtextextended('retention', 0))

-- name: unlock
select pg_advisory_unlock(hashtextextended('retention', 0))

-- name: knows_chunks
select to_regclass('timescaledb_information.chunks') is not null

-- name: is_hypertable
select exists (
  select from timescaledb_information.hypertables
  where format('%%I.%%I', hypertable_schema, hypertable_name)::regclass = %(table)s::regclass
)

-- name: chunks
-- Of a table, the oldest first, with its bytes.
select
  range_start,
  range_end,
  format('%%I.%%I', chunk_schema, chunk_name),
  pg_total_relation_size(format('%%I.%%I', chunk_schema, chunk_name)::regclass)
from timescaledb_information.chunks
where format('%%I.%%I', hypertable_schema, hypertable_name)::regclass = %(table)s::regclass
order by range_start

-- name: drop_chunks
select telemetry.drop_chunks_before(%(table)s::regclass, %(before)s, %(limit)s)

-- name: size
select pg_total_relation_size(%(table)s::regclass)

-- name: oldest
select min({column}) from {table}

-- name: past_blocks
select ctid from telemetry.block where observed_at < %(before)s

-- name: past_balances
select ctid from loss.balance where observed_at < %(before)s

-- name: past_superseded
select ctid from loss.superseded where observed_at < %(before)s

-- name: past_scada
select ctid from telemetry.scada where observed_at < %(before)s

-- name: past_events
select ctid from telemetry.event where observed_at < %(before)s

-- name: past_doubts
select ctid from telemetry.doubt where ends_at < %(before)s

-- name: past_validated
select ctid from telemetry.validated_day where as_of < %(before)s

-- name: past_rejected
-- What is quarantined waits for a model that knows it, however long that takes.
select ctid from telemetry.rejected
where coalesce(replayed_at, first_at) < %(before)s and (replayed_at is not null or not quarantined)

-- name: past_alert_deliveries
select ctid from alerts.delivery where delivered_at < %(before)s

-- name: past_findings
-- What alerts still looks at stays, and so does what a live alert rests on or a field check has judged.
select ctid from alerts.finding f
where ended_at < %(before)s
  and due_at is null
  and result is null
  and not exists (
    select from alerts.alert a where a.alert_id = f.alert_id and a.state not in ('resolved', 'closed')
  )

-- name: past_usage_findings
-- What a field check has judged stays, since the ranking learns from it, and so does what a live alert rests on.
select f.ctid from usage.finding f
where f.ended_at < %(before)s
  and not exists (select from usage.field_result r where r.finding_id = f.finding_id)
  and not exists (select from usage.field_check c where c.finding_id = f.finding_id)
  and not exists (
    select from alerts.finding a join alerts.alert t using (alert_id)
    where a.finding_id = f.alert_finding_id and t.state not in ('resolved', 'closed')
  )

-- name: past_sync_deliveries
select ctid from sync.delivery where delivered_at < %(before)s

-- name: past_outbox
-- Relayed on every topic, and owed to nobody. The newest stays: the next change is recorded later than it.
select ctid from grid.outbox o
where recorded_at < %(before)s
  and exists (select from sync.relay)
  and not exists (select from sync.relay r where (r.transaction_id, r.outbox_id) < (o.transaction_id, o.id))
  and not exists (select from sync.delivery d where d.outbox_id = o.id)
  and id < (select max(id) from grid.outbox)

-- name: count
select count(*) from ({past}) past

-- name: remove
-- A row that another transaction changes meanwhile has a new place, and stays.
delete from {table}
where ctid = any (array({past} limit %(limit)s))
