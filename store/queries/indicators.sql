-- Indicators (指标) of the roll-out: each gives a value, its part and its whole for an organisation with all below it
-- (NULL: everything), from `since` to `at`, as it was known at `at`. "The last day" is the last local day that had ended.
-- Those of days that are measured or published later give that day too, the last one where there are several.

-- name: consistency
-- Share of right relations station-line-transformer-customer on the last day on which they were compared.
with compared as (
  select k.day, sum(k.consistent)::float8 as part, sum(k.relations)::float8 as whole
  from sync.consistency k
  join rollout.units_of(%(unit)s, %(at)s) using (unit_id)
  where k.day < (%(at)s::timestamptz at time zone %(zone)s)::date
  group by k.day
  order by k.day desc
  limit 1
)
select part / nullif(whole, 0), part, whole, day from compared

-- name: collection
-- Collection success: of the last published day, the share of areas' time of which everything came. Areas of which
-- nothing was published count as not collected.
with days as (
  select p.* from loss.periods_as_published(%(at)s) p
  join rollout.units_of(%(unit)s, %(at)s) using (unit_id)
  join grid.unit u using (unit_id)
  where p.period = 'day' and u.kind in ('area', 'dedicated')
    and p.first_day >= (%(at)s::timestamptz at time zone %(zone)s)::date - 62
), day as (
  select
    sum(covered_s * (1 - coalesce(estimated_wh / nullif(inflow_wh + outflow_wh, 0)::float8, 0))) as part,
    max(expected_s)::float8 as expected_s, max(first_day) as day
  from days where first_day = (select max(first_day) from days)
)
select part / nullif(expected_s * n.areas, 0), part, expected_s * n.areas, day
from day, (
  select count(*) as areas from rollout.units_of(%(unit)s, %(at)s) join grid.unit u using (unit_id)
  where u.kind in ('area', 'dedicated')
) n
where part is not null

-- name: qualified_rate
-- Lines and areas of normal loss among all, on the last published day; what can't be computed isn't qualified.
with days as (
  select p.* from loss.periods_as_published(%(at)s) p
  join rollout.units_of(%(unit)s, %(at)s) using (unit_id)
  join grid.unit u using (unit_id)
  where p.period = 'day' and u.kind in ('area', 'dedicated', 'feeder')
    and p.first_day >= (%(at)s::timestamptz at time zone %(zone)s)::date - 62
)
select d.normal / nullif(n.assessed, 0)::float8, d.normal::float8, n.assessed::float8, d.day
from (
  select count(*) filter (where class = 'normal') as normal, count(*) as published, max(first_day) as day
  from days where first_day = (select max(first_day) from days)
) d, (
  select count(*) as assessed from rollout.units_of(%(unit)s, %(at)s) join grid.unit u using (unit_id)
  where u.kind in ('area', 'dedicated', 'feeder')
) n
where d.published > 0

-- name: estimated_share
-- Share of energy that was estimated or substituted, on the last published day.
with days as (
  select p.* from loss.periods_as_published(%(at)s) p
  join rollout.units_of(%(unit)s, %(at)s) using (unit_id)
  join grid.unit u using (unit_id)
  where p.period = 'day' and u.kind in ('area', 'dedicated')
    and p.first_day >= (%(at)s::timestamptz at time zone %(zone)s)::date - 62
)
select sum(estimated_wh) / nullif(sum(inflow_wh + outflow_wh), 0)::float8, sum(estimated_wh)::float8,
  sum(inflow_wh + outflow_wh)::float8, max(first_day)
from days where first_day = (select max(first_day) from days)
having count(*) > 0

