-- depends: 0033.sync_indicators
-- Records of transformer and phase that voltages and losses contradict: how far areas were looked at, and findings.

create table usage.association (
  unit_id integer primary key references grid.unit (unit_id),
  through date not null,
  meters integer not null,
  doubted integer not null
);
comment on table usage.association is 'When an area''s meters were last compared by voltage and loss with its neighbours';
comment on column usage.association.through is 'Last local day that was looked at';
comment on column usage.association.meters is 'Customers'' meters of which something could be told';
comment on column usage.association.doubted is 'Of them, those whose record is doubted';

alter table usage.finding drop constraint finding_source_check;
alter table usage.finding add constraint finding_source_check check (source in ('daily', 'live', 'event', 'records'));
comment on column usage.finding.source is
  'daily: from conclusions of days; live: from a rule on intervals; event: from what meters reported; records: from voltages and losses that contradict the model';

-- Ended findings go after `retention.findings_d`.
create index finding_ended on usage.finding (ended_at) where ended_at is not null;
do $$
begin
  if exists (select from pg_roles where rolname = 'meterline_app') then
    grant delete on usage.finding to meterline_app;
  end if;
end
$$;

comment on table sync.measured_area is
  'The area that a meter''s voltage, or the losses of two areas, put it in, where that is not the recorded one; an old row does not count';
