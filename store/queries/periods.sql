-- name: lock
-- One at a time, and the other doesn't wait.
select through from loss.period_progress for update skip locked

-- name: batch
-- Up to which time of recording about so many rows have changed; NULL where none has.
select max(recorded_at), count(*)
from (
  select recorded_at
  from loss.balance
  where recorded_at > %(through)s and recorded_at <= %(horizon)s
  order by recorded_at
  limit %(limit)s
) b

-- name: changed
-- Days whose intervals have changed. An interval is of the day in which it ends.
select distinct b.unit_id, ((b.observed_at - interval '1 microsecond') at time zone %(zone)s)::date
from loss.balance b
where b.recorded_at > %(through)s and b.recorded_at <= %(until)s and b.revision > 0
order by 2, 1

-- name: due
-- The oldest first; days before their months.
select unit_id, period, first_day
from loss.period_revision
where due_at < %(until)s
order by due_at, period, first_day, unit_id
limit %(limit)s

-- name: advance
update loss.period_progress set through = %(until)s

-- name: units
select u.unit_id, u.kind, s.medium_voltage_v
from grid.unit u
left join grid.substation s on s.code = u.substation
where u.unit_id = any(%(unit_ids)s)

-- name: intervals
-- Every published version of the intervals that end in some periods, in no order, with what each adds to a sum's error. The bounds let the planner leave out
-- chunks.
with wanted as (
  select n - 1 as n, unit_id, begins, ends
  from unnest(%(unit_ids)s::int[], %(begins)s::timestamptz[], %(ends)s::timestamptz[])
    with ordinality as w (unit_id, begins, ends, n)
)
select
  w.n, grid.us(b.observed_at), b.interval_s::bigint, b.revision::bigint, (b.status <> 'provisional')::int::bigint,
  grid.us(coalesce(b.published_at, b.received_at)), b.computable::int::bigint, b.inflow_wh, b.outflow_wh, b.loss_wh, b.members_loss_wh, b.uncontracted_wh,
  b.generation_wh, b.estimated_wh, coalesce(b.technical_wh, 'NaN'), coalesce(b.averaging_wh, 'NaN'),
  coalesce(b.technical_sigma_wh, 'NaN'), sqrt(b.sigma_wh ^ 2 + b.gap_sigma_wh ^ 2), b.systematic_sigma_wh,
  b.ends_sigma_wh, b.export_sigma_wh,
  b.reasons::bigint
from wanted w
join loss.balance b on b.unit_id = w.unit_id and b.observed_at > w.begins and b.observed_at <= w.ends
where b.observed_at > %(first)s and b.observed_at <= %(last)s and b.revision > 0
union all
select
  w.n, grid.us(b.observed_at), b.interval_s::bigint, b.revision::bigint, (b.status <> 'provisional')::int::bigint,
  grid.us(b.published_at), b.computable::int::bigint, b.inflow_wh, b.outflow_wh, b.loss_wh, b.members_loss_wh, b.uncontracted_wh,
  b.generation_wh, b.estimated_wh, coalesce(b.technical_wh, 'NaN'), coalesce(b.averaging_wh, 'NaN'),
  coalesce(b.technical_sigma_wh, 'NaN'), sqrt(b.sigma_wh ^ 2 + b.gap_sigma_wh ^ 2), b.systematic_sigma_wh,
  b.ends_sigma_wh, b.export_sigma_wh,
  b.reasons::bigint
from wanted w
join loss.superseded b on b.unit_id = w.unit_id and b.observed_at > w.begins and b.observed_at <= w.ends
where b.observed_at > %(first)s and b.observed_at <= %(last)s

-- name: days
-- The same of the days of some months, also of those that aren't published yet.
with wanted as (
  select n - 1 as n, unit_id, first_day, next_day
  from unnest(%(unit_ids)s::int[], %(first_days)s::date[], %(next_days)s::date[])
    with ordinality as w (unit_id, first_day, next_day, n)
)
select
  w.n, grid.us(b.ends_at), b.expected_s::bigint, b.revision::bigint, (b.status <> 'provisional')::int::bigint,
  coalesce(grid.us(b.published_at), %(unpublished)s::bigint), b.covered_s, b.intervals,
  coalesce(grid.us(b.from_at), grid.us(b.begins_at)), coalesce(grid.us(b.to_at), grid.us(b.begins_at)),
  b.opening_sigma_wh, b.closing_sigma_wh, b.judged_s, b.judged_inflow_wh, b.judged_loss_wh, b.judged_random_sigma_wh,
  b.inflow_wh, b.outflow_wh, b.loss_wh, b.members_loss_wh, b.uncontracted_wh,
  b.generation_wh, b.estimated_wh, coalesce(b.technical_wh, 'NaN'), coalesce(b.averaging_wh, 'NaN'),
  coalesce(b.technical_sigma_wh, 'NaN'), b.sigma_wh, b.systematic_sigma_wh, b.ends_sigma_wh, b.export_sigma_wh,
  b.reasons::bigint
