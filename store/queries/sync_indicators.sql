-- Indicators (指标) of the records of source systems in parts. Their wholes stand in indicators.sql, over the same functions.

-- name: write_completeness
insert into sync.completeness as c (system, kind, day, records, missing)
select r.system, r.kind, %(day)s, r.records, r.missing
from unnest(%(systems)s::text[], %(kinds)s::text[], %(records)s::integer[], %(missing)s::integer[])
  as r (system, kind, records, missing)
on conflict (system, kind, day) do update set records = excluded.records, missing = excluded.missing
where (c.records, c.missing) is distinct from (excluded.records, excluded.missing)

-- name: open
-- By kind, department and age: days since it opened, in classes.
select
  c.kind, c.department,
  (array['0-1', '1-7', '7-30', '30+'])[
    1 + width_bucket(extract(epoch from %(at)s::timestamptz - o.opened_at) / 86400, array[1, 7, 30]::numeric[])
  ] as days,
  count(*)::integer as open
from rollout.conflicts_open(%(at)s) o
join sync.conflict c using (conflict_id)
group by c.kind, c.department, days
order by c.kind, c.department, min(o.opened_at) desc

-- name: resolved
select
  c.kind, c.department, count(*)::integer as resolved,
  avg(extract(epoch from r.closed_at - r.opened_at))::float8 / 3600 as mean_hours,
  percentile_cont(0.5) within group (order by extract(epoch from r.closed_at - r.opened_at))::float8 / 3600
    as median_hours
from rollout.conflicts_resolved(%(since)s, %(at)s) r
join sync.conflict c using (conflict_id)
group by c.kind, c.department
order by c.kind, c.department

-- name: drift
select target, kind, count(*)::integer as drifts, sum(minutes)::float8 as minutes
from sync.drift_spans(%(since)s, %(at)s)
group by target, kind
order by target, kind

-- name: completeness
-- Of each system's last day that had ended.
select distinct on (system, kind)
  system, kind, day, records, missing, records / nullif(records + missing, 0)::float8 as rate
from sync.completeness
where day < (%(at)s::timestamptz at time zone %(zone)s)::date
order by system, kind, day desc

-- name: units
-- The parts of the utility (单位) of which the consistency is told, as known then.
select o.code
from grid.organisation o
join grid.organisation_state s using (organisation_id)
where o.kind = 'unit' and s.valid @> %(at)s and s.recorded @> %(at)s
order by o.code
limit 1000
