-- depends: 0024.board_figures 0026.targets 0028.validation
-- What the boards show of copies of the model in other systems, and of doubtful readings: how many and since when.
do $$
declare
  role text;
begin
  foreach role in array array['meterline_board', 'meterline_revenue'] loop
    if exists (select from pg_roles where rolname = role) then
      -- Not which account or meter it is.
      execute format('grant select (target, kind, since, checked_at) on sync.target_state to %I', role);
      execute format('grant select (target, kind, since, until) on sync.drift to %I', role);
      execute format('grant select on telemetry.doubt_count to %I', role);
    end if;
  end loop;
end
$$;
