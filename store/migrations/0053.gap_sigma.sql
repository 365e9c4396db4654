-- depends: 0050.dropped
-- An estimate's own deviation beside what it adds to sums over time: errors inside a gap hang together. Until now one
-- figure stood for both, and the band of a single interval was that of its part of the gap's sum.

alter table telemetry.block add column gap_sigma_wh bigint[];
comment on column telemetry.block.gap_sigma_wh is
  'Of estimates: what a value''s error adds to a sum over time beyond sigma_wh, since errors inside a gap hang together';
alter table loss.balance add column gap_sigma_wh double precision not null default 0;
alter table loss.superseded add column gap_sigma_wh double precision not null default 0;
comment on column loss.balance.gap_sigma_wh is
  'What the loss''s error adds to a sum over time beyond sigma_wh: of members that are estimated in longer gaps';
comment on column loss.superseded.gap_sigma_wh is
  'What the loss''s error adds to a sum over time beyond sigma_wh: of members that are estimated in longer gaps';
