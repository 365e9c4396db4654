"""What a reader chooses on a board: the place, from the region down to the area."""

# ruff: noqa: S608 - the statements are put together from the constants of this folder, never from input

from __future__ import annotations

from deploy.boards.model import Variable
from deploy.boards.panels.parts import HERE, NOW, SUPPLIES, is_here

_ALL = "select '*' as __value, 'All' as __text, 0 as rank"

REGION = Variable(
    "region",
    "Region",
    f"""
select __value, __text
from ({_ALL} union all select code, name, 1 from grid.unit where kind = 'region') v
order by rank, __text
""",
    says=("All",),
)
SUBSTATION = Variable(
    "substation",
    "Substation",
    f"""
with {HERE.replace("${substation:sqlstring} in ('*', s.code)", "true")}
select __value, __text
from ({_ALL} union all select code, name, 1 from here) v
order by rank, __text
""",
    says=("All",),
)
FEEDER = Variable(
    "feeder",
    "Feeder",
    f"""
with {HERE}
select u.code as __value, u.name as __text
from grid.unit u
where u.kind = 'feeder' and {is_here()}
order by u.name, u.code
limit 5000
""",
)
AREA = Variable(
    "area",
    "Transformer area",
    f"""
select u.code as __value, u.name as __text
from grid.unit f
join grid.member m on m.unit_id = f.unit_id and m.child_id is not null and {SUPPLIES}
join grid.unit u on u.unit_id = m.child_id and u.kind = 'area'
where f.code = ${{feeder:sqlstring}}
order by u.name, u.code
limit 5000
""",
)
#: One of the area's meters, by its code alone; for revenue protection, whose role reads the rosters.
METER = Variable(
    "meter",
    "Meter",
    f"""
select __value, __text
from (
  select '*' as __value, 'All' as __text, -1 as rank
  union all
  select m.meter, m.meter, m.position
  from grid.unit u
  join grid.member m on m.unit_id = u.unit_id and m.meter is not null and {NOW}
  where u.code = ${{area:sqlstring}}
) v
order by rank
limit 5000
""",
    says=("All",),
)
#: The place on boards of the whole grid, of one feeder, of one area.
WIDE = (REGION, SUBSTATION)
OF_FEEDER = (REGION, SUBSTATION, FEEDER)
OF_AREA = (REGION, SUBSTATION, FEEDER, AREA)
#: What is assigned to the account that asks: nobody can name another.
MY_FINDING = Variable(
    "finding",
    "My finding",
    """
select __value, __text
from (
  select '0' as __value, 'None' as __text, 0::bigint as rank
  union all
  (
    select f.finding_id::text, f.kind || ' ' || f.meter, f.finding_id
    from alerts.alert a
    join alerts.finding f using (alert_id)
    where a.assignee = session_user and a.state in ('open', 'acknowledged', 'in_progress') and f.meter is not null
    order by f.finding_id desc
    limit 200
  )
) v
order by rank
""",
    says=("None",),
)
