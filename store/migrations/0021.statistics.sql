-- depends: 0015.networks
-- Nothing is planned by what lies inside arrays of readings, and to look into 30,000 of them for ANALYZE took a third of
-- a core while many blocks came in.
do $$
declare
  t record;
begin
  for t in
    select a.attrelid::regclass as relation, string_agg(format('alter column %I set statistics 0', a.attname), ', ') as actions
    from pg_attribute a
    join pg_type y on y.oid = a.atttypid
    where a.attrelid in ('telemetry.block'::regclass, 'telemetry.scada'::regclass)
      and a.attnum > 0
      and not a.attisdropped
      and (y.typcategory = 'A' or y.typname = 'bytea')
    group by a.attrelid
  loop
    execute format('alter table %s %s', t.relation, t.actions);
  end loop;
end
$$;
