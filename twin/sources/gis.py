"""The extract of the geographic information system (GIS): layers of transformers, lines and meters with positions."""

from __future__ import annotations

from collections.abc import Callable

from grid.model import Meter, Role, UnitKind
from twin.sources.addresses import shortened
from twin.sources.faults import changed, misspelt, orphan, rating, replaced, scaled, whole
from twin.sources.positions import node_positions
from twin.sources.scene import Scene
from twin.sources.table import Column, Kind, Position, Table, Value, numbered_keys

SYSTEM = "gis"


def gis_tables(scene: Scene, assets: dict[str, str]) -> list[Table]:
    """Transformers, lines and meters.

    Parameters
    ----------
    assets
        Asset number of each meter, which is written on it.
    """
    nodes = node_positions(scene)
    transformers = _transformers(scene)
    return [transformers, _lines(scene, nodes), _meters(scene, nodes, transformers, assets)]


def _key_of(prefix: str) -> Callable[[int], str]:
    return lambda number: f"{prefix}{100_000 + number}"


def _line_name(scene: Scene, feeder: str | None) -> Value:
    """A feeder as GIS names it."""
    return f"{scene.station_of(feeder).upper()}-{scene.line_number[feeder]}" if feeder else None


def _transformers(scene: Scene) -> Table:
    areas = [a for a in scene.model.areas if a.longitude_deg is not None and a.latitude_deg is not None]
    codes = [a.code for a in areas]
    key_of = _key_of("T")

    def name_of(place: str, i: int) -> str:
        return f"{shortened(place).upper()} {'PT' if areas[i].kind is UnitKind.AREA else 'DT'}"

    names = [_line_name(scene, f.code) for f in scene.model.feeders]
    values: dict[str, list[Value]] = {
        "gis_id": numbered_keys(scene.seed, "gis/transformer", codes, key_of),
        "name": [name_of(scene.place_name(code), i) for i, code in enumerate(codes)],
        "line_name": [_line_name(scene, a.feeder) for a in areas],
        "rating_kva": [a.rating_va / 1e3 for a in areas],
    }
    slots = (
        *whole(),
        changed(Kind.RENAMED, "name", lambda i, draw: name_of(scene.spare_place(draw), i)),
        misspelt(values, "name"),
        replaced(Kind.WRONG_RELATION, "line_name", names),
        replaced(Kind.OUT_OF_DATE, "line_name", names),
        rating(values, Kind.OUT_OF_DATE, "rating_kva"),
        rating(values, Kind.CONFLICTING_CAPACITY, "rating_kva"),
    )
    return Table(
        SYSTEM, "transformers", "变压器: points",
        (
            Column("gis_id", "text", "图形编号"),
            Column("name", "text", "名称: PT public, DT dedicated"),
            Column("line_name", "text", "线路名称; none on a busbar"),
            Column("rating_kva", "numeric", "容量, kVA"),
        ),
        values, codes, key_of, slots, [((a.longitude_deg or 0.0, a.latitude_deg or 0.0),) for a in areas],
    )  # fmt: skip


def _lines(scene: Scene, nodes: dict[str, Position]) -> Table:
    found = [
        (segment, feeder, number)
        for segment, feeder, number in scene.elements()[0]
        if segment.from_node in nodes and segment.to_node in nodes
    ]
    codes = [segment.code for segment, _, _ in found]
    key_of = _key_of("L")

    def name_of(i: int, more: int) -> str:
        return f"{_line_name(scene, found[i][1])}/{found[i][2] + more}"

    names = [_line_name(scene, f.code) for f in scene.model.feeders]
    values: dict[str, list[Value]] = {
        "gis_id": numbered_keys(scene.seed, "gis/line", codes, key_of),
        "name": [name_of(i, 0) for i in range(len(found))],
        "line_name": [_line_name(scene, feeder) for _, feeder, _ in found],
    }
    slots = (
        *whole(),
        changed(Kind.RENAMED, "name", lambda i, draw: name_of(i, 500 + draw % 500)),
        misspelt(values, "name"),
        replaced(Kind.WRONG_RELATION, "line_name", names),
        replaced(Kind.OUT_OF_DATE, "line_name", names),
    )
    return Table(
        SYSTEM, "lines", "线段: line strings between their ends",
        (
            Column("gis_id", "text", "图形编号"),
            Column("name", "text", "名称"),
            Column("line_name", "text", "线路名称"),
        ),
        values, codes, key_of, slots, [(nodes[s.from_node], nodes[s.to_node]) for s, _, _ in found],
    )  # fmt: skip


def _meters(scene: Scene, nodes: dict[str, Position], transformers: Table, assets: dict[str, str]) -> Table:
    where = {a.code: (a.longitude_deg, a.latitude_deg) for a in scene.model.areas}
    heads = {h.feeder: nodes.get(h.node) for h in scene.switched.heads}
    contract = {a.code: a.contract_w / 1e3 for a in scene.model.accounts}
    meters: list[Meter] = []
    places: list[tuple[Position, ...]] = []
    for meter in scene.model.meters:
        point = scene.point_of_meter.get(meter.code)
        position = (point.longitude_deg, point.latitude_deg) if point is not None else where.get(meter.unit)
        position = position or heads.get(meter.unit)
        if position is not None and position[0] is not None and position[1] is not None:
            meters.append(meter)
            places.append(((position[0], position[1]),))
    codes = [m.code for m in meters]
    transformer = transformers.key_by_code()
    key_of = _key_of("M")
    values: dict[str, list[Value]] = {
        "gis_id": numbered_keys(scene.seed, "gis/meter", codes, key_of),
        "asset_number": [assets[code] for code in codes],
        "transformer_id": [transformer.get(m.unit) for m in meters],
        "address": [_address(scene, m) for m in meters],
        "capacity_kva": [contract[m.account] if m.account is not None else None for m in meters],
    }
    public = [transformer[a.code] for a in scene.model.areas if a.kind is UnitKind.AREA and a.code in transformer]
    at = {key: i for i, key in enumerate(public)}
    mine = values["transformer_id"].copy()

    def other_transformer(i: int, draw: int) -> Value:
        # The next ones in the order of lines: mostly on the same line.
        if Role.GATEWAY in meters[i].role or mine[i] not in at:
            return None
        return public[(at[str(mine[i])] + (1, -1, 2, -2)[draw % 4]) % len(public)]

    slots = (
        *whole(),
        orphan("transformer_id"),
        misspelt(values, "address"),
        changed(Kind.WRONG_RELATION, "transformer_id", other_transformer),
        scaled(values, Kind.CONFLICTING_CAPACITY, "capacity_kva", (0.5, 0.8, 1.25, 2.0)),
    )
    return Table(
        SYSTEM, "meters", "表箱: places of meters, as points",
        (
            Column("gis_id", "text", "图形编号"),
            Column("asset_number", "text", "资产编号 as marketing gives it"),
            Column("transformer_id", "text", "所属变压器; none at a line's head", "transformers"),
            Column("address", "text", "地址"),
            Column("capacity_kva", "numeric", "报装容量, kVA; none of a gateway meter"),
        ),
        values, codes, key_of, slots, places,
    )  # fmt: skip


def _address(scene: Scene, meter: Meter) -> str:
    point = scene.point_of_meter.get(meter.code)
    if point is not None:
        return scene.address[point.code].mapped
    if meter.unit in scene.place:
        return f"{shortened(scene.place_name(meter.unit))}: transformer"
    return f"{scene.station_of(meter.unit)} substation" if meter.unit in scene.substation_of else ""
