-- name: authority
select entity, field, systems, valid_from, recorded_at from sync.authority order by authority_id

-- name: add_authority
insert into sync.authority (entity, field, systems, valid_from, recorded_by, reason)
values (%(entity)s, %(field)s, %(systems)s, %(valid_from)s, %(by)s, %(reason)s)
returning authority_id

-- name: stage
create temporary table stage_conflict (
  fingerprint bytea, kind text, entity_kind text, entity_id bigint, field text, system text, dataset text, key text,
  department text, believed text, given text, said jsonb, confidence real
) on commit drop

-- name: copy
copy pg_temp.stage_conflict (
  fingerprint, kind, entity_kind, entity_id, field, system, dataset, key, department, believed, given, said, confidence
) from stdin

-- name: reopen
update sync.conflict c
set closed_at = null, opened_at = %(at)s
from pg_temp.stage_conflict s
where s.fingerprint = c.fingerprint and c.closed_at is not null

-- name: refresh
update sync.conflict c
set seen_at = %(at)s, entity_id = s.entity_id, believed = s.believed, given = s.given, said = s.said,
  confidence = s.confidence, department = s.department
from pg_temp.stage_conflict s
where s.fingerprint = c.fingerprint
  and (c.entity_id, c.believed, c.given, c.said, c.confidence, c.department)
    is distinct from (s.entity_id, s.believed, s.given, s.said, s.confidence, s.department)

-- name: open
insert into sync.conflict (
  fingerprint, kind, entity_kind, entity_id, field, system, dataset, key, department, believed, given, said,
  confidence, opened_at, seen_at
)
select
  fingerprint, kind, entity_kind, entity_id, field, system, dataset, key, department, believed, given, said,
  confidence, %(at)s, %(at)s
from pg_temp.stage_conflict
on conflict (fingerprint) do nothing

-- name: close
update sync.conflict c
set closed_at = %(at)s
where c.closed_at is null
  and not exists (select from pg_temp.stage_conflict s where s.fingerprint = c.fingerprint)

-- name: end_proposals
-- What was proposed about a conflict that has gone by itself.
update sync.proposal p
set state = 'withdrawn', version = version + 1
from sync.conflict c
where p.conflict_id = c.conflict_id and c.closed_at = %(at)s and p.state in ('open', 'approved')
returning p.proposal_id

-- name: listed
select
  c.conflict_id, c.kind, c.entity_kind, e.code, c.field, c.system, c.dataset, c.key, c.department, c.believed, c.given,
  c.confidence, c.opened_at, c.closed_at
from sync.conflict c left join sync.entity e using (entity_id)
where (%(kind)s::text is null or c.kind = %(kind)s)
  and (%(system)s::text is null or c.system = %(system)s)
  and (%(department)s::text is null or c.department = %(department)s)
  and (%(code)s::text is null or e.code = %(code)s)
  and (%(closed)s or c.closed_at is null)
  and (%(after)s = 0 or c.conflict_id < %(after)s)
order by c.conflict_id desc
limit %(limit)s

-- name: counts
select kind, system, department, count(*)::integer as open, min(opened_at) as oldest
from sync.conflict
where closed_at is null
group by kind, system, department
order by kind, system, department

-- name: shown
select
  c.conflict_id, c.kind, c.entity_kind, c.entity_id, e.code, c.field, c.system, c.dataset, c.key, c.department,
  c.believed, c.given, c.said, c.confidence, c.opened_at, c.closed_at,
  (
    select jsonb_agg(jsonb_build_object(
      'system', w.system, 'dataset', w.dataset, 'key', w.key, 'method', w.method, 'confidence', w.confidence, 'body', r.body
    ) order by w.system, w.dataset, w.key)
    from sync.crosswalk w
    join sync.record r on r.system = w.system and r.dataset = w.dataset and r.key = w.key and upper_inf(r.recorded)
    where w.entity_id = c.entity_id and upper_inf(w.recorded)
  ) as records
from sync.conflict c left join sync.entity e using (entity_id)
where c.conflict_id = %(conflict_id)s

-- name: found
-- Rows in which there is a conflict, as scoring wants them; of a missing record the rows of what lacks it.
select
  c.kind, c.system, c.dataset, c.key,
  (select jsonb_agg(k) from jsonb_object_keys(c.said) k)
from sync.conflict c
where c.closed_at is null

-- name: consistency
-- The relations of each unit, and those that nothing contradicts.
with wrong as (
  select distinct e.kind, e.code
  from sync.conflict c join sync.entity e using (entity_id)
  where c.closed_at is null
    and e.code is not null
    and (
      c.kind in ('missing', 'orphan', 'duplicate')
      or (c.kind in ('relation_differs', 'outdated', 'impossible') and c.field in ('area', 'account', 'feeder', 'substation'))
    )
),
related as (
  -- Looked up one by one in what is wrong, a city would take minutes: each set is hashed once.
  select
    m.unit_id, 'transformer_customer' as relation,
    (
      m.meter in (select w.code from wrong w where w.kind = 'meter')
      or a.code in (select w.code from wrong w where w.kind = 'account')
    ) is not true as right
  from grid.member m
  join grid.unit u on u.unit_id = m.unit_id and u.kind in ('area', 'dedicated')
  left join grid.installation i on i.meter_id = m.meter_id and upper_inf(i.recorded) and i.valid @> %(at)s
  left join grid.service v on v.usage_point_id = i.usage_point_id and upper_inf(v.recorded) and v.valid @> %(at)s
  left join grid.account a on a.account_id = v.account_id
  where m.meter_id is not null and m.role & 2 = 2 and upper_inf(m.recorded) and m.valid @> %(at)s
  union all
  select m.unit_id, 'line_transformer', w.code is null
  from grid.member m
  join grid.unit u on u.unit_id = m.unit_id and u.kind = 'feeder'
  join grid.unit c on c.unit_id = m.child_id
  left join wrong w on w.kind = 'area' and w.code = c.code
  where upper_inf(m.recorded) and m.valid @> %(at)s
  union all
  select u.unit_id, 'station_line', w.code is null
  from grid.unit u
  left join wrong w on w.kind = 'feeder' and w.code = u.code
  where u.kind = 'feeder'
)
insert into sync.consistency as k (unit_id, relation, day, relations, consistent)
select unit_id, relation, %(day)s, count(*), count(*) filter (where "right")
from related
group by unit_id, relation
on conflict (unit_id, relation, day) do update set relations = excluded.relations, consistent = excluded.consistent
where (k.relations, k.consistent) is distinct from (excluded.relations, excluded.consistent)

-- name: rates
select
  u.code, u.kind, k.relation, k.day, k.relations, k.consistent,
  k.consistent::float8 / nullif(k.relations, 0) as rate
from sync.consistency k join grid.unit u using (unit_id)
where k.day = (select max(day) from sync.consistency where day <= %(day)s)
  and (%(unit)s::text is null or u.code = %(unit)s)
order by rate, u.code, k.relation
limit %(limit)s

-- name: rate_totals
select
  relation, min(day) as day, sum(relations)::bigint as relations, sum(consistent)::bigint as consistent,
  sum(consistent)::float8 / nullif(sum(relations), 0) as rate
from sync.consistency
where day = (select max(day) from sync.consistency where day <= %(day)s)
group by relation
order by relation
