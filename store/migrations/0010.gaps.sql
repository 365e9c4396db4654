-- depends: 0005.balance_index
-- What every gateway numbers, and what is missing of it (补采).
create table telemetry.gateway_sequence (
  gateway text primary key,
  numbering integer not null check (numbering > 0),
  started_at timestamptz not null,
  first_sequence bigint not null,
  last_sequence bigint not null,
  zero_digest bigint,
  recorded_at timestamptz not null default now()
);
comment on column telemetry.gateway_sequence.numbering is 'Rises by one when the gateway''s counter starts anew';
comment on column telemetry.gateway_sequence.last_sequence is 'The greatest that Kafka has acknowledged';
comment on column telemetry.gateway_sequence.zero_digest is 'Check sum of message 0, which tells its repeat from a new start';

create table telemetry.gap (
  gateway text not null,
  numbering integer not null check (numbering > 0),
  first_sequence bigint not null,
  last_sequence bigint not null,
  missing int8multirange not null,
  missing_messages bigint not null,
  noticed_at timestamptz not null,
  requested_at timestamptz,
  requests integer not null default 0,
  fruitless integer not null default 0,
  filled_at timestamptz,
  primary key (gateway, numbering, first_sequence),
  check (isempty(missing) = (filled_at is not null))
);
comment on column telemetry.gap.missing is 'What is still missing of first_sequence to last_sequence';
comment on column telemetry.gap.fruitless is 'Requests in a row that have brought nothing; after ingest.gap_tries it is given up';
create index gap_open on telemetry.gap (noticed_at) where filled_at is null;
create index gap_filled on telemetry.gap (filled_at) where filled_at is not null;

do $$
begin
  if exists (select from pg_roles where rolname = 'meterline_board') then
    grant select on telemetry.gap, telemetry.gateway_sequence to meterline_board;
  end if;
end
$$;
