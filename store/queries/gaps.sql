-- name: numberings
select
  gateway, numbering, (extract(epoch from started_at) * 1000000)::bigint, first_sequence, last_sequence, zero_digest
from telemetry.gateway_sequence

-- name: open
-- Only of the current numbering: the numbers of an earlier one mean other messages now.
select
  g.gateway, g.numbering, g.first_sequence, g.last_sequence, g.missing,
  (extract(epoch from g.noticed_at) * 1000000)::bigint,
  g.requests, (extract(epoch from g.requested_at) * 1000000)::bigint, g.fruitless
from telemetry.gap g
join telemetry.gateway_sequence s using (gateway, numbering)
where g.filled_at is null

-- name: save_numberings
insert into telemetry.gateway_sequence as s (
  gateway, numbering, started_at, first_sequence, last_sequence, zero_digest
)
select *
from unnest(
  %(gateway)s::text[], %(numbering)s::int[], %(started_at)s::timestamptz[], %(first)s::bigint[], %(last)s::bigint[],
  %(zero_digest)s::bigint[]
)
on conflict (gateway) do update set
  numbering = excluded.numbering, started_at = excluded.started_at, first_sequence = excluded.first_sequence,
  last_sequence = excluded.last_sequence, zero_digest = excluded.zero_digest, recorded_at = now()
-- A write that was delayed doesn't take back what a later one says.
where (excluded.numbering, excluded.last_sequence) >= (s.numbering, s.last_sequence)

-- name: save_gaps
insert into telemetry.gap as g (
  gateway, numbering, first_sequence, last_sequence, missing, missing_messages, noticed_at, requested_at, requests,
  fruitless, filled_at
)
select u.gateway, u.numbering, u.first, u.last, u.missing::int8multirange, u.missing_messages, u.noticed_at,
  u.requested_at, u.requests, u.fruitless, u.filled_at
from unnest(
  %(gateway)s::text[], %(numbering)s::int[], %(first)s::bigint[], %(last)s::bigint[], %(missing)s::text[],
  %(missing_messages)s::bigint[], %(noticed_at)s::timestamptz[], %(requested_at)s::timestamptz[], %(requests)s::int[],
  %(fruitless)s::int[], %(filled_at)s::timestamptz[]
) as u (
  gateway, numbering, first, last, missing, missing_messages, noticed_at, requested_at, requests, fruitless,
  filled_at
)
on conflict (gateway, numbering, first_sequence) do update set
  last_sequence = excluded.last_sequence, missing = excluded.missing, missing_messages = excluded.missing_messages,
  requested_at = excluded.requested_at, requests = excluded.requests, fruitless = excluded.fruitless,
  filled_at = excluded.filled_at

-- name: list
select
  g.gateway, g.numbering, g.first_sequence, g.last_sequence, g.missing_messages, g.noticed_at, g.requested_at,
  g.requests, g.fruitless, g.filled_at, g.numbering < s.numbering
from telemetry.gap g
join telemetry.gateway_sequence s using (gateway)
where (%(gateway)s::text is null or g.gateway = %(gateway)s) and (g.filled_at is null or not %(open)s)
order by g.noticed_at desc, g.gateway, g.first_sequence
limit %(limit)s

-- name: forget
delete from telemetry.gap where filled_at < %(filled_before)s or noticed_at < %(noticed_before)s
