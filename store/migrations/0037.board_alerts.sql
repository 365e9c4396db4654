-- depends: 0035.rollout_facts
-- Of alerts the boards of operations read what and since when, not which meter it is, on what evidence, or who works on
-- it. Those who protect revenue read all of it, as before.
do $$
begin
  if exists (select from pg_roles where rolname = 'meterline_board') then
    revoke select on alerts.alert from meterline_board;
    grant select (
      alert_id, kind, severity, unit_id, state, opened_at, updated_at, role, tier, outcome, suppressed_until,
      expected_at, resolved_at, closed_at
    ) on alerts.alert to meterline_board;
  end if;
end
$$;