-- name: area_loss_rate
-- Loss of areas by what went in, over the published days from `since` to `at`; where none of them is published yet, of the
-- last one before: a day is published after it has ended.
with days as (
  select p.first_day, p.begins_at, p.loss_wh, p.inflow_wh
  from loss.periods_as_published(%(at)s) p
  join rollout.units_of(%(unit)s, %(at)s) using (unit_id)
  join grid.unit u using (unit_id)
  where p.period = 'day' and p.computable and u.kind = 'area' and p.ends_at <= %(at)s
    and p.first_day >= least((%(since)s::timestamptz at time zone %(zone)s)::date, (%(at)s::timestamptz at time zone %(zone)s)::date - 62)
)
select sum(loss_wh) / nullif(sum(inflow_wh), 0)::float8, sum(loss_wh)::float8, sum(inflow_wh)::float8, max(first_day)
from days
where begins_at >= %(since)s or first_day = (select max(first_day) from days)
having count(*) > 0

-- name: line_loss_rate
-- The same of lines, their areas left out.
with days as (
  select p.first_day, p.begins_at, p.loss_wh, p.inflow_wh
  from loss.periods_as_published(%(at)s) p
  join rollout.units_of(%(unit)s, %(at)s) using (unit_id)
  join grid.unit u using (unit_id)
  where p.period = 'day' and p.computable and u.kind = 'feeder' and p.ends_at <= %(at)s
    and p.first_day >= least((%(since)s::timestamptz at time zone %(zone)s)::date, (%(at)s::timestamptz at time zone %(zone)s)::date - 62)
)
select sum(loss_wh) / nullif(sum(inflow_wh), 0)::float8, sum(loss_wh)::float8, sum(inflow_wh)::float8, max(first_day)
from days
where begins_at >= %(since)s or first_day = (select max(first_day) from days)
having count(*) > 0

-- name: open_conflicts
-- Conflicts between systems that were open; of an organisation only those at its areas, lines and meters.
select count(*)::float8, count(*)::float8, null::float8
from rollout.conflicts_open(%(at)s) c
where %(unit)s::text is null or c.unit_id in (select unit_id from rollout.units_of(%(unit)s, %(at)s))

-- name: conflict_hours
-- Hours that a conflict was open, on average of those that were closed since.
select avg(extract(epoch from r.closed_at - r.opened_at))::float8 / 3600,
  sum(extract(epoch from r.closed_at - r.opened_at))::float8 / 3600, count(*)::float8
from rollout.conflicts_resolved(%(since)s, %(at)s) r
where %(unit)s::text is null or r.unit_id in (select unit_id from rollout.units_of(%(unit)s, %(at)s))
having count(*) > 0

-- name: drift_minutes
-- Minutes for which entities of targets were known to disagree with the model since, all together; of everything alone.
select coalesce(sum(minutes), 0)::float8, coalesce(sum(minutes), 0)::float8, null::float8
from sync.drift_spans(%(since)s, %(at)s)
having %(unit)s::text is null

-- name: completeness
-- Records that systems have, of those and the ones that they lack, on the last day on which they were compared.
with compared as (
  select day, sum(records)::float8 as part, sum(records + missing)::float8 as whole
  from sync.completeness
  where day < (%(at)s::timestamptz at time zone %(zone)s)::date and %(unit)s::text is null
  group by day
  order by day desc
  limit 1
)
select part / nullif(whole, 0), part, whole, day from compared

-- name: progress
-- Milestones that were passed, of all.
select count(passed_at) / nullif(count(*), 0)::float8, count(passed_at)::float8, count(*)::float8
from rollout.milestones_at(%(at)s) m
where %(unit)s::text is null
  or m.unit in (select code from rollout.below(%(unit)s, %(at)s))
  or m.department in (select code from rollout.below(%(unit)s, %(at)s))

-- name: on_time
-- Of the milestones whose day is over: the share that was passed by then.
select
  count(*) filter (where (passed_at at time zone %(zone)s)::date <= due_on) / nullif(count(*), 0)::float8,
  count(*) filter (where (passed_at at time zone %(zone)s)::date <= due_on)::float8,
  count(*)::float8
from rollout.milestones_at(%(at)s) m
where m.due_on < (%(at)s::timestamptz at time zone %(zone)s)::date
  and (
    %(unit)s::text is null
    or m.unit in (select code from rollout.below(%(unit)s, %(at)s))
    or m.department in (select code from rollout.below(%(unit)s, %(at)s))
  )

