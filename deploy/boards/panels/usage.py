"""Panels of revenue protection (marketing): where energy goes that nobody pays for, and what was found of it.

They run as the role of revenue protection. A meter's series isn't among them: it is read through the audited function.
"""

# ruff: noqa: S608 - the statements are put together from the constants of this folder, never from input

from __future__ import annotations

from deploy.boards.model import Colour, Column, Link, Panel, Picture, Step, Unit, Word
from deploy.boards.panels.alerts import SEVERITY, STATE, TO_ALERT, alert_columns, alert_rows
from deploy.boards.panels.parts import (
    AGE,
    BAND,
    BUCKET,
    CLASS,
    CODE,
    FEEDER_OF,
    HERE,
    LAST_DAY,
    columns_with_band,
    has_feeder_here,
    lines_with_band,
    to_area,
)

RESULTS = (
    Word("confirmed", "confirmed", Colour.BAD),
    Word("refuted", "refuted", Colour.GOOD),
    Word("not_found", "not found", Colour.MUTED),
)

REVENUE_NOW = Panel(
    key="revenue_now",
    title="Unexplained energy, last full day",
    description=(
        "What areas lost beyond technical loss, over those whose day is high; and what customers' meters took while "
        "they had no active account (无档案用电)."
    ),
    picture=Picture.FIGURES,
    sql=f"""
with {HERE}
select
  coalesce(sum(p.loss_wh - coalesce(p.technical_wh, 0)) filter (where p.class = 'high'), 0)::float8 as unexplained_wh,
  count(*) filter (where p.class = 'high') as high_areas,
  coalesce(sum(p.uncontracted_wh), 0)::float8 as uncontracted_wh,
  (select count(*) from alerts.alert where state not in ('resolved', 'closed')) as open_alerts
from grid.unit u
join loss.period p on p.unit_id = u.unit_id and p.period = 'day' and p.revision > 0 and p.first_day = {LAST_DAY}
where u.kind in ('area', 'dedicated') and {has_feeder_here()}
""",
    columns=(
        Column("unexplained_wh", "Unexplained in high areas", Unit.ENERGY_WH, decimals=1),
        Column("high_areas", "High areas", Unit.COUNT, below=Colour.GOOD, steps=(Step(1, Colour.WARNING),)),
        Column("uncontracted_wh", "Without a contract", Unit.ENERGY_WH, decimals=1),
        Column("open_alerts", "Open alerts", Unit.COUNT, below=Colour.GOOD, steps=(Step(1, Colour.WARNING),)),
    ),
)

UNEXPLAINED = Panel(
    key="unexplained",
    title="Areas by unexplained energy, last full day",
    description=(
        "Where a field check (现场核查) is worth most: loss less technical loss, of areas whose class is high or "
        "negative, the greatest first. The band is of the loss."
    ),
    picture=Picture.TABLE,
    sql=f"""
with {HERE}, worst as (
  select
    u.unit_id, u.name, u.code, p.class, p.loss_wh - coalesce(p.technical_wh, 0) as unexplained_wh,
    {BAND} * p.sigma_wh as band_wh, p.uncontracted_wh, p.estimated_share, p.reasons, p.to_at
  from grid.unit u
  join loss.period p on p.unit_id = u.unit_id and p.period = 'day' and p.revision > 0 and p.first_day = {LAST_DAY}
  where u.kind = 'area' and p.computable and {has_feeder_here()}
  order by p.class in ('high', 'negative') desc, abs(p.loss_wh - coalesce(p.technical_wh, 0)) desc, u.name
  limit 50
)
select
  u.name as area, u.code, f.code as feeder_code, u.class, u.unexplained_wh::float8 as unexplained_wh, u.band_wh,
  u.uncontracted_wh::float8 as uncontracted_wh, u.estimated_share,
  (select string_agg(r.name, ', ' order by r.bit) from loss.reason r where r.bit & u.reasons <> 0) as reasons,
  extract(epoch from now() - u.to_at)::float8 as age_s
from worst u
left join lateral {FEEDER_OF} f on true
order by u.class in ('high', 'negative') desc, abs(u.unexplained_wh) desc, area
""",
    columns=(
        Column("area", "Area", link=to_area()),
        CODE,
        Column("feeder_code", "Feeder code", hidden=True),
        CLASS,
        Column("unexplained_wh", "Unexplained", Unit.ENERGY_WH, decimals=1),
        Column("band_wh", "± 95 %", Unit.ENERGY_WH, decimals=1),
        Column("uncontracted_wh", "Without a contract", Unit.ENERGY_WH, decimals=1),
        Column("estimated_share", "Estimated", Unit.FRACTION, decimals=1),
        Column("reasons", "Reasons"),
        AGE,
    ),
    nothing="No day has been summed up yet",
)

