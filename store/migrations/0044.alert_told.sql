-- depends: 0043.alert_audit
-- What targets were told of an alert last, so that they learn when it has grown worse; findings that hold, by kind.

alter table alerts.alert add column told_severity text, add column told_meters bigint;
comment on column alerts.alert.told_severity is 'When targets were last told of it; NULL: before this was noted';
comment on column alerts.alert.told_meters is 'Meters in it then, of an outage';
create index finding_holding on alerts.finding (kind) where ended_at is null;
