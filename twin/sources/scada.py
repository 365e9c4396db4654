"""The extract of the dispatch system (调度自动化, SCADA): RTUs and their points."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from twin.sources.faults import changed, misspelt, orphan, replaced, whole
from twin.sources.scene import Scene
from twin.sources.table import Column, Kind, Table, Value, numbered_keys

SYSTEM = "scada"

#: First addresses of single points (遥信) and measured values (遥测), as they are usual with IEC 60870-5-104.
_FIRST_SINGLE, _FIRST_MEASURED = 0x0001, 0x4001
_MEASURED = (("P", "MW"), ("Q", "Mvar"), ("U", "kV"), ("I", "A"))


class _Point(NamedTuple):
    code: str
    feeder: str
    what: str
    name: str
    unit: str
    address: int


def abbreviation(name: str) -> str:
    """A name as SCADA writes it: its consonants."""
    letters = [c for i, c in enumerate(name.upper()) if c.isalnum() and (i == 0 or c not in "AEIOU")]
    return "".join(letters[:5])


def bay_name(scene: Scene, feeder: str) -> str:
    """A feeder as SCADA names it."""
    return f"{abbreviation(scene.station_of(feeder))}.{scene.line_number[feeder]:02d}"


def scada_tables(scene: Scene) -> list[Table]:
    """RTUs, and their points: P, Q, U and I at each feeder's head, and the position of each switch."""
    rtus = _rtus(scene)
    return [rtus, _points(scene, rtus)]


def _rtus(scene: Scene) -> Table:
    substation_of = {scene.model.feeder_gateways.get(f.code, f.substation): f.substation for f in scene.model.feeders}
    codes = list(substation_of)

    def key_of(number: int) -> str:
        return f"RTU{100 + number}"

    values: dict[str, list[Value]] = {
        "rtu_id": numbered_keys(scene.seed, "scada/rtu", codes, key_of),
        "station": [abbreviation(scene.station[substation]) for substation in substation_of.values()],
    }
    return Table(
        SYSTEM, "rtus", "远动终端",
        (Column("rtu_id", "text", "终端编号"), Column("station", "text", "厂站名")),
        values, codes, key_of, (misspelt(values, "station"),),
    )  # fmt: skip


def _points(scene: Scene, rtus: Table) -> Table:
    found = _found(scene)
    codes = [p.code for p in found]
    rtu = rtus.key_by_code()
    gateway = {f.code: scene.model.feeder_gateways.get(f.code, f.substation) for f in scene.model.feeders}

    def key_of(number: int) -> str:
        return f"SP{number:07d}"

    values: dict[str, list[Value]] = {
        "point_id": numbered_keys(scene.seed, "scada/point", [f"{p.code}/{p.what}" for p in found], key_of),
        "rtu_id": [rtu[gateway[p.feeder]] for p in found],
        "ioa": [p.address for p in found],
        "name": [p.name for p in found],
        "kind": [p.what for p in found],
        "unit": [p.unit for p in found],
    }

    def renamed(i: int, draw: int) -> str:
        return f"{found[i].name}-{1 + draw % 9}"

    slots = (
        *whole(),
        orphan("rtu_id"),
        changed(Kind.RENAMED, "name", renamed),
        misspelt(values, "name"),
        replaced(Kind.WRONG_RELATION, "rtu_id", rtus.keys),
    )
    return Table(
        SYSTEM, "points", "点表",
        (
            Column("point_id", "text", "测点编号"),
            Column("rtu_id", "text", "终端编号", "rtus"),
            Column("ioa", "integer", "信息体地址: information object address of IEC 60870-5-104"),
            Column("name", "text", "测点名称"),
            Column("kind", "text", "遥测 P, Q, U, I; 遥信 switch"),
            Column("unit", "text", "单位: MW, Mvar, kV, A; none of a switch"),
        ),
        values, codes, key_of, slots,
    )  # fmt: skip


def _found(scene: Scene) -> list[_Point]:
    """Points; addresses count up within each feeder's RTU."""
    gateway = {f.code: scene.model.feeder_gateways.get(f.code, f.substation) for f in scene.model.feeders}
    single: dict[str, int] = defaultdict(lambda: _FIRST_SINGLE)
    measured: dict[str, int] = defaultdict(lambda: _FIRST_MEASURED)
    points = []
    for feeder in scene.model.feeders:
        for what, unit in _MEASURED:
            name = f"{bay_name(scene, feeder.code)}.{what}"
            points.append(_Point(feeder.code, feeder.code, what, name, unit, measured[gateway[feeder.code]]))
            measured[gateway[feeder.code]] += 1
    heads = {h.breaker for h in scene.switched.heads}
    for switch, feeder_code, number in scene.elements()[1]:
        if not feeder_code:
            continue
        short = "CB" if switch.code in heads else f"{'TIE' if switch.is_tie else 'SW'}{number}"
        name = f"{bay_name(scene, feeder_code)}.{short}"
        points.append(_Point(switch.code, feeder_code, "switch", name, "", single[gateway[feeder_code]]))
        single[gateway[feeder_code]] += 1
    return points
