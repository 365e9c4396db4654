"""The extract of the marketing system (营销系统): customers, meters, and lines and areas as marketing knows them."""

from __future__ import annotations

from datetime import date

import numpy as np

from grid.model import Meter, Role, UnitKind
from twin.sources.faults import changed, misspelt, orphan, rating, replaced, scaled, whole
from twin.sources.scene import Scene
from twin.sources.table import Column, Kind, Table, Value, dates, draws, numbered_keys

SYSTEM = "marketing"

#: Marketing's codes of tariff classes (用电类别).
TARIFFS = {"household": "101", "commercial": "201", "agricultural": "301", "industrial": "401", "generation": "901"}
_OTHER_TARIFF = "999"
_STATUS = {"active": "10", "closed": "90"}
_WIRING = {1: "1P2W", 2: "2P3W", 3: "3P4W"}
_OLDER_CLASS = {1.0: "2.0", 0.5: "1.0", 0.2: "0.5"}

_FIRST_DAY, _METER_DAY, _LAST_DAY = date(1990, 1, 1), date(2008, 1, 1), date(2015, 12, 31)


def marketing_tables(scene: Scene) -> list[Table]:
    """Lines, areas, customers and meters."""
    lines = _lines(scene)
    areas = _areas(scene, lines)
    customers = _customers(scene)
    return [lines, areas, customers, _meters(scene, lines, areas, customers)]


def _lines(scene: Scene) -> Table:
    feeders = scene.model.feeders
    codes = [f.code for f in feeders]

    def key_of(number: int) -> str:
        return f"L{10_000 + number}"

    values: dict[str, list[Value]] = {
        "line_number": numbered_keys(scene.seed, "marketing/line", codes, key_of),
        "name": [_line_name(scene, code) for code in codes],
        "substation_name": [f"{scene.station_of(code)} substation" for code in codes],
        "voltage_kv": [scene.medium_kv(code) for code in codes],
    }
    return Table(
        SYSTEM, "lines", "线路: medium-voltage lines as marketing knows them",
        (
            Column("line_number", "text", "线路编号"),
            Column("name", "text", "线路名称"),
            Column("substation_name", "text", "变电站名称"),
            Column("voltage_kv", "numeric", "电压等级, kV"),
        ),
        values, codes, key_of, (misspelt(values, "name"), misspelt(values, "substation_name")),
    )  # fmt: skip


def _line_name(scene: Scene, feeder: str) -> str:
    return f"{scene.station_of(feeder)} line {scene.line_number[feeder]:02d}"


def _areas(scene: Scene, lines: Table) -> Table:
    areas = scene.model.areas
    codes = [a.code for a in areas]
    line = lines.key_by_code()
    public = [a.kind is UnitKind.AREA for a in areas]

    def key_of(number: int) -> str:
        return f"{1_200_000_000 + number}"

    def name_of(place: str, i: int) -> str:
        return f"{place} public transformer area" if public[i] else f"{place} dedicated transformer"

    values: dict[str, list[Value]] = {
        "area_number": numbered_keys(scene.seed, "marketing/area", codes, key_of),
        "name": [name_of(scene.place_name(code), i) for i, code in enumerate(codes)],
        "kind": ["public" if p else "dedicated" for p in public],
        "line_number": [line[a.feeder] if a.feeder is not None else None for a in areas],
        "rating_kva": [a.rating_va / 1e3 for a in areas],
        "opened_date": dates(draws(scene.seed, "marketing/area", codes)[:, 0], _FIRST_DAY, date(2007, 12, 31)),
    }
    slots = (
        *whole(),
        orphan("line_number"),
        changed(Kind.RENAMED, "name", lambda i, draw: name_of(scene.spare_place(draw), i)),
        misspelt(values, "name"),
        replaced(Kind.WRONG_RELATION, "line_number", lines.keys),
        replaced(Kind.OUT_OF_DATE, "line_number", lines.keys),
        rating(values, Kind.OUT_OF_DATE, "rating_kva"),
        rating(values, Kind.CONFLICTING_CAPACITY, "rating_kva"),
    )
    return Table(
        SYSTEM, "areas", "台区: transformer areas and dedicated transformers as marketing knows them",
        (
            Column("area_number", "text", "台区编号"),
            Column("name", "text", "台区名称"),
            Column("kind", "text", "公变 public, 专变 dedicated"),
            Column("line_number", "text", "线路编号; none on a busbar", "lines"),
            Column("rating_kva", "numeric", "变压器容量, kVA"),
            Column("opened_date", "date", "投运日期"),
        ),
        values, codes, key_of, slots,
    )  # fmt: skip


