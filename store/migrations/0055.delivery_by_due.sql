-- depends: 0053.gap_sigma
-- What is due to one target, in its order: of a target that was away for hours every look went through all that it was owed.
create index delivery_by_due on sync.delivery (target, due_at, sequence) where delivered_at is null;
drop index sync.sync_delivery_due;
