"""Two boards with every kind of picture, variables, links and marks, whose figures the tests know."""

from __future__ import annotations

from deploy.boards.model import (
    Annotation,
    Board,
    Colour,
    Column,
    Link,
    Panel,
    Picture,
    Place,
    Step,
    Unit,
    Variable,
    Word,
)

CLASS = Column(
    "class",
    "Class",
    words=(Word("normal", "normal", Colour.GOOD), Word("high", "high", Colour.BAD)),
)
TO_AREA = Link("Area", board="test-area", values=(("area", "area"),), keep=("region",))
AREAS = "(values ('A1', 'north', 0.02, 'normal'), ('A2', 'north', 0.15, 'high'), ('B1', 'south', 0.04, 'normal'))"
AREA_OF = f"from {AREAS} as a (area, region, rate, class) where region = ${{region:sqlstring}}"

REGION = Variable(
    "region", "Region", "select v as __value, initcap(v) as __text from unnest(array['north', 'south']) v"
)
AREA = Variable(
    "area",
    "Area",
    f"select area as __value, 'Area ' || area as __text {AREA_OF} order by area",
)

FIGURES = Panel(
    key="figures",
    title="Units",
    description="How many units are known.",
    picture=Picture.FIGURES,
    sql="select count(*) as units, 0.0234::float8 as rate from grid.unit",
    columns=(
        Column("units", "Units", Unit.COUNT, below=Colour.BAD, steps=(Step(1, Colour.GOOD),)),
        Column("rate", "Loss rate", Unit.FRACTION, decimals=2),
    ),
)
TABLE = Panel(
    key="areas",
    title="Areas",
    description="Areas of the region.",
    picture=Picture.TABLE,
    sql=f"select area, rate::float8 as rate, class {AREA_OF} order by area",
    columns=(
        Column("area", "Area", link=TO_AREA),
        Column("rate", "Loss rate", Unit.FRACTION, decimals=1, steps=(Step(0.1, Colour.BAD),)),
        CLASS,
    ),
)
SERIES = """
select
  t as time,
  (0.03 + 0.01 * sin(extract(epoch from t) / 7200))::float8 as loss,
  0.02::float8 as low,
  0.05::float8 as high,
  0.1::float8 as most
from generate_series(
  date_bin('$__interval', $__timeFrom(), timestamptz 'epoch'), $__timeTo(), interval '$__interval'
) t
where not t between $__timeFrom() + interval '3 hours' and $__timeFrom() + interval '5 hours'
order by t
"""
LINES = Panel(
    key="loss",
    title="Loss over time",
    description="With its band and a limit; two hours are missing.",
    picture=Picture.LINES,
    sql=SERIES,
    unit=Unit.FRACTION,
    columns=(
        Column("loss", "Loss"),
        Column("low", "Low"),
        Column("high", "High"),
        Column("most", "Limit", limit=True),
    ),
    band=("low", "high"),
)
STACK = Panel(
    key="supply",
    title="Supply by feeder",
    description="Stacked, by a column `metric`.",
    picture=Picture.LINES,
    stacked=True,
    unit=Unit.POWER_W,
    sql="""
select t as time, f as metric, (100000 * (1 + sin(extract(epoch from t) / 9000 + length(f))) + 50000)::float8 as power_w
from generate_series($__timeFrom(), $__timeTo(), interval '$__interval') t
cross join unnest(array['F1', 'F22', 'F333']) f
order by 1, 2
""",
)
BARS = Panel(
    key="voltages",
    title="Meters by voltage",
    description="Bars beside each other.",
    picture=Picture.BARS,
    sql="select v || ' V' as band, v - 200 as a, 260 - v as b from generate_series(215, 240, 5) v",
    columns=(Column("band", "Band"), Column("a", "Phase A", Unit.COUNT), Column("b", "Phase B", Unit.COUNT)),
)
GAUGES = Panel(
    key="loading",
    title="Loading",
    description="Load over rating.",
    picture=Picture.GAUGES,
    sql="select f as feeder, r as part from (values ('F1', 0.42::float8), ('F2', 0.97)) v (f, r)",
    columns=(
        Column("feeder", "Feeder"),
        Column(
            "part",
            "Loading",
            Unit.FRACTION,
            below=Colour.GOOD,
            steps=(Step(0.8, Colour.WARNING), Step(0.95, Colour.BAD)),
            most=1.2,
        ),
    ),
)
WATERFALL = Panel(
    key="change",
    title="Why the loss changed",
    description="Parts that add up.",
    picture=Picture.WATERFALL,
    sql="""
select * from (values
  ('last month', 0::float8, 12000::float8, 'total'), ('topology', 12000, 15500, 'rise'),
  ('generation', 15500, 13800, 'fall'), ('this month', 0, 13800, 'total')
) v (part, from_wh, to_wh, kind)
""",
    columns=(Column("part", "Part"), Column("to_wh", "To", Unit.ENERGY_WH)),
)
MAP = Panel(
    key="map",
    title="Map",
    description="Areas where they stand.",
    picture=Picture.MAP,
    sql=f"""
select area, area as name, class, rate::float8 as rate,
  121.4 + 0.02 * row_number() over (order by area) as longitude_deg, 31.2 + 0.01 * length(region) as latitude_deg
from {AREAS} as a (area, region, rate, class)
""",
    columns=(
        CLASS,
        Column("rate", "Loss rate", Unit.FRACTION),
        Column("area", "Area", link=TO_AREA, hidden=True),
        Column("name", "Name"),
    ),
)
NETWORK = Panel(
    key="network",
    title="Network",
    description="What hangs on what.",
    picture=Picture.NETWORK,
    sql="""
select id, 'Node ' || id as title, kind as subtitle, class as state, id as area from (values
  ('S', 'substation', 'normal'), ('F', 'feeder', 'normal'), ('A1', 'area', 'normal'), ('A2', 'area', 'high')
) v (id, kind, class)
""",
    edges="select s || t as id, s as source, t as target from (values ('S', 'F'), ('F', 'A1'), ('F', 'A2')) v (s, t)",
    columns=(
        Column("state", "State", words=(Word("normal", "normal", Colour.GOOD), Word("high", "high", Colour.BAD))),
        Column("area", "Area", link=TO_AREA, hidden=True),
    ),
)
EMPTY = Panel(
    key="nothing",
    title="Nothing",
    description="No row.",
    picture=Picture.TABLE,
    sql="select 1 as one where false",
    nothing="Nothing was rejected",
)
BROKEN = Panel(
    key="broken",
    title="Broken",
    description="The database refuses it.",
    picture=Picture.TABLE,
    sql="select 1 / (length(${region:sqlstring}) - 5) as one",
)
MARKS = Annotation(
    "switching",
    "Switching",
    "select $__timeFrom() + interval '1 hour' as time, null::timestamptz as timeend, 'Q1 open' as text",
    Colour.WARNING,
)