AREA_METERS = Panel(
    key="area_meters",
    title="Meters of the area, newest interval",
    description=(
        "What each meter of the chosen area showed last, by its code alone, the least use first: a meter that "
        "stopped stands on top. A click on one narrows the findings to it, and shows its series where a finding of "
        "mine allows that."
    ),
    picture=Picture.TABLE,
    sql="""
select
  r.meter,
  r.phases,
  (r.import_wh * 3600.0 / r.interval_s)::float8 as power_w,
  r.voltage_v,
  case when r.quality = 0 then 'measured' when r.quality & 1 = 1 then 'missing' else 'substitute' end as quality,
  extract(epoch from now() - r.observed_at)::float8 as age_s
from grid.unit u
cross join lateral telemetry.newest_readings(u.unit_id) r
where u.code = ${area:sqlstring} and ${meter:sqlstring} in ('*', r.meter)
order by power_w nulls first, r.meter
limit 1000
""",
    columns=(
        Column(
            "meter",
            "Meter",
            link=Link(
                "Open the meter",
                "meterline-usage",
                values=(("meter", "meter"),),
                keep=("region", "substation", "feeder", "area"),
            ),
        ),
        Column("phases", "Phase", width_px=80),
        Column("power_w", "Power", Unit.POWER_W, decimals=1),
        Column(
            "voltage_v",
            "Voltage",
            Unit.VOLTS,
            decimals=1,
            below=Colour.BAD,
            steps=(Step(198, Colour.PLAIN), Step(235.5, Colour.WARNING)),
        ),
        Column("quality", "Quality"),
        AGE,
    ),
    nothing="Nothing was read within two days",
)

AREA_BALANCE_DAYS = Panel(
    key="area_evidence",
    title="Evidence: unexplained energy of the area by day",
    description="Loss less technical loss of the chosen area, a local day each, with the 95 % band of the loss.",
    picture=Picture.LINES,
    unit=Unit.ENERGY_WH,
    span="90d",
    sql=f"""
select
  p.ends_at as time,
  {lines_with_band("unexplained", "p.loss_wh - coalesce(p.technical_wh, 0)", "p.sigma_wh")}
from grid.unit u
join loss.period p on p.unit_id = u.unit_id and p.period = 'day' and p.revision > 0 and p.computable
where u.code = ${{area:sqlstring}} and $__timeFilter(p.ends_at)
order by p.ends_at
""",
    columns=columns_with_band("unexplained", "Unexplained"),
    band=("unexplained_low", "unexplained_high"),
)

ALERT_LIST = Panel(
    key="alert_list",
    title="Alerts, newest first",
    description="The last 100 alerts of the last 90 days, closed ones too.",
    picture=Picture.TABLE,
    sql=alert_rows("a.opened_at > now() - interval '90 days'", "limit 100"),
    columns=alert_columns(),
    nothing="No alert",
)

FINDINGS = Panel(
    key="findings",
    title="Findings, ranked",
    description=(
        "What lasts, or was found within 30 days, of all meters or of the chosen one: first what nobody has checked, "
        "the most severe and then the oldest first. A finding that was held back says why."
    ),
    picture=Picture.TABLE,
    sql="""
select
  f.finding_id::text as finding,
  f.alert_id,
  f.severity,
  f.kind,
  u.name as unit,
  f.meter,
  a.state,
  a.assignee,
  f.result,
  f.held_by,
  extract(epoch from now() - f.begin_at)::float8 as open_s,
  extract(epoch from now() - f.seen_at)::float8 as age_s
from (
  select * from alerts.finding where ended_at is null
  union all
  (select * from alerts.finding where ended_at > now() - interval '30 days' order by ended_at desc limit 500)
) f
join grid.unit u using (unit_id)
left join alerts.alert a using (alert_id)
where ${meter:sqlstring} in ('*', f.meter)
order by f.result is not null, f.ended_at is not null,
  array_position(array['critical', 'warning', 'info'], f.severity), f.begin_at, f.finding_id
limit 100
""",
    columns=(
        Column("finding", "Finding", width_px=80),
        Column("alert_id", "Alert", link=TO_ALERT, width_px=70),
        SEVERITY,
        Column("kind", "Kind"),
        Column("unit", "Unit"),
        Column("meter", "Meter"),
        STATE,
        Column("assignee", "Assigned to"),
        Column("result", "Field check", words=RESULTS),
        Column("held_by", "Held back by"),
        Column("open_s", "Since", Unit.SECONDS, decimals=0, width_px=90),
        Column("age_s", "Last seen", Unit.SECONDS, decimals=0, width_px=90),
    ),
    nothing="No finding",
)