-- name: milestones_passed
select count(*)::float8, count(*)::float8, null::float8
from rollout.milestones_at(%(at)s) m
where m.passed_at >= %(since)s
  and (
    %(unit)s::text is null
    or m.unit in (select code from rollout.below(%(unit)s, %(at)s))
    or m.department in (select code from rollout.below(%(unit)s, %(at)s))
  )

-- name: milestones_slipped
-- Milestones whose day is over and that were not passed.
select count(*)::float8, count(*)::float8, null::float8
from rollout.milestones_at(%(at)s) m
where m.passed_at is null and m.due_on < (%(at)s::timestamptz at time zone %(zone)s)::date
  and (
    %(unit)s::text is null
    or m.unit in (select code from rollout.below(%(unit)s, %(at)s))
    or m.department in (select code from rollout.below(%(unit)s, %(at)s))
  )

-- name: tickets_opened
select count(*)::float8, count(*)::float8, null::float8
from rollout.ticket t
where t.at >= %(since)s and t.at < %(at)s
  and (%(unit)s::text is null or t.unit in (select code from rollout.below(%(unit)s, %(at)s)))

-- name: tickets_open
select count(*)::float8, count(*)::float8, null::float8
from rollout.tickets_at(%(at)s) t
where t.state in ('open', 'in_progress', 'waiting')
  and (%(unit)s::text is null or t.unit in (select code from rollout.below(%(unit)s, %(at)s)))

-- name: tickets_broken
-- Tickets of which a promise was broken: those that were open, and those that were resolved since.
select count(*)::float8, count(*)::float8, null::float8
from rollout.tickets_at(%(at)s) t
where (t.response_broken or t.resolution_broken)
  and (t.state in ('open', 'in_progress', 'waiting') or t.resolved_at >= %(since)s)
  and (%(unit)s::text is null or t.unit in (select code from rollout.below(%(unit)s, %(at)s)))

-- name: resolve_hours
-- Working hours that a ticket took, on average of those that were resolved since, or closed without.
select avg(t.worked_s) / 3600, sum(t.worked_s) / 3600, count(*)::float8
from rollout.tickets_at(%(at)s) t
where t.resolved_at >= %(since)s
  and (%(unit)s::text is null or t.unit in (select code from rollout.below(%(unit)s, %(at)s)))
having count(*) > 0

-- name: sla_kept
-- Of the tickets that were resolved since, or closed without: the share of which both promises were kept.
select
  count(*) filter (where not t.response_broken and not t.resolution_broken) / count(*)::float8,
  count(*) filter (where not t.response_broken and not t.resolution_broken)::float8,
  count(*)::float8
from rollout.tickets_at(%(at)s) t
where t.resolved_at >= %(since)s
  and (%(unit)s::text is null or t.unit in (select code from rollout.below(%(unit)s, %(at)s)))
having count(*) > 0

-- name: matters_open
-- Matters that were raised and have no decision that was carried out.
select count(*)::float8, count(*)::float8, null::float8
from rollout.matter m
where m.at <= %(at)s
  and not exists (
    select from rollout.decision d
    join rollout.follow_up f using (decision_id)
    where d.matter_id = m.matter_id and f.done and f.at <= %(at)s
  )
  and (%(unit)s::text is null or m.unit in (select code from rollout.below(%(unit)s, %(at)s)))

-- name: decisions_overdue
-- Decisions whose day is over and that were not carried out; of an organisation those on its matters.
select count(*)::float8, count(*)::float8, null::float8
from rollout.decision d
left join rollout.matter m using (matter_id)
where d.at <= %(at)s and d.due_on < (%(at)s::timestamptz at time zone %(zone)s)::date
  and not exists (
    select from rollout.follow_up f where f.decision_id = d.decision_id and f.done and f.at <= %(at)s
  )
  and (%(unit)s::text is null or m.unit in (select code from rollout.below(%(unit)s, %(at)s)))

