-- name: places
-- A belief whose recorded period is open is what is known now; see `members` of the views.
select
  u.code,
  u.kind,
  array_agg(m.meter order by m.position, lower(m.valid)),
  array_agg(coalesce(grid.us(lower(m.valid)), %(beginning)s::bigint) order by m.position, lower(m.valid)),
  array_agg(coalesce(grid.us(upper(m.valid)), %(end)s::bigint) order by m.position, lower(m.valid))
from grid.member m
join grid.unit u using (unit_id)
where m.meter is not null
  and (m.recorded @> 'infinity'::timestamptz) is true
  and (%(codes)s::text[] is null or u.code = any(%(codes)s::text[]))
group by u.unit_id, u.code, u.kind
