-- name: load
select
  threshold_id, unit_kind, low_rate, high_rate, min_inflow_wh_per_h, grid.us(valid_from), medium_voltage_v,
  grid.us(recorded_at), recorded_by, reason
from loss.threshold
order by threshold_id

-- name: newest
select coalesce(max(threshold_id), 0) from loss.threshold

-- name: add
insert into loss.threshold (
  unit_kind, medium_voltage_v, low_rate, high_rate, min_inflow_wh_per_h, valid_from, recorded_by, reason
)
values (
  %(unit_kind)s, %(medium_voltage_v)s, %(low_rate)s, %(high_rate)s, %(min_inflow_wh_per_h)s, %(valid_from)s,
  %(recorded_by)s, %(reason)s
)
returning threshold_id, recorded_at

-- name: judge_again
-- Periods that begin when it is valid already are judged by it with the next look at what is due.
update loss.period_revision p
set due_at = least(p.due_at, now())
from grid.unit u
where u.unit_id = p.unit_id and u.kind = %(unit_kind)s and p.until_at is null and p.begins_at >= %(valid_from)s
