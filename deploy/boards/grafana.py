"""Draws boards as Grafana dashboards, in the classic JSON that Grafana 11 to 13 read."""

from __future__ import annotations

import json
import warnings
from typing import Any, Literal, Self, assert_never

from grafana_foundation_sdk.cog import builder as cog_builder
from grafana_foundation_sdk.cog import runtime as cog_runtime
from grafana_foundation_sdk.cog import variants as cog_variants
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins

with warnings.catch_warnings():
    # The SDK recommends the second schema of dashboards; the first is the one that files provision everywhere.
    warnings.simplefilter("ignore", DeprecationWarning)
    from grafana_foundation_sdk.builders import common as options
    from grafana_foundation_sdk.builders import dashboard, stat, table, timeseries
    from grafana_foundation_sdk.models import common
    from grafana_foundation_sdk.models import dashboard as model

from deploy.boards.model import Board, Colour, Column, Panel, Picture, Place, Step, Unit

#: The data source that deploy/grafana/provisioning sets up.
DATASOURCE_UID = "meterline"
DATASOURCE_TYPE = "grafana-postgresql-datasource"

_UNITS = {
    Unit.NONE: None,
    Unit.COUNT: "short",
    Unit.ENERGY_WH: "watth",
    Unit.POWER_W: "watt",
    Unit.FRACTION: "percentunit",
    Unit.SECONDS: "s",
    Unit.BYTES: "bytes",
    Unit.PER_MINUTE: "rpm",
}
_TINTS = {
    Colour.GOOD: "green",
    Colour.WARNING: "orange",
    Colour.BAD: "red",
    Colour.MUTED: "#8e8e8e",
    Colour.PLAIN: "text",
}
Format = Literal["table", "time_series"]


