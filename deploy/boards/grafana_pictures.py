"""Each kind of picture as a panel of Grafana's."""

from __future__ import annotations

import warnings
from typing import assert_never

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from grafana_foundation_sdk.builders import barchart, bargauge, geomap, nodegraph, stat, table, timeseries
    from grafana_foundation_sdk.builders import common as options
    from grafana_foundation_sdk.models import common
    from grafana_foundation_sdk.models import geomap as geomap_model

from deploy.boards.grafana_fields import FILLS, UNITS, Query, properties, thresholds, value
from deploy.boards.model import Column, Panel, Picture, Source

Builder = stat.Panel | table.Panel | timeseries.Panel | barchart.Panel | bargauge.Panel | geomap.Panel | nodegraph.Panel
#: Key figures are read from across the room.
_FIGURE_PX = 32


def picture(panel: Panel, source: Source, suffix: str) -> Builder:
    """Return the panel without title and place, with its statements and columns."""
    builder: Builder
    match panel.picture:
        case Picture.FIGURES:
            builder = _figures()
        case Picture.TABLE:
            builder = table.Panel().cell_height(common.TableCellHeight.SM).filterable(False)
        case Picture.LINES:
            builder = _lines(panel)
        case Picture.BARS:
            builder = _bars(panel)
        case Picture.GAUGES:
            builder = _gauges(panel)
        case Picture.WATERFALL:
            builder = _waterfall(panel)
        case Picture.MAP:
            builder = _map(panel)
        case Picture.NETWORK:
            builder = nodegraph.Panel()
        case _:
            assert_never(panel.picture)
    for query in _queries(panel, source):
        builder.with_target(query)
    for column in panel.columns:
        if found := _column(panel, column, suffix):
            builder.override_by_name(column.name, found)
    return builder


def _queries(panel: Panel, source: Source) -> list[Query]:
    match panel.picture:
        case Picture.LINES:
            return [Query(panel.sql, "time_series", source)]
        case Picture.WATERFALL:
            return [Query(_floating(panel), "table", source)]
        case Picture.NETWORK:
            return [
                Query(_coloured(panel), "table", source),
                Query(panel.edges or "", "table", source, ref_id="B"),
            ]
        case _:
            return [Query(panel.sql, "table", source)]


def _column(panel: Panel, column: Column, suffix: str) -> list[value]:
    match panel.picture:
        case Picture.TABLE:
            return properties(column, suffix) + _cell(column)
        case Picture.GAUGES:
            return properties(column, suffix, named=False)
        case Picture.MAP:
            return properties(column, suffix, filled=True)
        case Picture.LINES:
            return properties(column, suffix) + _line(column)
        case Picture.WATERFALL | Picture.NETWORK:
            # Their statements are wrapped: what is left of the columns has its own names.
            return properties(column, suffix) if column.name in {"part", "title", "subtitle"} else []
        case _:
            return properties(column, suffix)


def _figures() -> stat.Panel:
    return (
        stat.Panel()
        # Text columns too, and the one row there is.
        .reduce_options(options.ReduceDataOptions().values(False).calcs(["lastNotNull"]).fields("/.*/"))
        .graph_mode(common.BigValueGraphMode.NONE)
        .color_mode(common.BigValueColorMode.VALUE)
        .text_mode(common.BigValueTextMode.VALUE_AND_NAME)
        .justify_mode(common.BigValueJustifyMode.CENTER)
        .text(options.VizTextDisplayOptions().value_size(_FIGURE_PX).title_size(14))
    )