SUSPECTS = Panel(
    key="suspects",
    title="Suspected list: findings of usage by what a visit is expected to recover",
    description=(
        "Findings of usage (疑似窃电) that hold or ended within 30 days, of all meters or the chosen one: what nobody "
        "has checked first, by the energy of 28 days times the chance that a visit confirms it. The chance is the "
        "finding's confidence, moved by the results of its kind within two years, and by those in its area."
    ),
    picture=Picture.TABLE,
    sql="""
with results as (
  select f.kind, f.unit_id, count(*) as visits, count(*) filter (where r.result = 'confirmed') as hits
  from usage.field_result r
  join usage.finding f using (finding_id)
  where r.checked_at > now() - interval '730 days'
  group by 1, 2
), of_kind as (
  select kind, sum(visits) as visits, sum(hits) as hits from results group by 1
), open as (
  select * from (
    (select * from usage.finding where ended_at is null order by expected_wh desc limit 5000)
    union all
    (select * from usage.finding where ended_at > now() - interval '30 days' order by ended_at desc limit 500)
  ) f
  where ${meter:sqlstring} in ('*', f.meter)
), chanced as (
  select
    o.*, (coalesce(a.hits, 0) + 4 * (coalesce(k.hits, 0) + 4 * o.confidence) / (coalesce(k.visits, 0) + 4))
      / (coalesce(a.visits, 0) + 4) as chance
  from open o
  left join of_kind k on k.kind = o.kind
  left join results a on a.kind = o.kind and a.unit_id = o.unit_id
)
select
  c.finding_id::text as suspect, c.kind, u.name as area, c.meter, c.confidence::float8 as confidence,
  c.chance::float8 as chance, c.expected_wh::float8 as expected_wh, (c.chance * c.expected_wh)::float8 as worth_wh,
  c.expected_money, concat_ws(', ', variadic c.reasons) as reasons,
  concat_ws(
    ' ', c.evidence -> 'voltage' ->> 'found_area', c.evidence -> 'voltage' ->> 'found_phase',
    'series ' || left(c.evidence ->> 'series', 8)
  ) as evidence,
  f.alert_id, r.result, extract(epoch from now() - c.begin_at)::float8 as open_s,
  extract(epoch from now() - c.seen_at)::float8 as age_s
from chanced c
join grid.unit u using (unit_id)
left join alerts.finding f on f.finding_id = c.alert_finding_id
left join usage.field_result r on r.finding_id = c.finding_id
order by r.result is not null, c.ended_at is not null, c.chance * c.expected_wh desc, c.chance desc, c.finding_id
limit 100
""",
    columns=(
        Column("suspect", "Finding", width_px=80),
        Column("kind", "Kind"),
        Column("area", "Area"),
        Column("meter", "Meter"),
        Column("worth_wh", "Worth a visit", Unit.ENERGY_WH, decimals=1),
        Column("expected_wh", "Expected in 28 days", Unit.ENERGY_WH, decimals=1),
        Column("expected_money", "Money", Unit.COUNT, decimals=2),
        Column("confidence", "Confidence", Unit.FRACTION, decimals=0, width_px=90),
        Column("chance", "Chance", Unit.FRACTION, decimals=0, width_px=90),
        Column("reasons", "Reasons"),
        Column("evidence", "Evidence"),
        Column("alert_id", "Alert", link=TO_ALERT, width_px=70),
        Column("result", "Field check", words=RESULTS),
        Column("open_s", "Since", Unit.SECONDS, decimals=0, width_px=90),
        Column("age_s", "Last seen", Unit.SECONDS, decimals=0, width_px=90),
    ),
    nothing="Nobody is suspected",
)

