-- name: table
-- Every point with its unit and, where it stands in for a gateway meter, the account that sends for the unit.
select
  p.point_id, p.code, p.unit_id, u.code, coalesce(u.gateway, ''), p.kind, p.unit_of_measure, p.dead_band, p.cycle_s,
  p.sign, p.meter, p.switch
from grid.point p
join grid.unit u using (unit_id)
order by p.point_id

-- name: stage
-- Made once a connection.
create temporary table if not exists stage_scada (
  unit_id integer,
  observed_at timestamptz,
  digest bigint,
  sequence bigint,
  cause smallint,
  received_at timestamptz,
  first_us integer,
  power_count integer,
  point_id integer[] storage external,
  offset_us integer[] storage external,
  value double precision[] storage external,
  quality bytea storage external
) on commit delete rows

-- name: copy
copy pg_temp.stage_scada from stdin (format binary)

-- name: write
-- The same message with more of its points known by now takes the place of the row with fewer.
insert into telemetry.scada as s (
  unit_id, observed_at, digest, sequence, cause, received_at, first_us, power_count, point_id, offset_us, value, quality
)
select
  unit_id, observed_at, digest, sequence, cause, received_at, first_us, power_count, point_id, offset_us, value, quality
from pg_temp.stage_scada
order by unit_id, observed_at, digest
on conflict (unit_id, observed_at, digest) do update set
  received_at = excluded.received_at,
  first_us = excluded.first_us,
  power_count = excluded.power_count,
  point_id = excluded.point_id,
  offset_us = excluded.offset_us,
  value = excluded.value,
  quality = excluded.quality
where (cardinality(excluded.point_id), s.received_at) > (cardinality(s.point_id), excluded.received_at)

-- name: stage_last
create temporary table if not exists stage_point_last (
  point_id integer,
  observed_at timestamptz,
  received_at timestamptz,
  sequence bigint,
  value double precision,
  rank smallint,
  quality smallint
) on commit delete rows

-- name: copy_last
copy pg_temp.stage_point_last from stdin (format binary)

-- name: write_last
-- The later instant wins; of one instant the better quality, then the greater value; the rest makes the order total.
insert into telemetry.point_last as l (point_id, observed_at, received_at, sequence, value, rank, quality)
select point_id, observed_at, received_at, sequence, value, rank, quality
from pg_temp.stage_point_last
order by point_id
on conflict (point_id) do update set
  observed_at = excluded.observed_at,
  received_at = excluded.received_at,
  sequence = excluded.sequence,
  value = excluded.value,
  rank = excluded.rank,
  quality = excluded.quality
where (excluded.observed_at, excluded.rank, excluded.value, excluded.quality, excluded.sequence, l.received_at)
  > (l.observed_at, l.rank, l.value, l.quality, l.sequence, excluded.received_at)

-- name: last
select point_id, (extract(epoch from observed_at) * 1000000)::bigint, value, rank
from telemetry.point_last
where point_id = any(%(point_id)s)

-- name: next_report
-- The first good position after an instant.
select (extract(epoch from s.observed_at) * 1000000)::bigint + x.offset_us, x.value
from telemetry.scada s
cross join lateral unnest(s.point_id, s.offset_us, s.value) with ordinality as x (point_id, offset_us, value, n)
where s.unit_id = %(unit_id)s
  and s.observed_at between date_trunc('minute', %(after)s::timestamptz, 'UTC') and %(until)s
  and x.point_id = %(point_id)s
  and get_byte(s.quality, (x.n - 1)::integer) = 0
  and x.value in (0, 1)
  and s.observed_at + x.offset_us * interval '1 microsecond' > %(after)s
order by 1
limit 1

-- name: around
-- Of each unit and minute: the newest instant of the unit, the minute of the report before (none when the minute itself
-- holds an earlier one), and the length of interval that the unit's blocks are of about then. The bounds let the planner
-- leave out chunks.
select
  k.n,
  (extract(epoch from newest.observed_at) * 1000000)::bigint,
  (extract(epoch from prior.observed_at) * 1000000)::bigint,
  coalesce(following.interval_s, preceding.interval_s)
from unnest(%(unit_id)s::int[], %(minute)s::timestamptz[], %(first_us)s::int[])
  with ordinality as k (unit_id, minute, first_us, n)
left join lateral (
  select max(l.observed_at) as observed_at
  from grid.point p
  join telemetry.point_last l using (point_id)
  where p.unit_id = k.unit_id
) newest on true
left join lateral (
  select s.observed_at
  from telemetry.scada s
  where s.unit_id = k.unit_id
    and s.observed_at < k.minute
    and s.observed_at >= k.minute - interval '1 day'
    and s.observed_at between %(first)s::timestamptz - interval '1 day' and %(last)s
    and not exists (
      select from telemetry.scada e
      where e.unit_id = k.unit_id
        and e.observed_at = k.minute
        and e.observed_at between %(first)s and %(last)s
        and e.first_us < k.first_us
    )
  order by s.observed_at desc
  limit 1
) prior on true
left join lateral (
  select b.interval_s
  from telemetry.block b
  where b.unit_id = k.unit_id
    and b.observed_at > k.minute
    and b.observed_at <= k.minute + interval '1 day'
    and b.observed_at between %(first)s and %(last)s::timestamptz + interval '1 day'
    and b.interval_s <= 3600
  order by b.observed_at, b.interval_s
  limit 1
) following on true
left join lateral (
  select b.interval_s
  from telemetry.block b
  where b.unit_id = k.unit_id
    and b.observed_at <= k.minute
    and b.observed_at > k.minute - interval '2 days'
    and b.observed_at between %(first)s::timestamptz - interval '2 days' and %(last)s
    and b.interval_s <= 3600
  order by b.observed_at desc, b.interval_s
  limit 1
) preceding on true

