-- name: add
insert into telemetry.rejected as r (
  fingerprint, reason, detail, quarantined, topic, meters, original, original_size, first_at
)
values (
  %(fingerprint)s, %(reason)s, %(detail)s, %(quarantined)s, %(topic)s, %(meters)s, %(original)s,
  %(original_size)s, %(at)s
)
-- Another try may name other meters: some have become known meanwhile.
on conflict (fingerprint) do update set
  seen = r.seen + 1, replayed_at = null, detail = excluded.detail, meters = excluded.meters

-- name: list
select id, reason, detail, quarantined, topic, meters, original_size, first_at, seen, replayed_at
from telemetry.rejected
where (%(reason)s::text is null or reason = %(reason)s) and (%(everything)s or replayed_at is null)
order by id desc
limit %(limit)s

-- name: originals
select id, topic, original
from telemetry.rejected
where replayed_at is null
  and (%(ids)s::bigint[] is null or id = any(%(ids)s))
  and (%(reason)s::text is null or reason = %(reason)s)
  and (%(ids)s::bigint[] is not null or quarantined)
  and id > %(after)s
order by id
limit %(limit)s

-- name: one
select original from telemetry.rejected where id = %(id)s

-- name: replayed
update telemetry.rejected set replayed_at = now() where id = any(%(ids)s)
