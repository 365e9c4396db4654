-- depends: 0004.alerts_sync
-- A chunk that was just made has no statistics, and an index on the time alone then looks as good as the primary key
-- for one unit's row: each of n rows was found by passing over the n of its interval.
drop index loss.balance_observed;
create index balance_observed on loss.balance (observed_at desc, unit_id);