-- name: power
-- Reports of active power of each span of a unit, one row a span.
select
  k.n,
  array_agg(x.point_id::bigint),
  array_agg((extract(epoch from s.observed_at) * 1000000)::bigint + x.offset_us),
  array_agg(x.value),
  array_agg(get_byte(s.quality, (x.n - 1)::integer)::bigint),
  array_agg(s.sequence),
  array_agg((extract(epoch from s.received_at) * 1000000)::bigint)
from unnest(%(unit_id)s::int[], %(begin)s::timestamptz[], %(end)s::timestamptz[])
  with ordinality as k (unit_id, begin_at, end_at, n)
join telemetry.scada s
  on s.unit_id = k.unit_id
  and s.observed_at >= k.begin_at
  and s.observed_at < k.end_at
cross join lateral unnest(
  s.point_id[1:s.power_count], s.offset_us[1:s.power_count], s.value[1:s.power_count]
) with ordinality as x (point_id, offset_us, value, n)
where s.observed_at >= %(first)s and s.observed_at < %(last)s
group by k.n

-- name: multipliers
-- Of a gateway meter in its unit at the interval that ends at `at`, as was believed at `known_at`; none when it isn't a
-- member then. `is true` as in `views.members`.
select k.n, m.multiplier
from unnest(%(unit_id)s::int[], %(meter)s::text[], %(at)s::timestamptz[]) with ordinality as k (unit_id, meter, at, n)
join grid.member m
  on m.meter = k.meter
  and m.unit_id = k.unit_id
  and m.role & 1 = 1
  and m.valid @> k.at - interval '1 microsecond'
  and (m.recorded @> %(known_at)s::timestamptz) is true

-- name: unknown
-- Units and gateway meters that points name and the model doesn't have.
select 'unit ' || n.unit
from unnest(%(unit)s::text[]) as n (unit)
where not exists (select from grid.unit u where u.code = n.unit)
union
select 'gateway meter ' || n.meter || ' in unit ' || n.unit
from unnest(%(unit)s::text[], %(meter)s::text[]) as n (unit, meter)
where n.meter is not null
  and exists (select from grid.unit u where u.code = n.unit)
  and not exists (
    select from grid.member m join grid.unit u using (unit_id) where m.meter = n.meter and u.code = n.unit
  )
order by 1

-- name: load
-- Points that say the same change nothing. A point stays with its unit: its history is keyed by it.
insert into grid.point as p (code, unit_id, kind, unit_of_measure, dead_band, cycle_s, sign, meter, switch)
select n.code, u.unit_id, n.kind, n.unit_of_measure, n.dead_band, n.cycle_s, n.sign, n.meter, n.switch
from unnest(
  %(code)s::text[], %(unit)s::text[], %(kind)s::text[], %(unit_of_measure)s::text[], %(dead_band)s::float8[],
  %(cycle_s)s::int[], %(sign)s::int[], %(meter)s::text[], %(switch)s::text[]
) as n (code, unit, kind, unit_of_measure, dead_band, cycle_s, sign, meter, switch)
join grid.unit u on u.code = n.unit
order by n.code
on conflict (code) do update set
  kind = excluded.kind,
  unit_of_measure = excluded.unit_of_measure,
  dead_band = excluded.dead_band,
  cycle_s = excluded.cycle_s,
  sign = excluded.sign,
  meter = excluded.meter,
  switch = excluded.switch
where (p.kind, p.unit_of_measure, p.dead_band, p.cycle_s, p.sign, p.meter, p.switch)
  is distinct from (
    excluded.kind, excluded.unit_of_measure, excluded.dead_band, excluded.cycle_s, excluded.sign, excluded.meter,
    excluded.switch
  )
returning (select code from grid.unit u where u.unit_id = p.unit_id)

-- name: moved
select n.code
from unnest(%(code)s::text[], %(unit)s::text[]) as n (code, unit)
join grid.point p on p.code = n.code
join grid.unit u using (unit_id)
where u.code <> n.unit
order by 1

-- name: list
select
  u.code, p.code, p.kind, p.unit_of_measure, nullif(l.value, 'NaN'), l.quality, l.observed_at, l.received_at,
  extract(epoch from now() - l.observed_at)::float8, p.cycle_s, p.meter, p.switch
from grid.point p
join grid.unit u using (unit_id)
left join telemetry.point_last l using (point_id)
where %(unit)s::text is null or u.code = %(unit)s
order by u.code, p.code
limit %(limit)s
