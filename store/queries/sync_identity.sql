-- name: crosswalk
select system || '.' || dataset, key, entity_id
from sync.crosswalk
where upper_inf(recorded)
order by system, dataset

-- name: entities
select entity_id, kind, code from sync.entity

-- name: decisions
select decision_id, action, system || '.' || dataset, key, entity_id
from sync.identity_decision
where undone_at is null
order by decision_id

-- name: numbers
select nextval('sync.entity_number') from generate_series(1, %(count)s)

-- name: stage
create temporary table stage_entity (entity_id bigint, kind text, code text) on commit drop;
create temporary table stage_crosswalk (
  system text, dataset text, key text, entity_id bigint, method text, confidence real, state text, decision_id bigint
) on commit drop

-- name: copy_entities
copy pg_temp.stage_entity (entity_id, kind, code) from stdin

-- name: copy_crosswalk
copy pg_temp.stage_crosswalk (system, dataset, key, entity_id, method, confidence, state, decision_id) from stdin

-- name: free_codes
-- A code that another entity has by now.
update sync.entity e set code = null
from pg_temp.stage_entity s
where e.entity_id = s.entity_id and e.code is distinct from s.code

-- name: free_taken
update sync.entity e set code = null
from pg_temp.stage_entity s
where e.kind = s.kind and e.code = s.code and e.entity_id <> s.entity_id

-- name: entities_write
insert into sync.entity as e (entity_id, kind, code)
select entity_id, kind, code from pg_temp.stage_entity
on conflict (entity_id) do update set code = excluded.code
where e.code is distinct from excluded.code

-- name: end_crosswalk
update sync.crosswalk c
set recorded = tstzrange(lower(c.recorded), greatest(%(at)s, lower(c.recorded) + interval '1 microsecond'))
where upper_inf(c.recorded)
  and not exists (
    select from pg_temp.stage_crosswalk s
    where s.system = c.system and s.dataset = c.dataset and s.key = c.key
      and s.entity_id = c.entity_id and s.state = c.state and s.decision_id is not distinct from c.decision_id
  )

-- name: add_crosswalk
insert into sync.crosswalk (system, dataset, key, entity_id, method, confidence, state, recorded, decision_id)
select s.system, s.dataset, s.key, s.entity_id, s.method, s.confidence, s.state, tstzrange(%(at)s, null), s.decision_id
from pg_temp.stage_crosswalk s
where not exists (
  select from sync.crosswalk c
  where c.system = s.system and c.dataset = s.dataset and c.key = s.key and upper_inf(c.recorded)
)

-- name: unsure
select c.system, c.dataset, c.key, c.entity_id, e.kind, e.code, c.method, c.confidence, lower(c.recorded) as since
from sync.crosswalk c join sync.entity e using (entity_id)
where upper_inf(c.recorded) and c.state = 'unsure'
order by c.confidence, c.system, c.dataset, c.key
limit %(limit)s

-- name: of_record
select entity_id from sync.crosswalk
where system = %(system)s and dataset = %(dataset)s and key = %(key)s and upper_inf(recorded)

-- name: decide
insert into sync.identity_decision (action, system, dataset, key, entity_id, former_id, decided_by, reason, decided_at)
values (%(action)s, %(system)s, %(dataset)s, %(key)s, %(entity_id)s, %(former_id)s, %(by)s, %(reason)s, %(at)s)
on conflict (system, dataset, key) where undone_at is null do nothing
returning decision_id

-- name: end_record
update sync.crosswalk
set recorded = tstzrange(lower(recorded), greatest(%(at)s, lower(recorded) + interval '1 microsecond'))
where system = %(system)s and dataset = %(dataset)s and key = %(key)s and upper_inf(recorded)

-- name: add_record
insert into sync.crosswalk (system, dataset, key, entity_id, method, confidence, state, recorded, decision_id)
select %(system)s, %(dataset)s, %(key)s, %(entity_id)s, %(method)s, 1, 'confirmed',
  tstzrange(greatest(%(at)s, max(upper(o.recorded))), null), %(decision_id)s
from sync.crosswalk o
where o.system = %(system)s and o.dataset = %(dataset)s and o.key = %(key)s

-- name: add_entity
insert into sync.entity (entity_id, kind) select nextval('sync.entity_number'), kind from sync.entity
where entity_id = %(entity_id)s
returning entity_id

-- name: undo
update sync.identity_decision
set undone_by = %(by)s, undone_at = %(at)s
where decision_id = %(decision_id)s and undone_at is null
returning system, dataset, key, coalesce(former_id, entity_id)

-- name: known_entity
select kind from sync.entity where entity_id = %(entity_id)s
