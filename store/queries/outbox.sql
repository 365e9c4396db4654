-- name: begin_change
-- Writers of the model stand in line, so that instants of recorded time rise in the order of commits.
select pg_advisory_xact_lock(hashtextextended('grid model', 0))

-- name: instant
-- Later than that of the change before, even when the clock was set back.
select greatest(
  clock_timestamp(),
  (select recorded_at + interval '1 microsecond' from grid.outbox order by id desc limit 1)
)

-- name: next_model_version
update grid.model_version set version = version + 1 returning version

-- name: add
insert into grid.outbox (aggregatetype, aggregateid, type, payload, recorded_at)
values (%(aggregatetype)s, %(aggregateid)s, %(type)s, %(payload)s, %(recorded_at)s)
returning id

-- name: lock_relay
select pg_try_advisory_lock(hashtextextended('relay ' || %(topic)s, 0))

-- name: position
select transaction_id::text, outbox_id from sync.relay where topic = %(topic)s

-- name: read
-- Serial ids are given out in an order that is not that of commits. A row is read when every transaction that began
-- before its own has ended: nothing can appear behind the position any more.
select transaction_id::text, id, aggregatetype, aggregateid, type, payload, recorded_at
from grid.outbox
where (transaction_id, id) > (%(transaction_id)s::xid8, %(outbox_id)s)
  and transaction_id < pg_snapshot_xmin(pg_current_snapshot())
order by transaction_id, id
limit %(limit)s

-- name: move
-- Only from where the rows were read: another relay may have taken over.
insert into sync.relay as r (topic, transaction_id, outbox_id)
values (%(topic)s, %(transaction_id)s::xid8, %(outbox_id)s)
on conflict (topic) do update set transaction_id = excluded.transaction_id, outbox_id = excluded.outbox_id
where (r.transaction_id, r.outbox_id) = (%(read_transaction_id)s::xid8, %(read_outbox_id)s)

-- name: lock_model
select version from grid.model_version for share

-- name: last_change
select coalesce(max(id), 0) from grid.outbox

-- name: resettles_since
-- Orders to settle again that were written after a change, in their order.
select payload
from grid.outbox
where id > %(after)s and aggregatetype = 'resettle'
order by id

-- name: changes_since
select id, coalesce(array(select jsonb_array_elements_text(payload -> 'units')), '{}')
from grid.outbox
where id > %(after)s
