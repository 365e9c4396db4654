-- name: stage
-- Made once a connection.
create temporary table if not exists stage_event (
  message integer,
  unit text,
  meter text,
  observed_at timestamptz,
  kind text,
  sequence bigint,
  received_at timestamptz
) on commit delete rows

-- name: copy
copy pg_temp.stage_event from stdin (format csv)

-- name: unknown
-- Meters, by message, that were no members of its unit when the event happened.
select distinct s.message, s.meter
from pg_temp.stage_event s
where not exists (
  select from grid.unit u
  join grid.member m using (unit_id)
  where u.code = s.unit and m.meter = s.meter and m.valid @> s.observed_at and upper_inf(m.recorded)
)
order by 1, 2

-- name: write
-- Of several messages that say the same, the one received first stands, in whatever order they are written.
insert into telemetry.event as e (unit_id, meter, observed_at, kind, sequence, received_at)
select distinct on (u.unit_id, s.meter, s.observed_at, s.kind)
  u.unit_id, s.meter, s.observed_at, s.kind, s.sequence, s.received_at
from pg_temp.stage_event s
join grid.unit u on u.code = s.unit
where exists (
  select from grid.member m
  where m.unit_id = u.unit_id and m.meter = s.meter and m.valid @> s.observed_at and upper_inf(m.recorded)
)
order by u.unit_id, s.meter, s.observed_at, s.kind, s.received_at, s.sequence
on conflict (unit_id, meter, observed_at, kind) do update set
  sequence = excluded.sequence,
  received_at = excluded.received_at
where (excluded.received_at, excluded.sequence) < (e.received_at, e.sequence)

-- name: list
select u.code, e.meter, e.kind, e.observed_at, e.received_at, e.sequence
from telemetry.event e
join grid.unit u using (unit_id)
where (%(unit)s::text is null or u.code = %(unit)s)
  and (%(kind)s::text is null or e.kind = %(kind)s)
  and e.observed_at >= %(since)s
order by e.observed_at desc, u.code, e.meter, e.kind
limit %(limit)s
