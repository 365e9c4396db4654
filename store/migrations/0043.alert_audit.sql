-- depends: 0041.benefit_bounds
-- Readings of a series are told to the server's log as well, critical findings come first, and alerts are found by group.

-- What is critical is looked at before what has been due for longer.
drop index alerts.finding_due;
create index finding_due on alerts.finding ((severity <> 'critical'), due_at, finding_id) where due_at is not null;
create index finding_waiting on alerts.finding (fingerprint) where due_at is not null;
create index alert_group on alerts.alert (group_key, alert_id);
create index work_order_deadline on alerts.work_order (deadline) where state = 'issued';

-- As before, but that a caller who rolls back the row of alerts.series_read leaves a line in the server's log.
-- The finding's own meter, or a customer's meter that hung on the finding's unit in that time; 92 days at most.
create or replace function alerts.series_for(
  reader text, finding bigint, meter text, from_at timestamptz, to_at timestamptz
) returns table (
  observed_at timestamptz, interval_s integer, import_wh bigint, export_wh bigint,
  voltage_a_v double precision, voltage_b_v double precision, voltage_c_v double precision, quality integer
)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  of_unit integer;
begin
  if reader is null or finding is null or meter is null or from_at is null or to_at is null
     or not from_at < to_at or to_at - from_at > interval '92 days' then
    raise invalid_parameter_value using message = 'a meter''s series is read for at most 92 days at a time';
  end if;
  select f.unit_id into of_unit
  from alerts.finding f
  join alerts.alert a on a.alert_id = f.alert_id
  where f.finding_id = series_for.finding
    and a.state in ('open', 'acknowledged', 'in_progress')
    and a.assignee = series_for.reader
    and (
      f.meter = series_for.meter
      or f.meter is null and exists (
        select from grid.member m
        where m.unit_id = f.unit_id
          and m.meter = series_for.meter
          and upper_inf(m.recorded)
          and m.valid && tstzrange(from_at, to_at)
      )
    );
  if not found then
    raise insufficient_privilege using message = 'no open finding about this meter is assigned to you';
  end if;
  insert into alerts.series_read (reader, finding_id, meter, from_at, to_at)
  values (series_for.reader, series_for.finding, series_for.meter, series_for.from_at, series_for.to_at);
  raise log 'series read by % for finding %: meter %, from % to %',
    quote_literal(series_for.reader), series_for.finding, quote_literal(series_for.meter), from_at, to_at;
  return query
  select
    r.observed_at, r.interval_s, r.import_wh::bigint, r.export_wh::bigint,
    r.voltage_a_v::float8, r.voltage_b_v::float8, r.voltage_c_v::float8, r.quality::integer
  from telemetry.reading r
  where r.unit_id in (
      select m.unit_id from grid.member m
      where m.meter = series_for.meter and upper_inf(m.recorded) and m.valid && tstzrange(from_at, to_at)
    )
    and r.meter = series_for.meter
    and r.observed_at > from_at
    and r.observed_at <= to_at
  order by r.observed_at, r.interval_s;
end
$$;