REGION_BOARD = Board(
    uid="test-region",
    title="Meterline: region",
    description="A region.",
    places=(
        Place(FIGURES, x=0, y=0, width=6, height=4),
        Place(GAUGES, x=6, y=0, width=6, height=4),
        Place(BARS, x=12, y=0, width=6, height=8),
        Place(WATERFALL, x=18, y=0, width=6, height=8),
        Place(TABLE, x=0, y=4, width=12, height=4),
        Place(LINES, x=0, y=8, width=12, height=7),
        Place(STACK, x=12, y=8, width=12, height=7),
        Place(MAP, x=0, y=15, width=10, height=8),
        Place(NETWORK, x=10, y=15, width=10, height=8),
        Place(EMPTY, x=20, y=15, width=4, height=4),
        Place(BROKEN, x=20, y=19, width=4, height=4),
    ),
    refresh="2s",
    variables=(REGION,),
    annotations=(MARKS,),
)
AREA_BOARD = Board(
    uid="test-area",
    title="Meterline: area",
    description="An area.",
    places=(
        Place(
            Panel(
                key="chosen",
                title="Chosen",
                description="What was chosen.",
                picture=Picture.FIGURES,
                sql="select ${area:sqlstring} as area",
                columns=(Column("area", "Area"),),
            ),
            x=0,
            y=0,
            width=8,
            height=4,
        ),
    ),
    variables=(REGION, AREA),
    links=(Link("Region", board="test-region", keep=("region",)),),
)
TEST_BOARDS = (REGION_BOARD, AREA_BOARD)