def _lines(panel: Panel) -> timeseries.Panel:
    lines = (
        timeseries.Panel()
        .line_width(1)
        .fill_opacity(20 if panel.stacked else 0)
        .show_points(common.VisibilityMode.AUTO)
        # A gap of more than two intervals is a gap, not a slope: what has stopped looks stopped.
        .span_nulls(1_800_000.0)
        .insert_nulls(1_800_000.0)
        .legend(options.VizLegendOptions().show_legend(True).placement(common.LegendPlacement.BOTTOM))
        .tooltip(options.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI))
        .thresholds(thresholds(panel.below, panel.steps))
    )
    if panel.steps:
        lines.thresholds_style(options.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED))
    if (unit := UNITS[panel.unit]) is not None:
        lines.unit(unit)
    if panel.stacked:
        lines.stacking(options.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
    if panel.band is not None:
        low, high = ({column.name: column for column in panel.columns}[name] for name in panel.band)
        lines.override_by_name(low.name, _hidden_line())
        # Grafana finds the other end by the name that is shown.
        fill = [
            value(id_val="custom.fillBelowTo", value=low.title),
            value(id_val="custom.fillOpacity", value=20),
        ]
        lines.override_by_name(high.name, [*_hidden_line(), *fill])
    return lines


def _hidden_line() -> list[value]:
    hide = {"legend": True, "tooltip": False, "viz": False}
    return [value(id_val="custom.lineWidth", value=0), value(id_val="custom.hideFrom", value=hide)]


def _line(column: Column) -> list[value]:
    if not column.limit:
        return []
    return [
        value(id_val="custom.lineStyle", value={"fill": "dash", "dash": [10, 10]}),
        value(id_val="color", value={"mode": "fixed", "fixedColor": "red"}),
    ]


def _cell(column: Column) -> list[value]:
    found = []
    if column.width_px is not None:
        found.append(value(id_val="custom.width", value=column.width_px))
    if column.words or column.steps:
        found.append(value(id_val="custom.cellOptions", value={"type": "color-text"}))
    if column.hidden:
        # The first is what Grafana 11 and 12 know, the second what took its place.
        found.append(value(id_val="custom.hidden", value=True))
        found.append(value(id_val="custom.hideFrom", value={"legend": True, "tooltip": True, "viz": True}))
    return found


def _bars(panel: Panel) -> barchart.Panel:
    return (
        barchart.Panel()
        .x_field(panel.columns[0].name)
        .fill_opacity(80)
        .stacking(common.StackingMode.NORMAL if panel.stacked else common.StackingMode.NONE)
        .legend(options.VizLegendOptions().show_legend(len(panel.columns) > 2).placement(common.LegendPlacement.BOTTOM))
    )


def _gauges(panel: Panel) -> bargauge.Panel:
    return (
        bargauge.Panel()
        # A bar a row, under the name in the first column.
        .reduce_options(options.ReduceDataOptions().values(True).calcs([]).fields(f"/^{panel.columns[1].name}$/"))
        .orientation(common.VizOrientation.HORIZONTAL)
        .display_mode(common.BarGaugeDisplayMode.BASIC)
        .show_unfilled(True)
    )


def _waterfall(panel: Panel) -> barchart.Panel:
    kinds = {word.value: word for column in panel.columns if column.name == "kind" for word in column.words}
    chart = barchart.Panel().x_field("part").stacking(common.StackingMode.NORMAL).fill_opacity(80).unit("watth")
    chart.legend(options.VizLegendOptions().show_legend(False).placement(common.LegendPlacement.BOTTOM))
    clear = [value(id_val="color", value={"mode": "fixed", "fixedColor": "transparent"})]
    for name in ("under", "over"):
        chart.override_by_name(name, clear)
    for kind, word in kinds.items():
        colour = [
            value(id_val="displayName", value=word.text),
            value(id_val="color", value={"mode": "fixed", "fixedColor": FILLS[word.colour]}),
        ]
        for side in ("up", "down"):
            chart.override_by_name(f"{kind}_{side}", colour)
    return chart


def _floating(panel: Panel) -> str:
    """A bar from one value to another as bars that are stacked: above zero and below, each with what it stands on."""
    low, high = "least(w.from_wh, w.to_wh)", "greatest(w.from_wh, w.to_wh)"
    up, down = f"greatest(0, {high}) - greatest(0, {low})", f"least(0, {low}) - least(0, {high})"
    bars = [
        f"case when w.kind = '{kind}' then {size} end as {kind}_{side}"
        for kind in ("rise", "fall", "total")
        for side, size in (("up", up), ("down", down))
    ]
    shown = [f"greatest(0, {low}) as under", f"least(0, {high}) as over", *bars]
    return f"select w.part, {', '.join(shown)}\nfrom (\n{panel.sql.strip()}\n) w"


def _map(panel: Panel) -> geomap.Panel:
    names = {column.name for column in panel.columns}
    colour = "class" if "class" in names else "state"
    style = {
        "color": {"field": colour, "fixed": "blue"},
        "opacity": 0.8,
        "size": {"fixed": 6, "min": 2, "max": 15},
        "symbol": {"fixed": "img/icons/marker/circle.svg", "mode": "fixed"},
    }
    place = (
        options.FrameGeometrySource()
        .mode(common.FrameGeometrySourceMode.COORDS)
        .longitude("longitude_deg")
        .latitude("latitude_deg")
    )
    layer = (
        options.MapLayerOptions()
        .type("markers")
        .name(panel.title)
        .config({"showLegend": True, "style": style})
        .location(place)
        .tooltip(True)
    )
    return (
        geomap.Panel()
        # The server's own setting says which map lies under it: none that is on the internet where there is no way out.
        .basemap(options.MapLayerOptions().type("default").name("Basemap"))
        .layers([layer])
        .view(geomap.MapViewConfig().id("fit").all_layers(True).lat(0).lon(0).zoom(15))
        .controls(geomap.ControlsOptions().show_zoom(True).mouse_wheel_zoom(True).show_attribution(True))
        .tooltip(geomap.TooltipOptions().mode(geomap_model.TooltipMode.DETAILS))
    )


def _coloured(panel: Panel) -> str:
    """Nodes with a colour of their own, which Grafana takes from a column."""
    (words,) = (column.words for column in panel.columns if column.name == "state")
    cases = " ".join(f"when '{word.value}' then '{FILLS[word.colour]}'" for word in words)
    return f"select n.*, case n.state {cases} end as color\nfrom (\n{panel.sql.strip()}\n) n"