from wanted w
join loss.period_revision b
  on b.unit_id = w.unit_id and b.period = 'day' and b.first_day >= w.first_day and b.first_day < w.next_day

-- name: stage
create temporary table if not exists stage_period (like loss.period_revision including defaults) on commit delete rows

-- name: empty
truncate pg_temp.stage_period

-- name: copy
copy pg_temp.stage_period (
  unit_id, period, first_day, revision, begins_at, ends_at, expected_s, covered_s, intervals, from_at, to_at,
  inflow_wh, outflow_wh, loss_wh, members_loss_wh, uncontracted_wh, generation_wh, estimated_wh,
  technical_wh, averaging_wh, technical_sigma_wh, systematic_sigma_wh,
  sigma_wh, ends_sigma_wh, opening_sigma_wh, closing_sigma_wh, export_sigma_wh,
  judged_s, judged_inflow_wh, judged_loss_wh, judged_random_sigma_wh,
  computable, class, reasons, status, published_at, until_at, due_at
) from stdin

-- name: remove
-- Revisions that the periods don't have any more: the sums so far of one that is published now.
delete from loss.period_revision r
using (select distinct unit_id, period, first_day from pg_temp.stage_period) p
where (r.unit_id, r.period, r.first_day) = (p.unit_id, p.period, p.first_day)
  and not exists (
    select from pg_temp.stage_period s
    where (s.unit_id, s.period, s.first_day, s.revision) = (r.unit_id, r.period, r.first_day, r.revision)
  )

-- name: write
insert into loss.period_revision as r
select * from pg_temp.stage_period order by unit_id, period, first_day, revision
on conflict (unit_id, period, first_day, revision) do update set
  begins_at = excluded.begins_at,
  ends_at = excluded.ends_at,
  expected_s = excluded.expected_s,
  covered_s = excluded.covered_s,
  intervals = excluded.intervals,
  from_at = excluded.from_at,
  to_at = excluded.to_at,
  inflow_wh = excluded.inflow_wh,
  outflow_wh = excluded.outflow_wh,
  loss_wh = excluded.loss_wh,
  members_loss_wh = excluded.members_loss_wh,
  uncontracted_wh = excluded.uncontracted_wh,
  generation_wh = excluded.generation_wh,
  estimated_wh = excluded.estimated_wh,
  technical_wh = excluded.technical_wh,
  averaging_wh = excluded.averaging_wh,
  technical_sigma_wh = excluded.technical_sigma_wh,
  sigma_wh = excluded.sigma_wh,
  systematic_sigma_wh = excluded.systematic_sigma_wh,
  ends_sigma_wh = excluded.ends_sigma_wh,
  opening_sigma_wh = excluded.opening_sigma_wh,
  closing_sigma_wh = excluded.closing_sigma_wh,
  export_sigma_wh = excluded.export_sigma_wh,
  judged_s = excluded.judged_s,
  judged_inflow_wh = excluded.judged_inflow_wh,
  judged_loss_wh = excluded.judged_loss_wh,
  judged_random_sigma_wh = excluded.judged_random_sigma_wh,
  computable = excluded.computable,
  class = excluded.class,
  reasons = excluded.reasons,
  status = excluded.status,
  published_at = excluded.published_at,
  until_at = excluded.until_at,
  due_at = excluded.due_at,
  recorded_at = excluded.recorded_at