-- name: channels_slow
-- Channels of sites that, when last measured within a week, did not do what their traffic needs.
select count(*)::float8, count(*)::float8, null::float8
from rollout.channels_at(%(at)s) c
where c.shortfalls <> '{}'
  and (%(unit)s::text is null or c.unit in (select code from rollout.below(%(unit)s, %(at)s)))

-- name: channels_good
-- Share of those that did, of all that were measured.
select count(*) filter (where c.shortfalls = '{}') / nullif(count(*), 0)::float8,
  (count(*) filter (where c.shortfalls = '{}'))::float8, count(*)::float8
from rollout.channels_at(%(at)s) c
where %(unit)s::text is null or c.unit in (select code from rollout.below(%(unit)s, %(at)s))

-- name: channels_unknown
-- Channels that were measured before, and not for a week.
select count(*)::float8, count(*)::float8, null::float8
from rollout.channels_silent(%(at)s) c
where %(unit)s::text is null or c.unit in (select code from rollout.below(%(unit)s, %(at)s))

-- name: sites_accepted
-- Share of the units of the roll-out that passed when they were last examined; who was never examined isn't accepted.
with sites as (
  select o.code from grid.organisation o
  join grid.organisation_state s using (organisation_id)
  where o.kind = 'unit' and s.parent_id is not null
    and s.valid @> %(at)s::timestamptz and s.recorded @> %(at)s::timestamptz
    and (%(unit)s::text is null or o.code in (select code from rollout.below(%(unit)s, %(at)s)))
), last as (
  select distinct on (a.site) a.site, a.passed from rollout.acceptance a
  where a.at <= %(at)s
  order by a.site, a.examined_at desc, a.acceptance_id desc
)
select count(*) filter (where l.passed) / nullif(count(*), 0)::float8,
  (count(*) filter (where l.passed))::float8, count(*)::float8
from sites s left join last l on l.site = s.code

-- name: score
-- Score of an organisation by the last assessment of its kind, from 0 to 100, with appeals that were granted.
select s.score, s.score, null::float8 from rollout.scores_at(%(at)s) s where s.unit = %(unit)s

-- name: rank
-- Its rank, 1 for the best.
select s.rank::float8, s.rank::float8, null::float8 from rollout.scores_at(%(at)s) s where s.unit = %(unit)s

-- name: warning_orders
-- Warning orders that stand: they went out with the last assessment, and the score is still too low.
select count(*)::float8, count(*)::float8, null::float8
from rollout.scores_at(%(at)s) s
where s.warned_at is not null
  and (%(unit)s::text is null or s.unit in (select code from rollout.below(%(unit)s, %(at)s)))

-- name: benefit_wh
-- Energy that was booked since: the ledger of benefits as it was known, less that of the begin, whenever it was done. So
-- consecutive reports add up to the ledger.
select sum(k.figure)::float8, sum(k.figure)::float8, null::float8
from (values (%(at)s::timestamptz, 1), (%(since)s::timestamptz, -1)) known (at, sign)
cross join lateral (
  select distinct on (source, source_id, item)
    case when withdrawn then 0 else known.sign * energy_wh end as figure, organisation
  from benefit.entry where recorded_at <= known.at
  order by source, source_id, item, version desc
) k
where %(unit)s::text is null or k.organisation in (select code from rollout.below(%(unit)s, %(at)s))

-- name: benefit_cents
-- Money of it, estimates too.
select sum(k.figure)::float8, sum(k.figure)::float8, null::float8
from (values (%(at)s::timestamptz, 1), (%(since)s::timestamptz, -1)) known (at, sign)
cross join lateral (
  select distinct on (source, source_id, item)
    case when withdrawn then 0 else known.sign * money_cents end as figure, organisation
  from benefit.entry where recorded_at <= known.at
  order by source, source_id, item, version desc
) k
where %(unit)s::text is null or k.organisation in (select code from rollout.below(%(unit)s, %(at)s))
