-- name: traffic
-- What a gateway sends an interval by the grid model: units that it may send for and their meters, as they are known;
-- and the shortest interval that came from them in the last two days.
with mine as (
  select unit_id from grid.unit where gateway = %(gateway)s
)
select
  (select count(*) from mine) as blocks,
  (
    select count(*) from grid.member m join mine using (unit_id)
    where m.meter is not null and (m.valid @> %(at)s::timestamptz) is true and (m.recorded @> %(at)s::timestamptz) is true
  ) as meters,
  (
    select min(b.interval_s) from mine join telemetry.block b using (unit_id)
    where b.observed_at > %(at)s - interval '2 days' and b.observed_at <= %(at)s
  ) as interval_s

-- name: add_probe
insert into rollout.channel_probe (
  unit, gateway, measured_at, sent, returned, delay_s, delay_high_s, jitter_s, bytes_per_s, clock_offset_s,
  clock_error_s, meters, blocks, interval_s, needed, shortfalls, at, actor
) values (
  %(unit)s, %(gateway)s, %(measured_at)s, %(sent)s, %(returned)s, %(delay_s)s, %(delay_high_s)s, %(jitter_s)s,
  %(bytes_per_s)s, %(clock_offset_s)s, %(clock_error_s)s, %(meters)s, %(blocks)s, %(interval_s)s, %(needed)s,
  %(shortfalls)s, %(at)s, %(actor)s
)
returning probe_id

-- name: channels
select c.* from rollout.channels_at(%(at)s) c
where (%(unit)s::text is null or c.unit in (select code from rollout.below(%(unit)s, %(at)s)))
  and (not %(slow)s or c.shortfalls <> '{}')
  and (%(after)s = 0 or c.probe_id < %(after)s)
order by c.probe_id desc
limit %(limit)s

-- name: fell_short
-- The last measurement in which a channel fell short: of those that still do, and of those that did since.
select distinct on (p.unit, p.gateway) p.*, c.shortfalls is not null and c.shortfalls = '{}' as is_good_again
from rollout.channel_probe p
left join rollout.channels_at(%(at)s) c using (unit, gateway)
where p.shortfalls <> '{}' and p.at <= %(at)s and p.at >= least(%(since)s, %(at)s::timestamptz - interval '7 days')
  and (p.at >= %(since)s or p.probe_id = c.probe_id)
  and (%(unit)s::text is null or p.unit in (select code from rollout.below(%(unit)s, %(at)s)))
order by p.unit, p.gateway, p.probe_id desc
limit %(limit)s

-- name: silent
select c.* from rollout.channels_silent(%(at)s) c
where %(unit)s::text is null or c.unit in (select code from rollout.below(%(unit)s, %(at)s))
order by c.unit, c.gateway
limit %(limit)s

-- name: add_acceptance
insert into rollout.acceptance (site, examined_at, passed, report, signature, key_id, at, actor)
values (
  %(site)s, %(examined_at)s, %(passed)s, %(report)s, %(signature)s, %(key_id)s, %(at)s, %(actor)s
)
returning acceptance_id

-- name: acceptances
select a.acceptance_id, a.site, a.examined_at, a.passed, a.key_id, a.at, a.actor
from rollout.acceptance a
where a.at <= %(at)s
  and (%(unit)s::text is null or a.site in (select code from rollout.below(%(unit)s, %(at)s)))
  and (%(after)s = 0 or a.acceptance_id < %(after)s)
order by a.acceptance_id desc
limit %(limit)s

-- name: acceptance
select * from rollout.acceptance where acceptance_id = %(acceptance_id)s and at <= %(at)s
