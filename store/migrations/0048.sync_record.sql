-- depends: 0045.event_recorded
-- A record as received stands in one index of keys and not in two, and taking a million of them asks no take a million
-- times whether it is there: they are written in its transaction, and no take is ever removed.

create index record_former on sync.record (system, dataset, key) where not upper_inf(recorded);
drop index sync.record_history;
alter table sync.record drop constraint record_take_id_fkey;
comment on column sync.record.take_id is 'Of sync.take, which nothing is removed from';
