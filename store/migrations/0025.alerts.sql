-- depends: 0022.sync
-- How many events a notice tells of stands beside it, so that what comes to a full one doesn't rewrite it.

alter table alerts.delivery add column told integer not null default 1 check (told > 0);
update alerts.delivery set told = (payload #>> '{data,count}')::integer
where payload ->> 'type' = 'alert.group' and (payload #>> '{data,count}')::integer > 1;
comment on column alerts.delivery.told is 'Events that the notice tells of; its payload names the first of them';
