-- depends: 0012.results
-- Where a transformer is metered, the classes of instrument transformers, and the error of what units without meters
-- of their own took.

alter table grid.unit add column metered_side text check (metered_side in ('high', 'low'));
alter table grid.unit_state add column metered_side text check (metered_side in ('high', 'low'));
comment on column grid.unit_state.metered_side is
  'Side of its transformer at which the gateway meter stands; NULL = as usual: an area low, a dedicated customer high';

alter table grid.meter_state
  add column ct_class real check (ct_class > 0),
  add column pt_class real check (pt_class > 0);
comment on column grid.meter_state.ct_class is 'Percent, IEC 61869, of the current transformers; NULL = none, or not known';
comment on column grid.meter_state.pt_class is 'Percent, IEC 61869, of the voltage transformers; NULL = none, or not known';

-- Class of a meter with its transformers, whose errors have nothing to do with each other.
create function grid.whole_class(meter real, current_transformer real, voltage_transformer real)
returns double precision
language sql immutable parallel safe
return sqrt(
  meter::float8 ^ 2 + coalesce(current_transformer, 0)::float8 ^ 2 + coalesce(voltage_transformer, 0)::float8 ^ 2
);

alter table telemetry.block add column sigma_systematic_wh bigint[];
comment on column telemetry.block.sigma_systematic_wh is 'Only where members are units: part of sigma_wh that intervals share';