SERIES_OF_FINDING = Panel(
    key="finding_series",
    title="Evidence: the meter of my finding",
    description=(
        "The series of the chosen finding's meter, or of the chosen meter by my newest finding of it, over at most 92 "
        "days. It is shown only to the account that the open finding is assigned to, and each look is recorded in "
        "alerts.series_read."
    ),
    picture=Picture.LINES,
    unit=Unit.POWER_W,
    sql=f"""
with mine as materialized (
  -- Before the function is called, which refuses all others.
  select f.finding_id, f.meter
  from alerts.finding f
  join alerts.alert a using (alert_id)
  where (f.finding_id::text = ${{finding:sqlstring}} or ${{finding:sqlstring}} = '0' and f.meter = ${{meter:sqlstring}})
    and f.meter is not null and a.assignee = session_user and a.state in ('open', 'acknowledged', 'in_progress')
  order by f.finding_id desc
  limit 1
)
select
  {BUCKET.replace("observed_at", "s.observed_at")} as time,
  (sum(s.import_wh) * 3600.0 / sum(s.interval_s))::float8 as import_w,
  (sum(s.export_wh) * 3600.0 / sum(s.interval_s))::float8 as export_w
from mine m
cross join lateral alerts.meter_series(
  m.finding_id, m.meter, greatest($__timeFrom(), $__timeTo() - interval '92 days'), $__timeTo()
) s
group by 1
order by 1
""",
    columns=(Column("import_w", "Import"), Column("export_w", "Export")),
    nothing="No finding of mine is chosen",
)

FIELD_RESULTS = Panel(
    key="field_results",
    title="Work orders and field results",
    description="Work orders of the last 90 days: what was expected, what was found, and which are late.",
    picture=Picture.TABLE,
    sql="""
select
  w.work_order_id::text as work_order,
  w.alert_id,
  u.name as unit,
  a.kind,
  case when w.state = 'issued' and w.deadline < now() then 'late' else w.state end as state,
  w.expected_wh,
  w.result,
  w.found_wh,
  extract(epoch from now() - w.created_at)::float8 as age_s
from alerts.work_order w
join alerts.alert a using (alert_id)
join grid.unit u on u.unit_id = a.unit_id
where w.created_at > now() - interval '90 days'
order by w.state <> 'issued', w.deadline, w.work_order_id
limit 100
""",
    columns=(
        Column("work_order", "Work order", width_px=90),
        Column("alert_id", "Alert", link=TO_ALERT, width_px=70),
        Column("unit", "Unit"),
        Column("kind", "Kind"),
        Column(
            "state",
            "State",
            words=(
                Word("issued", "issued", Colour.PLAIN),
                Word("late", "late", Colour.BAD),
                Word("done", "done", Colour.GOOD),
                Word("cancelled", "cancelled", Colour.MUTED),
            ),
        ),
        Column("expected_wh", "Expected", Unit.ENERGY_WH, decimals=1),
        Column("result", "Field check", words=RESULTS),
        Column("found_wh", "Found", Unit.ENERGY_WH, decimals=1),
        Column("age_s", "Issued", Unit.SECONDS, decimals=0, width_px=90),
    ),
    nothing="No work order",
)

PRECISION = Panel(
    key="precision",
    title="Precision over time",
    description=(
        "Of the findings that were checked in the field, by a work order or without an alert, the share that was "
        "confirmed, by the week of the result."
    ),
    picture=Picture.LINES,
    unit=Unit.FRACTION,
    span="365d",
    sql="""
select
  (date_trunc('week', d.done_at at time zone '$__timezone') + interval '7 days') at time zone '$__timezone' as time,
  count(*) filter (where d.result = 'confirmed') / count(*)::float8 as precision
from (
  select w.done_at, w.result from alerts.work_order w where w.state = 'done' and $__timeFilter(w.done_at)
  union all
  select c.checked_at, c.result from usage.field_check c where $__timeFilter(c.checked_at)
) d
group by 1
order by 1
""",
    columns=(Column("precision", "Confirmed"),),
    nothing="Nothing was checked in the field",
)
