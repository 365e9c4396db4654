"""The extract of the production management system (生产管理系统, PMS): the ledger of equipment."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

from grid.model import Owner, UnitKind
from grid.network import Segment, Switch, SwitchPosition
from twin.sources.faults import changed, misspelt, orphan, rating, replaced, scaled, whole
from twin.sources.scene import Scene
from twin.sources.table import Column, Kind, Table, Value, dates, draws, numbered_keys

SYSTEM = "pms"

#: Made-up makers.
_MAKERS = ("Maker A", "Maker B", "Maker C", "Maker D", "Maker E")
_SWITCH_KIND = {"breaker": "CB", "load_break": "LBS", "disconnector": "DS"}
_OWNER = {Owner.UTILITY: "U", Owner.CUSTOMER: "C", Owner.OTHER: "O"}

_FIRST_DAY, _LAST_DAY = date(1985, 1, 1), date(2015, 12, 31)


def pms_tables(scene: Scene) -> list[Table]:
    """Substations, feeders, transformers, lines and switches."""
    substations = _substations(scene)
    feeders = _feeders(scene, substations)
    return [substations, feeders, _transformers(scene, feeders), *_elements(scene, feeders)]


def _key_of(prefix: str) -> Callable[[int], str]:
    return lambda number: f"{prefix}-{number:07d}"


def _substations(scene: Scene) -> Table:
    found = scene.model.substations
    codes = [s.code for s in found]
    key_of = _key_of("SUB")
    values: dict[str, list[Value]] = {
        "equipment_id": numbered_keys(scene.seed, "pms/substation", codes, key_of),
        "name": [f"{s.high_voltage_v // 1000} kV {scene.station[s.code]} transformer station" for s in found],
        "high_voltage_kv": [s.high_voltage_v / 1e3 for s in found],
        "medium_voltage_kv": [s.medium_voltage_v / 1e3 for s in found],
    }
    return Table(
        SYSTEM, "substations", "变电站",
        (
            Column("equipment_id", "text", "设备编码"),
            Column("name", "text", "设备名称"),
            Column("high_voltage_kv", "numeric", "高压侧电压等级, kV"),
            Column("medium_voltage_kv", "numeric", "中压侧电压等级, kV"),
        ),
        values, codes, key_of, (misspelt(values, "name"),),
    )  # fmt: skip


def _feeders(scene: Scene, substations: Table) -> Table:
    found = scene.model.feeders
    codes = [f.code for f in found]
    substation = substations.key_by_code()
    key_of = _key_of("FDR")
    values: dict[str, list[Value]] = {
        "equipment_id": numbered_keys(scene.seed, "pms/feeder", codes, key_of),
        "name": [feeder_name(scene, code) for code in codes],
        "substation_id": [substation[f.substation] for f in found],
        "voltage_kv": [scene.medium_kv(code) for code in codes],
    }
    return Table(
        SYSTEM, "feeders", "馈线",
        (
            Column("equipment_id", "text", "设备编码"),
            Column("name", "text", "设备名称"),
            Column("substation_id", "text", "所属变电站", "substations"),
            Column("voltage_kv", "numeric", "电压等级, kV"),
        ),
        values, codes, key_of,
        (misspelt(values, "name"), replaced(Kind.WRONG_RELATION, "substation_id", substations.keys)),
    )  # fmt: skip


def feeder_name(scene: Scene, feeder: str) -> str:
    """A feeder as PMS names it."""
    if not feeder:
        return "station"
    return f"{scene.medium_kv(feeder):g} kV {scene.station_of(feeder)} #{scene.line_number[feeder]} line"


def _transformers(scene: Scene, feeders: Table) -> Table:
    areas = scene.model.areas
    codes = [a.code for a in areas]
    feeder = feeders.key_by_code()
    random = draws(scene.seed, "pms/transformer", codes)
    key_of = _key_of("TRF")

    def name_of(place: str, i: int) -> str:
        area = areas[i]
        return f"{feeder_name(scene, area.feeder or '')}, {place} #1 transformer"

    def area_name(i: int) -> Value:
        return f"{scene.place_name(codes[i])} TA" if areas[i].kind is UnitKind.AREA else None

    values: dict[str, list[Value]] = {
        "equipment_id": numbered_keys(scene.seed, "pms/transformer", codes, key_of),
        "name": [name_of(scene.place_name(code), i) for i, code in enumerate(codes)],
        "feeder_id": [feeder[a.feeder] if a.feeder is not None else None for a in areas],
        "area_name": [area_name(i) for i in range(len(areas))],
        "owner": [_OWNER[a.owner] if a.owner is not None else None for a in areas],
        "rating_kva": [a.rating_va / 1e3 for a in areas],
        "maker": [_MAKERS[i] for i in (random[:, 0] % len(_MAKERS)).tolist()],
        "install_date": dates(random[:, 1], _FIRST_DAY, _LAST_DAY),
        "no_load_loss_kw": [a.no_load_loss_w / 1e3 or None for a in areas],
        "load_loss_kw": [a.load_loss_w / 1e3 or None for a in areas],
    }
    slots = (
        *whole(),
        orphan("feeder_id"),
        changed(Kind.RENAMED, "name", lambda i, draw: name_of(scene.spare_place(draw), i)),
        misspelt(values, "name"),
        misspelt(values, "area_name"),
        replaced(Kind.WRONG_RELATION, "feeder_id", feeders.keys),
        replaced(Kind.OUT_OF_DATE, "feeder_id", feeders.keys),
        rating(values, Kind.OUT_OF_DATE, "rating_kva"),
        rating(values, Kind.CONFLICTING_CAPACITY, "rating_kva"),
    )
    return Table(
        SYSTEM, "transformers", "配电变压器",
        (
            Column("equipment_id", "text", "设备编码"),
            Column("name", "text", "设备名称"),
            Column("feeder_id", "text", "所属馈线; none on a busbar", "feeders"),
            Column("area_name", "text", "台区名称; none of a dedicated one"),
            Column("owner", "text", "资产归属: U utility, C customer, O other"),
            Column("rating_kva", "numeric", "额定容量, kVA"),
            Column("maker", "text", "生产厂家, made up"),
            Column("install_date", "date", "投运日期"),
            Column("no_load_loss_kw", "numeric", "空载损耗, kW; empty where not known"),
            Column("load_loss_kw", "numeric", "负载损耗 at rated current, kW; empty where not known"),
        ),
        values, codes, key_of, slots,
    )  # fmt: skip


def _elements(scene: Scene, feeders: Table) -> list[Table]:
    segments, switches = scene.elements()
    return [_lines(scene, feeders, segments), _switches(scene, feeders, switches)]


def _lines(scene: Scene, feeders: Table, found: list[tuple[Segment, str, int]]) -> Table:
    codes = [segment.code for segment, _, _ in found]
    feeder = feeders.key_by_code()
    key_of = _key_of("LIN")

    def name_of(i: int, more: int) -> str:
        return f"{feeder_name(scene, found[i][1])} section {found[i][2] + more}"

    values: dict[str, list[Value]] = {
        "equipment_id": numbered_keys(scene.seed, "pms/line", codes, key_of),
        "name": [name_of(i, 0) for i in range(len(found))],
        "feeder_id": [feeder.get(code) for _, code, _ in found],
        "length_m": [s.length_m for s, _, _ in found],
        "resistance_ohm": [s.resistance_ohm for s, _, _ in found],
        "reactance_ohm": [s.reactance_ohm for s, _, _ in found],
        "install_date": dates(draws(scene.seed, "pms/line", codes)[:, 0], _FIRST_DAY, _LAST_DAY),
    }
    slots = (
        *whole(),
        orphan("feeder_id"),
        changed(Kind.RENAMED, "name", lambda i, draw: name_of(i, 500 + draw % 500)),
        misspelt(values, "name"),
        replaced(Kind.WRONG_RELATION, "feeder_id", feeders.keys),
        scaled(values, Kind.OUT_OF_DATE, "length_m", (0.6, 0.8, 1.2, 1.5)),
    )
    return Table(
        SYSTEM, "lines", "线段: medium-voltage line sections",
        (
            Column("equipment_id", "text", "设备编码"),
            Column("name", "text", "设备名称"),
            Column("feeder_id", "text", "所属馈线", "feeders"),
            Column("length_m", "numeric", "长度, m"),
            Column("resistance_ohm", "numeric", "电阻 of the whole length, ohm"),
            Column("reactance_ohm", "numeric", "电抗 of the whole length, ohm"),
            Column("install_date", "date", "投运日期"),
        ),
        values, codes, key_of, slots,
    )  # fmt: skip


def _switches(scene: Scene, feeders: Table, found: list[tuple[Switch, str, int]]) -> Table:
    codes = [switch.code for switch, _, _ in found]
    feeder = feeders.key_by_code()
    key_of = _key_of("SWI")

    def name_of(i: int, more: int) -> str:
        switch, code, number = found[i]
        return f"{feeder_name(scene, code)} {'tie ' if switch.is_tie else ''}switch {number + more}"

    def turned(i: int, _draw: int) -> Value:
        return "closed" if found[i][0].normal is SwitchPosition.OPEN else "open"

    values: dict[str, list[Value]] = {
        "equipment_id": numbered_keys(scene.seed, "pms/switch", codes, key_of),
        "name": [name_of(i, 0) for i in range(len(found))],
        "feeder_id": [feeder.get(code) for _, code, _ in found],
        "kind": [_SWITCH_KIND[s.kind.value] for s, _, _ in found],
        "normal_position": [s.normal.value for s, _, _ in found],
        "install_date": dates(draws(scene.seed, "pms/switch", codes)[:, 0], _FIRST_DAY, _LAST_DAY),
    }
    slots = (
        *whole(),
        orphan("feeder_id"),
        changed(Kind.RENAMED, "name", lambda i, draw: name_of(i, 500 + draw % 500)),
        misspelt(values, "name"),
        replaced(Kind.WRONG_RELATION, "feeder_id", feeders.keys),
        changed(Kind.OUT_OF_DATE, "normal_position", turned),
    )
    return Table(
        SYSTEM, "switches", "开关",
        (
            Column("equipment_id", "text", "设备编码"),
            Column("name", "text", "设备名称"),
            Column("feeder_id", "text", "所属馈线; of a tie, the one at its first end", "feeders"),
            Column("kind", "text", "断路器 CB, 负荷开关 LBS, 隔离开关 DS"),
            Column("normal_position", "text", "正常位置: open, closed"),
            Column("install_date", "date", "投运日期"),
        ),
        values, codes, key_of, slots,
    )  # fmt: skip
