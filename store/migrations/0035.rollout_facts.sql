-- depends: 0034.usage_association
-- When things first happened, and whose: milestones pass once, tickets are resolved once, the whole is what was there.

-- `passed_at` is the first of the reviews that have passed without a failure since.
create or replace function rollout.milestones_at(at timestamptz)
returns table (
  programme text, code text, package text, unit text, department text, owner text, name text, due_on date, accept text[],
  measures text[], result text, reviewed_at timestamptz, reviewed_by text, passed_at timestamptz
)
language sql stable
begin atomic
  select m.programme, m.code, m.package, p.unit, p.department, p.owner, m.name, m.due_on, m.accept, m.measures,
    r.result, r.at, r.actor, f.at
  from (
    select distinct on (m.programme, m.code) m.* from rollout.milestone m
    where m.at <= milestones_at.at
    order by m.programme, m.code, m.milestone_id desc
  ) m
  join rollout.packages_at(milestones_at.at) p on p.programme = m.programme and p.code = m.package
  left join lateral (
    select r.result, r.at, r.actor from rollout.review r
    where r.programme = m.programme and r.milestone = m.code and r.at <= milestones_at.at
    order by r.review_id desc
    limit 1
  ) r on true
  left join lateral (
    select r.at from rollout.review r
    where r.programme = m.programme and r.milestone = m.code and r.at <= milestones_at.at
      and r.review_id > coalesce((
        select max(b.review_id) from rollout.review b
        where b.programme = m.programme and b.milestone = m.code and b.at <= milestones_at.at and b.result = 'failed'
      ), 0)
    order by r.review_id
    limit 1
  ) f on true
  where not m.dropped;
end;

-- `resolved_at` is when it was resolved, or closed without, and not opened again since.
drop function rollout.tickets_at;
create function rollout.tickets_at(at timestamptz)
returns table (
  ticket_id bigint, kind text, unit text, priority text, title text, tiers smallint, opened_at timestamptz,
  opened_by text, norm text, number integer, state text, tier smallint, assignee text, release text, stepped_at timestamptz,
  resolved_at timestamptz, worked_s double precision, responded_s double precision, respond_s integer, resolve_s integer,
  respond_due_at timestamptz, resolve_due_at timestamptz, response_broken boolean, resolution_broken boolean
)
language sql stable
begin atomic
  select t.ticket_id, t.kind, t.unit, t.priority, t.title, t.tiers, t.at, t.actor, t.norm, s.number, s.to_state, s.tier,
    s.assignee, s.release, s.at, e.at, s.worked_s, s.responded_s, t.respond_s, t.resolve_s, s.respond_due_at,
    s.resolve_due_at, coalesce(s.responded_s > t.respond_s, s.respond_due_at <= tickets_at.at, false),
    s.worked_s > t.resolve_s or coalesce(s.resolve_due_at <= tickets_at.at, false)
  from rollout.ticket t
  join lateral (
    select s.* from rollout.ticket_step s
    where s.ticket_id = t.ticket_id and s.at <= tickets_at.at
    order by s.number desc
    limit 1
  ) s on true
  left join lateral (
    select e.at from rollout.ticket_step e
    where e.ticket_id = t.ticket_id and e.at <= tickets_at.at and e.number > (
      select max(l.number) from rollout.ticket_step l
      where l.ticket_id = t.ticket_id and l.at <= tickets_at.at and l.to_state in ('open', 'in_progress', 'waiting')
    )
    order by e.number
    limit 1
  ) e on true;
end;
comment on column rollout.ticket_step.resolve_due_at is
  'When the promise is broken, or was; NULL while it is kept and the clock stands still';

-- The assessment units that an organisation answers for, itself or by those below it, as known at an instant; NULL: all
-- that there were.
create or replace function rollout.units_of(organisation text, at timestamptz) returns table (unit_id integer)
language sql stable
begin atomic
  select r.unit_id
  from rollout.below(units_of.organisation, units_of.at) b
  join grid.responsibility r using (organisation_id)
  where r.valid @> units_of.at and r.recorded @> units_of.at
  union
  select s.unit_id from grid.unit_state s
  where units_of.organisation is null and s.valid @> units_of.at and s.recorded @> units_of.at;
end;

-- Work packages that are done: all their milestones have passed; without any, their day is over.
create function rollout.packages_done(at timestamptz, zone text) returns table (programme text, code text)
language sql stable
begin atomic
  select p.programme, p.code
  from rollout.packages_at(packages_done.at) p
  left join (
    select m.programme, m.package, count(*) = count(m.passed_at) as are_passed
    from rollout.milestones_at(packages_done.at) m
    group by m.programme, m.package
  ) m on m.programme = p.programme and m.package = p.code
  where coalesce(m.are_passed, p.due_on < (packages_done.at at time zone packages_done.zone)::date);
end;

-- Channels that nobody has measured for a week; who was silent for nine weeks is taken as gone.
create function rollout.channels_silent(at timestamptz) returns setof rollout.channel_probe
language sql stable
begin atomic
  select * from (
    select distinct on (p.unit, p.gateway) p.* from rollout.channel_probe p
    where p.at <= channels_silent.at and p.at > channels_silent.at - interval '63 days'
    order by p.unit, p.gateway, p.probe_id desc
  ) p
  where p.at <= channels_silent.at - interval '7 days';
end;

-- Score and rank of each organisation by the last assessment of its kind, with appeals that were granted; whether a
-- warning order stands: it went out, and the score is still too low.
create function rollout.scores_at(at timestamptz)
returns table (
  assessment_id bigint, kind text, unit text, score double precision, rank bigint, warn_below double precision,
  warned_at timestamptz
)
language sql stable
begin atomic
  with last as (
    select distinct on (a.kind) a.assessment_id, a.kind, w.weights
    from rollout.assessment a join rollout.weighting w using (weighting_id)
    where a.at <= scores_at.at
    order by a.kind, a.until_at desc, a.assessment_id desc
  ), counted as (
    select l.assessment_id, l.kind, (l.weights ->> 'warn_below')::double precision as warn_below, v.unit,
      coalesce(g.value, v.value) as value, w.weight, w.floor, w.target, w.unknown
    from last l
    cross join lateral jsonb_to_recordset(l.weights -> 'indicators')
      as w (indicator text, weight double precision, floor double precision, target double precision, unknown text)
    join rollout.assessed v on v.assessment_id = l.assessment_id and v.indicator = w.indicator
    left join lateral (
      select n.value
      from rollout.appeal p
      join rollout.appeal_answer n using (appeal_id)
      where p.assessment_id = v.assessment_id and p.unit = v.unit and p.indicator = v.indicator
        and n.value is not null and n.at <= scores_at.at
      order by n.at desc, n.appeal_id desc
      limit 1
    ) g on true
  ), scored as (
    select c.assessment_id, c.kind, c.unit, c.warn_below,
      100 * coalesce(sum(c.weight * least(greatest((c.value - c.floor) / (c.target - c.floor), 0), 1)), 0)
        / sum(c.weight) filter (where c.value is not null or c.unknown = 'zero') as score
    from counted c
    group by c.assessment_id, c.kind, c.unit, c.warn_below
  )
  select s.assessment_id, s.kind, s.unit, s.score,
    case when s.score is not null then rank() over (partition by s.assessment_id order by s.score desc nulls last) end,
    s.warn_below, case when s.score < s.warn_below then w.at end
  from scored s
  left join rollout.warning w on w.assessment_id = s.assessment_id and w.unit = s.unit and w.at <= scores_at.at;
end;