def _customers(scene: Scene) -> Table:
    accounts = scene.model.accounts
    codes = [a.code for a in accounts]
    random = draws(scene.seed, "marketing/customer", codes)
    points = [scene.point_of_account.get(code) for code in codes]

    def key_of(number: int) -> str:
        return f"{4_000_000_000 + number}"

    def name_of(draw: int) -> str:
        return f"C{draw % 16**10:010X}"

    values: dict[str, list[Value]] = {
        "account_number": numbered_keys(scene.seed, "marketing/account", codes, key_of),
        "customer_name": [name_of(draw) for draw in random[:, 0].tolist()],
        "address": [scene.address[p.code].postal if p is not None else "" for p in points],
        "tariff_code": [TARIFFS.get(a.tariff_class, _OTHER_TARIFF) for a in accounts],
        "contract_kva": [a.contract_w / 1e3 for a in accounts],
        "status": [_STATUS[a.status.value] for a in accounts],
        "opened_date": dates(random[:, 1], _FIRST_DAY, _LAST_DAY),
    }
    former: list[Value] = [TARIFFS[name] for name in ("household", "commercial", "agricultural", "industrial")]
    tariffs = values["tariff_code"]
    slots = (
        *whole(),
        misspelt(values, "address"),
        changed(
            Kind.OUT_OF_DATE,
            "tariff_code",
            lambda i, draw: former[draw % len(former)] if tariffs[i] != TARIFFS["generation"] else None,
        ),
        scaled(values, Kind.CONFLICTING_CAPACITY, "contract_kva", (0.5, 0.8, 1.25, 2.0)),
    )
    return Table(
        SYSTEM, "customers", "用户: accounts with what is known of their customers",
        (
            Column("account_number", "text", "户号"),
            Column("customer_name", "text", "户名, a made-up code"),
            Column("address", "text", "用电地址"),
            Column("tariff_code", "text", "用电类别: 101 居民, 201 商业, 301 农业, 401 工业, 901 发电, 999 others"),
            Column("contract_kva", "numeric", "合同容量, kVA"),
            Column("status", "text", "用户状态: 10 active, 90 closed"),
            Column("opened_date", "date", "立户日期"),
        ),
        values, codes, key_of, slots,
    )  # fmt: skip


def _meters(scene: Scene, lines: Table, areas: Table, customers: Table) -> Table:
    meters = scene.model.meters
    codes = [m.code for m in meters]
    account, area, line = customers.key_by_code(), areas.key_by_code(), lines.key_by_code()

    def key_of(number: int) -> str:
        return f"31{10_000_000 + number:010d}"

    values: dict[str, list[Value]] = {
        "asset_number": numbered_keys(scene.seed, "marketing/meter", codes, key_of),
        "account_number": [account[m.account] if m.account is not None else None for m in meters],
        "area_number": [area.get(m.unit) for m in meters],
        "line_number": [line.get(m.unit) for m in meters],
        "role": ["gateway" if Role.GATEWAY in m.role and m.account is None else "customer" for m in meters],
        "ct_ratio": [_ct_ratio(m) for m in meters],
        "pt_ratio": ["1/1"] * len(meters),
        "wiring": [_WIRING[len(m.phases)] if m.phases else None for m in meters],
        "accuracy_class": [f"{m.accuracy_class:.1f}" for m in meters],
        "install_date": dates(draws(scene.seed, "marketing/meter", codes)[:, 0], _METER_DAY, _LAST_DAY),
    }
    neighbours = _neighbours(scene, area)

    def other_area(i: int, draw: int) -> Value:
        near = neighbours.get(meters[i].unit, []) if Role.GATEWAY not in meters[i].role else []
        return near[draw % len(near)] if near else None

    def other_ratio(i: int, draw: int) -> Value:
        multiplier = meters[i].multiplier
        ratios = [r for r in (15, 20, 30, 40, 60, 80, 120) if multiplier / 3 <= r <= multiplier * 3]
        return f"{5 * ratios[draw % len(ratios)]}/5" if multiplier > 1 and ratios else None

    slots = (
        *whole(),
        orphan("account_number"),
        orphan("area_number"),
        changed(Kind.WRONG_RELATION, "area_number", other_area),
        changed(Kind.OUT_OF_DATE, "ct_ratio", other_ratio),
        changed(
            Kind.OUT_OF_DATE,
            "accuracy_class",
            lambda i, _draw: _OLDER_CLASS.get(meters[i].accuracy_class) if meters[i].multiplier == 1 else None,
        ),
    )
    return Table(
        SYSTEM, "meters", "电能表: meters, gateway meters among them",
        (
            Column("asset_number", "text", "资产编号"),
            Column("account_number", "text", "户号; none of a gateway meter", "customers"),
            Column("area_number", "text", "台区编号; none at a line's head", "areas"),
            Column("line_number", "text", "线路编号; of a meter at a line's head", "lines"),
            Column("role", "text", "关口表 gateway, 用户表 customer"),
            Column("ct_ratio", "text", "电流互感器变比, A/A"),
            Column("pt_ratio", "text", "电压互感器变比; 1/1 as the meter is set to it"),
            Column("wiring", "text", "接线方式: 1P2W, 2P3W, 3P4W; empty where not known"),
            Column("accuracy_class", "text", "准确度等级, percent"),
            Column("install_date", "date", "安装日期"),
        ),
        values, codes, key_of, slots,
    )  # fmt: skip


def _ct_ratio(meter: Meter) -> str:
    return f"{meter.multiplier * 5}/5" if meter.multiplier > 1 else "1/1"


def _neighbours(scene: Scene, area: dict[str, str]) -> dict[str, list[str]]:
    """Numbers of the two public areas nearest to each public area."""
    public = [a for a in scene.model.areas if a.kind is UnitKind.AREA]
    place = np.array([(a.longitude_deg or 0.0, a.latitude_deg or 0.0) for a in public]).reshape(-1, 2)
    near = {}
    for i, a in enumerate(public):
        away = (place - place[i]) * np.array([np.cos(np.radians(place[i, 1])), 1.0])
        order = np.argsort((away**2).sum(axis=1), kind="stable").tolist()
        near[a.code] = [area[public[k].code] for k in order if k != i][:2]
    return near