class PostgresQuery(cog_variants.Dataquery):
    """One statement for Grafana's PostgreSQL data source, which the SDK has no type for."""

    def __init__(self, sql: str, result: Format, ref_id: str = "A") -> None:
        self.sql = sql
        self.result = result
        self.ref_id = ref_id

    def to_json(self) -> dict[str, object]:
        """Return what Grafana calls a target."""
        return {
            "refId": self.ref_id,
            "datasource": {"type": DATASOURCE_TYPE, "uid": DATASOURCE_UID},
            "rawSql": self.sql,
            "format": self.result,
            "editorMode": "code",
            "rawQuery": True,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Read a target back."""
        return cls(sql=data["rawSql"], result=data["format"], ref_id=data["refId"])


class _Query(cog_builder.Builder[cog_variants.Dataquery]):
    def __init__(self, panel: Panel) -> None:
        self._panel = panel

    def build(self) -> PostgresQuery:
        result: Format = "time_series" if self._panel.picture is Picture.LINES else "table"
        return PostgresQuery(self._panel.sql.strip(), result)


def draw(board: Board) -> model.Dashboard:
    """Return `board` as a dashboard of the SDK."""
    builder = (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .description(board.description)
        .tags(list(board.tags))
        .timezone("browser")
        .refresh(board.refresh)
        .time(board.since, "now")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .readonly()
    )
    for number, place in enumerate(board.places, start=1):
        builder.with_panel(_place(number, place))
    return builder.build()


def dumps(board: Board) -> str:
    """Return the JSON of `board`, the same text for the same board."""
    return json.dumps(draw(board), cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def loads(text: str) -> model.Dashboard:
    """Read a dashboard back into the SDK's types."""
    register_default_plugins()
    cog_runtime.register_dataquery_variant(
        cog_runtime.DataqueryConfig(identifier=DATASOURCE_TYPE, from_json_hook=PostgresQuery.from_json)
    )
    return model.Dashboard.from_json(json.loads(text))


_Builder = stat.Panel | table.Panel | timeseries.Panel


def _place(number: int, place: Place) -> _Builder:
    panel = place.panel
    builder = _picture(panel)
    builder.id(number).title(panel.title).description(panel.description)
    builder.datasource(common.DataSourceRef(type_val=DATASOURCE_TYPE, uid=DATASOURCE_UID))
    builder.with_target(_Query(panel)).no_value(panel.nothing)
    builder.grid_pos(model.GridPos(x=place.x, y=place.y, w=place.width, h=place.height))
    # No point is narrower than the shortest interval of a meter.
    builder.interval("1m")
    if panel.span is not None:
        builder.time_from(panel.span)
    if panel.links:
        builder.links([dashboard.DashboardLink(link.title).url(link.url) for link in panel.links])
    for column in panel.columns:
        properties = _properties(column)
        if panel.picture is Picture.TABLE:
            properties += _cell(column)
        builder.override_by_name(column.name, properties)
    return builder


def _picture(panel: Panel) -> _Builder:
    match panel.picture:
        case Picture.FIGURES:
            return _figures()
        case Picture.TABLE:
            return table.Panel().cell_height(common.TableCellHeight.SM).filterable(False)
        case Picture.LINES:
            return _lines(panel)
        case _:
            assert_never(panel.picture)


def _figures() -> stat.Panel:
    return (
        stat.Panel()
        # Text columns too, and the one row there is.
        .reduce_options(options.ReduceDataOptions().values(False).calcs(["lastNotNull"]).fields("/.*/"))
        .graph_mode(common.BigValueGraphMode.NONE)
        .color_mode(common.BigValueColorMode.VALUE)
        .text_mode(common.BigValueTextMode.VALUE_AND_NAME)
        .justify_mode(common.BigValueJustifyMode.CENTER)
    )


def _lines(panel: Panel) -> timeseries.Panel:
    lines = (
        timeseries.Panel()
        .line_width(1)
        .fill_opacity(20 if panel.stacked else 0)
        .show_points(common.VisibilityMode.NEVER)
        # A gap of more than two intervals is a gap, not a slope: what has stopped looks stopped.
        .span_nulls(1_800_000.0)
        .insert_nulls(1_800_000.0)
        .legend(options.VizLegendOptions().show_legend(True).placement(common.LegendPlacement.BOTTOM))
        .tooltip(options.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI))
        .thresholds(_thresholds(panel.below, panel.steps))
    )
    if panel.steps:
        lines.thresholds_style(options.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED))
    if (unit := _UNITS[panel.unit]) is not None:
        lines.unit(unit)
    if panel.stacked:
        lines.stacking(options.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
    if panel.band is not None:
        low, high = ({column.name: column for column in panel.columns}[name] for name in panel.band)
        lines.override_by_name(low.name, _hidden_line())
        # Grafana finds the other end by the name that is shown.
        fill = [
            model.DynamicConfigValue(id_val="custom.fillBelowTo", value=low.title),
            model.DynamicConfigValue(id_val="custom.fillOpacity", value=20),
        ]
        lines.override_by_name(high.name, [*_hidden_line(), *fill])
    return lines


def _hidden_line() -> list[model.DynamicConfigValue]:
    hide = {"legend": True, "tooltip": False, "viz": False}
    return [
        model.DynamicConfigValue(id_val="custom.lineWidth", value=0),
        model.DynamicConfigValue(id_val="custom.hideFrom", value=hide),
    ]


def _properties(column: Column) -> list[model.DynamicConfigValue]:
    value = model.DynamicConfigValue
    properties = [value(id_val="displayName", value=column.title)]
    if (unit := _UNITS[column.unit]) is not None:
        properties.append(value(id_val="unit", value=unit))
    if column.decimals is not None:
        properties.append(value(id_val="decimals", value=column.decimals))
    if column.steps:
        thresholds = _thresholds(column.below, column.steps).build()
        properties.append(value(id_val="thresholds", value=thresholds.to_json()))
        properties.append(value(id_val="color", value={"mode": "thresholds"}))
    if column.words:
        options = {
            word.value: model.ValueMappingResult(text=word.text, color=_TINTS[word.colour], index=index).to_json()
            for index, word in enumerate(column.words)
        }
        properties.append(value(id_val="mappings", value=[{"type": "value", "options": options}]))
    return properties


def _cell(column: Column) -> list[model.DynamicConfigValue]:
    properties = []
    if column.width_px is not None:
        properties.append(model.DynamicConfigValue(id_val="custom.width", value=column.width_px))
    if column.words or column.steps:
        properties.append(model.DynamicConfigValue(id_val="custom.cellOptions", value={"type": "color-text"}))
    return properties


def _thresholds(below: Colour, steps: tuple[Step, ...]) -> dashboard.ThresholdsConfig:
    colours = [model.Threshold(value=None, color=_TINTS[below])]
    colours += [model.Threshold(value=step.start, color=_TINTS[step.colour]) for step in steps]
    return dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(colours)
