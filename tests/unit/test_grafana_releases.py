"""The boards name nothing that one of the Grafana releases 11 to 13 lacks: what they may name is listed here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from deploy.boards.grafana import files

_LEGEND = {"legend", "legend.calcs", "legend.displayMode", "legend.placement", "legend.showLegend"}
_REDUCED = {"reduceOptions", "reduceOptions.calcs", "reduceOptions.fields", "reduceOptions.values", "orientation"}
_TOOLTIP = {"tooltip", "tooltip.mode", "tooltip.sort"}
#: Kinds of panels with their options, in the schemas of Grafana 11.0, 12.0 and 13.0. An option that a release doesn't
#: use any more, such as a table's `footer`, is taken and moved by it.
OPTIONS = {
    "stat": {
        *_REDUCED, "colorMode", "graphMode", "justifyMode", "percentChangeColorMode", "showPercentChange", "text",
        "text.titleSize", "text.valueSize", "textMode", "wideLayout",
    },
    "table": {
        "cellHeight", "footer", "footer.countRows", "footer.reducer", "footer.show", "frameIndex", "showHeader",
        "showTypeIcons",
    },
    "timeseries": {*_LEGEND, *_TOOLTIP},
    "bargauge": {
        *_REDUCED, *_LEGEND, "displayMode", "maxVizHeight", "minVizHeight", "minVizWidth", "namePlacement",
        "showUnfilled", "sizing", "valueMode",
    },
    "barchart": {
        *_LEGEND, *_TOOLTIP, "barRadius", "barWidth", "fullHighlight", "groupWidth", "orientation", "showValue",
        "stacking", "xField", "xTickLabelMaxLength", "xTickLabelRotation", "xTickLabelSpacing",
    },
    "geomap": {
        "basemap", "basemap.name", "basemap.type", "controls", "controls.mouseWheelZoom", "controls.showAttribution",
        "controls.showZoom", "layers", "tooltip", "tooltip.mode", "view", "view.allLayers", "view.id", "view.lat",
        "view.lon", "view.zoom",
    },
    "nodeGraph": set(),
}  # fmt: skip
#: Of a panel's fields as a whole, by its kind.
DEFAULTS = {
    "table": {"custom.align", "custom.filterable", "custom.inspect"},
    "timeseries": {
        "custom.fillOpacity", "custom.insertNulls", "custom.lineWidth", "custom.showPoints", "custom.spanNulls",
        "custom.stacking", "custom.thresholdsStyle",
    },
    "barchart": {"custom.fillOpacity", "custom.gradientMode", "custom.lineWidth"},
}  # fmt: skip
EVERY_DEFAULT = {"noValue", "thresholds", "unit"}
#: Of one field. A hidden column of a table is `custom.hidden` up to 12.1 and `custom.hideFrom` from 12.2 on: both stand
#: there, and each release passes over the other.
OVERRIDES = {
    "color", "custom.cellOptions", "custom.fillBelowTo", "custom.fillOpacity", "custom.hidden", "custom.hideFrom",
    "custom.lineStyle", "custom.lineWidth", "custom.width", "decimals", "displayName", "links", "mappings", "max",
    "min", "thresholds", "unit",
}  # fmt: skip
PANEL = {
    "datasource", "description", "fieldConfig", "gridPos", "id", "interval", "links", "options", "repeatDirection",
    "targets", "timeFrom", "title", "transparent", "type",
}  # fmt: skip
BOARD = {
    "annotations", "description", "editable", "fiscalYearStartMonth", "graphTooltip", "links", "panels", "refresh",
    "schemaVersion", "tags", "templating", "time", "timezone", "title", "uid",
}  # fmt: skip
FILES = dict(files())


def keys(options: dict[str, Any], before: str = "") -> Iterator[str]:
    """Names of options, with those within them."""
    for name, value in options.items():
        yield before + name
        if isinstance(value, dict):
            yield from keys(value, f"{before}{name}.")


@pytest.mark.parametrize("name", FILES)
def test_a_board_names_only_what_every_release_has(name: str) -> None:
    board = json.loads(FILES[name])
    assert set(board) <= BOARD
    # The classic schema: from 12 on there is a second one, which 11 can't read.
    assert board["schemaVersion"] <= 42
    for panel in board["panels"]:
        kind, fields = panel["type"], panel["fieldConfig"]
        assert set(panel) <= PANEL, panel["title"]
        assert set(keys(panel.get("options", {}))) <= OPTIONS[kind], panel["title"]
        defaults = dict(fields["defaults"])
        custom = {f"custom.{each}" for each in defaults.pop("custom", {})}
        assert set(defaults) | custom <= EVERY_DEFAULT | DEFAULTS.get(kind, set()), panel["title"]
        for override in fields["overrides"]:
            assert override["matcher"]["id"] == "byName"
            assert {each["id"] for each in override["properties"]} <= OVERRIDES, panel["title"]
        hidden = [{each["id"] for each in override["properties"]} for override in fields["overrides"]]
        assert all("custom.hideFrom" in ids for ids in hidden if "custom.hidden" in ids), panel["title"]


def test_the_list_has_nothing_that_no_board_names() -> None:
    panels = [panel for text in FILES.values() for panel in json.loads(text)["panels"]]
    assert {panel["type"] for panel in panels} == set(OPTIONS)
    found = {key for panel in panels for override in panel["fieldConfig"]["overrides"] for key in _ids(override)}
    assert found == OVERRIDES


def _ids(override: dict[str, Any]) -> list[str]:
    return [each["id"] for each in override["properties"]]
