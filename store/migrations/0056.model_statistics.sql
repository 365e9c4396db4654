-- depends: 0055.delivery_by_due
-- The planner knows nothing of tables that were just filled until autovacuum comes by, a minute later: a worker's first
-- look at 1,000 areas of 400 accounts then took minutes. Only an owner may have statistics gathered.
create function grid.renew_statistics() returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  analyze
    grid.unit, grid.account, grid.meter, grid.usage_point, grid.unit_state, grid.account_state, grid.meter_state,
    grid.installation, grid.service, grid.member;
end
$$;
revoke all on function grid.renew_statistics from public;

do $$
begin
  if exists (select from pg_roles where rolname = 'meterline_app') then
    grant execute on function grid.renew_statistics to meterline_app;
  end if;
end
$$;
