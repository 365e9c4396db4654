-- name: believed
select belief_id, lower(valid), upper(valid), {columns}
from {table}
where {key} = %(key)s and upper_inf(recorded)
order by lower(valid) nulls first

-- name: close
update {table}
set recorded = tstzrange(lower(recorded), %(instant)s)
where belief_id = %(belief_id)s and upper_inf(recorded)

-- name: add
insert into {table} ({key}, {columns}, valid, recorded)
values (%(key)s, {values}, tstzrange(%(valid_from)s, %(valid_to)s), tstzrange(%(instant)s, null))