where row(
    r.begins_at, r.ends_at, r.covered_s, r.intervals, r.from_at, r.to_at, r.inflow_wh, r.outflow_wh, r.loss_wh,
    r.members_loss_wh, r.uncontracted_wh, r.generation_wh, r.estimated_wh, r.technical_wh, r.averaging_wh,
    r.technical_sigma_wh, r.sigma_wh, r.systematic_sigma_wh, r.ends_sigma_wh, r.opening_sigma_wh, r.closing_sigma_wh,
    r.export_sigma_wh, r.judged_s, r.judged_inflow_wh, r.judged_loss_wh, r.judged_random_sigma_wh, r.computable, r.class,
    r.reasons, r.status, r.published_at, r.until_at, r.due_at
  ) is distinct from row(
    excluded.begins_at, excluded.ends_at, excluded.covered_s, excluded.intervals, excluded.from_at, excluded.to_at,
    excluded.inflow_wh, excluded.outflow_wh, excluded.loss_wh, excluded.members_loss_wh, excluded.uncontracted_wh,
    excluded.generation_wh, excluded.estimated_wh, excluded.technical_wh, excluded.averaging_wh,
    excluded.technical_sigma_wh, excluded.sigma_wh, excluded.systematic_sigma_wh, excluded.ends_sigma_wh,
    excluded.opening_sigma_wh, excluded.closing_sigma_wh, excluded.export_sigma_wh, excluded.judged_s,
    excluded.judged_inflow_wh, excluded.judged_loss_wh, excluded.judged_random_sigma_wh, excluded.computable,
    excluded.class, excluded.reasons, excluded.status, excluded.published_at, excluded.until_at, excluded.due_at
  )

-- name: read
-- Periods as they stand, of one kind.
select
  u.code, u.kind, u.name, u.substation, s.medium_voltage_v, p.period, p.first_day, p.revision, p.expected_s,
  p.covered_s, p.intervals, p.inflow_wh, p.outflow_wh, p.loss_wh, p.members_loss_wh, p.uncontracted_wh,
  p.generation_wh, p.estimated_wh, p.estimated_share, p.technical_wh, p.averaging_wh, p.technical_sigma_wh, p.sigma_wh,
  p.systematic_sigma_wh, p.ends_sigma_wh, p.judged_s, p.judged_inflow_wh, p.judged_loss_wh, p.judged_random_sigma_wh,
  p.computable, p.class, p.reasons, p.status, p.published_at
from loss.period p
join grid.unit u using (unit_id)
left join grid.substation s on s.code = u.substation
where p.period = %(period)s
  and p.first_day >= %(first)s and p.first_day <= %(last)s
  and (%(kind)s::text is null or u.kind = %(kind)s)
  and (%(units)s::text[] is null or u.code = any(%(units)s))
order by p.first_day, u.code

-- name: rates
-- Of each period, group and kind of unit: how many there were, of how many a class could be told, and which. A unit
-- that nothing came of is assessed too, in the periods that any unit has.
with span as (
  select distinct first_day, begins_at from loss.period where period = %(period)s and first_day between %(first)s and %(last)s
), assessed as (
  select s.first_day, u.unit_id, u.kind, u.substation
  from span s
  join grid.unit_state t on t.valid @> s.begins_at and upper_inf(t.recorded)
  join grid.unit u using (unit_id)
  union
  select p.first_day, u.unit_id, u.kind, u.substation
  from loss.period p
  join grid.unit u using (unit_id)
  where p.period = %(period)s and p.first_day between %(first)s and %(last)s
)
select
  a.first_day,
  a.kind,
  case %(by)s
    when 'substation' then coalesce(a.substation, '')
    when 'organisation' then coalesce(o.code, '')
    else ''
  end as member,
  count(*) as assessed,
  count(*) filter (where coalesce(p.class, 'not_computable') <> 'not_computable') as computable,
  count(*) filter (where p.class = 'normal') as qualified,
  count(*) filter (where p.class = 'high') as high,
  count(*) filter (where p.class = 'negative') as negative
from assessed a
left join loss.period p on p.unit_id = a.unit_id and p.period = %(period)s and p.first_day = a.first_day
left join grid.responsibility r
  on %(by)s = 'organisation' and r.unit_id = a.unit_id and r.duty = 1 and upper_inf(r.recorded)
  and r.valid @> (select min(s.begins_at) from span s where s.first_day = a.first_day)
left join grid.organisation o on o.organisation_id = r.organisation_id
where (%(kind)s::text is null or a.kind = %(kind)s)
group by 1, 2, 3
order by 1, 2, 3
