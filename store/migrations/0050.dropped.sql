-- depends: 0048.sync_record
-- What Kafka removed unread was told to Prometheus alone: the boards and the rules of health didn't know of it.

alter table telemetry.worker_state add column dropped bigint not null default 0 check (dropped >= 0);
comment on column telemetry.worker_state.dropped is 'Records that Kafka removed for their age before the part took them, since the row before';
create index worker_state_dropped on telemetry.worker_state (at) where dropped > 0;
