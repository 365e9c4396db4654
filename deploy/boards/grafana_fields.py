"""What Grafana calls field options: units, colours, mappings, links; and how a statement looks to it."""

from __future__ import annotations

import re
import warnings
from typing import Any, Literal, Self

from grafana_foundation_sdk.cog import builder as cog_builder
from grafana_foundation_sdk.cog import variants as cog_variants

with warnings.catch_warnings():
    # The SDK recommends the second schema of dashboards; the first is the one that files provision everywhere.
    warnings.simplefilter("ignore", DeprecationWarning)
    from grafana_foundation_sdk.builders import dashboard
    from grafana_foundation_sdk.models import common
    from grafana_foundation_sdk.models import dashboard as model

from deploy.boards.model import Colour, Column, Link, Source, Step, Unit

DATASOURCE_TYPE = "grafana-postgresql-datasource"
#: The data sources that deploy/grafana sets up.
DATASOURCE_UIDS = {Source.OPERATIONS: "meterline", Source.REVENUE: "meterline-revenue"}
#: A hidden variable of boards that lead to the console: its address.
CONSOLE = "console"

UNITS = {
    Unit.NONE: None,
    Unit.COUNT: "short",
    Unit.ENERGY_WH: "watth",
    Unit.POWER_W: "watt",
    Unit.FRACTION: "percentunit",
    Unit.SECONDS: "s",
    Unit.BYTES: "bytes",
    Unit.PER_MINUTE: "rpm",
    Unit.PER_SECOND: "rps",
    Unit.VOLTS: "volt",
    Unit.AMPERES: "amp",
}
TINTS = {
    Colour.GOOD: "green",
    Colour.WARNING: "orange",
    Colour.BAD: "red",
    Colour.MUTED: "#8e8e8e",
    Colour.PLAIN: "text",
}
#: Of marks and bars, where "text" is no colour.
FILLS = {**TINTS, Colour.PLAIN: "blue"}
Format = Literal["table", "time_series"]
value = model.DynamicConfigValue


def datasource(source: Source) -> common.DataSourceRef:
    """The data source of a board."""
    return common.DataSourceRef(type_val=DATASOURCE_TYPE, uid=DATASOURCE_UIDS[source])


class PostgresQuery(cog_variants.Dataquery):
    """One statement for Grafana's PostgreSQL data source, which the SDK has no type for."""

    def __init__(
        self, sql: str, result: Format, ref_id: str = "A", uid: str = DATASOURCE_UIDS[Source.OPERATIONS]
    ) -> None:
        self.sql = sql
        self.result = result
        self.ref_id = ref_id
        self.uid = uid

    def to_json(self) -> dict[str, object]:
        """Return what Grafana calls a target."""
        return {
            "refId": self.ref_id,
            "datasource": {"type": DATASOURCE_TYPE, "uid": self.uid},
            "rawSql": self.sql,
            "format": self.result,
            "editorMode": "code",
            "rawQuery": True,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Read a target back."""
        return cls(sql=data["rawSql"], result=data["format"], ref_id=data["refId"], uid=data["datasource"]["uid"])


class Query(cog_builder.Builder[cog_variants.Dataquery]):
    """A `PostgresQuery` where the SDK asks for a builder."""

    def __init__(self, sql: str, result: Format, source: Source, ref_id: str = "A") -> None:
        self._query = PostgresQuery(sql.strip(), result, ref_id, DATASOURCE_UIDS[source])

    def build(self) -> PostgresQuery:
        """Return the query."""
        return self._query


def url(link: Link, suffix: str) -> str:
    """Address of a link's end; `suffix` ends the uid of boards of this language."""
    if link.path is not None:
        path = re.sub(r"\{(\w+)\}", r"${__data.fields.\1:percentencode}", link.path)
        return f"${{{CONSOLE}}}{path}" + (f"?lang={suffix[1:]}" if suffix else "")
    asked = [f"${{{name}:queryparam}}" for name in link.keep]
    asked += [f"var-{name}=${{__data.fields.{column}:percentencode}}" for name, column in link.values]
    return f"/d/{link.board}{suffix}?" + "&".join([*asked, "${__url_time_range}"])


def thresholds(below: Colour, steps: tuple[Step, ...]) -> dashboard.ThresholdsConfig:
    """Colours by value."""
    colours = [model.Threshold(value=None, color=TINTS[below])]
    colours += [model.Threshold(value=step.start, color=TINTS[step.colour]) for step in steps]
    return dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(colours)


def properties(column: Column, suffix: str, *, named: bool = True, filled: bool = False) -> list[value]:
    """What is the same of a column in every picture.

    Parameters
    ----------
    named
        Whether it is shown under its title: a bar that takes its name from another column isn't.
    filled
        Whether its colours fill an area.
    """
    found = [value(id_val="displayName", value=column.title)] if named else []
    if (unit := UNITS[column.unit]) is not None:
        found.append(value(id_val="unit", value=unit))
    if column.decimals is not None:
        found.append(value(id_val="decimals", value=column.decimals))
    if column.most is not None:
        found += [value(id_val="min", value=0), value(id_val="max", value=column.most)]
    if column.steps:
        found.append(value(id_val="thresholds", value=thresholds(column.below, column.steps).build().to_json()))
        found.append(value(id_val="color", value={"mode": "thresholds"}))
    if column.words:
        tints = FILLS if filled else TINTS
        options = {
            word.value: model.ValueMappingResult(text=word.text, color=tints[word.colour], index=index).to_json()
            for index, word in enumerate(column.words)
        }
        found.append(value(id_val="mappings", value=[{"type": "value", "options": options}]))
    if column.link is not None:
        link = {
            "title": column.link.title,
            "url": url(column.link, suffix),
            "targetBlank": column.link.path is not None,
        }
        found.append(value(id_val="links", value=[link]))
    return found
