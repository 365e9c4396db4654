"""Technical losses of rows against plain Python, and what is unknown."""

from __future__ import annotations

import math

import numpy as np
import pytest

from grid.area_network import AreaNetwork, NetworkPeriod
from grid.line_network import LineNetwork
from grid.memberships import Membership
from grid.model import Role, UnitKind
from grid.quality import MISSING_WH, Quality
from grid.roster import BEGINNING_US, END_US, Roster, UnitView
from grid.rows import NEVER_US, BlockRows
from kernels.transformer_loss import POWER_FACTOR
from streams.steps.technical import area_losses, line_losses
from tests.naive import phases

QUARTER_S = 900
AT_US = 1_780_272_900_000_000
TANGENT = math.tan(math.acos(POWER_FACTOR))


def rows_of(energies: list[list[int]], **channels: list[int]) -> BlockRows:
    """Rows of one unit at successive intervals, with the import of each position."""
    size = len(energies[0])
    flat = np.array(energies, np.int64).ravel()
    k = len(energies)
    return BlockRows(
        unit_id=np.ones(k, np.int32),
        interval_s=np.full(k, QUARTER_S, np.int32),
        observed_at_us=AT_US + np.arange(k) * QUARTER_S * 1_000_000,
        read_version=np.zeros(k, np.int64),
        version=np.ones(k, np.int64),
        received_at_us=np.full(k, NEVER_US),
        starts=np.arange(k + 1) * size,
        channels={
            "import_wh": flat,
            "export_wh": np.full(len(flat), MISSING_WH),
            **{name: np.array(values * k, np.int16) for name, values in channels.items()},
        },
        quality=np.full(len(flat), Quality.VALID, np.uint8),
        precedence={},
        received_us={},
    )


def roster_of(kind: UnitKind, members: list[Membership]) -> Roster:
    return UnitView(1, "U", kind, tuple(members), ()).roster(AT_US, QUARTER_S)


def member(
    position: int, role: Role, meter: str | None = None, child: int | None = None, on: str | None = None, ratio: int = 1
) -> Membership:
    return Membership(position, meter, child, int(role), ratio, 1.0, BEGINNING_US, END_US, phases=on)


LINES = NetworkPeriod(
    parent=np.array([-1, 0, 1, 1]),
    resistance_ohm=np.array([0.0, 0.08, 0.11, 0.2]),
    reactance_ohm=np.array([0.0, 0.03, 0.04, 0.05]),
    zero_resistance_ohm=np.array([0.0, 0.32, 0.44, 0.8]),
    zero_reactance_ohm=np.array([0.0, 0.1, 0.15, 0.2]),
    node_of_meter={"a": 2, "b": 3, "three": 3, "near": 1},
    valid_from_us=BEGINNING_US,
    valid_to_us=END_US,
)
AREA = roster_of(
    UnitKind.AREA,
    [
        member(0, Role.GATEWAY, "master"),
        member(1, Role.CUSTOMER, "a", on="A"),
        member(2, Role.CUSTOMER, "b", on="B", ratio=2),
        member(3, Role.CUSTOMER, "three", on="ABC"),
        member(4, Role.CUSTOMER, "near"),
        member(5, Role.CUSTOMER, "unplaced", on="C"),
    ],
)


def by_hand(energies_wh: list[int], volts: float = 400 / math.sqrt(3)) -> float:
    """Loss of `LINES` over a quarter of an hour, in watt-hours; the meters as in `AREA`."""
    power = [complex(1, TANGENT) * e * 4 for e in energies_wh]
    a, b, three, near, unplaced = power[1], 2 * power[2], power[3], power[4], power[5]
    lines = [
        (
            int(LINES.parent[n]),
            n,
            complex(LINES.resistance_ohm[n], LINES.reactance_ohm[n]),
            complex(LINES.zero_resistance_ohm[n], LINES.zero_reactance_ohm[n]),
            0j,
            0j,
        )
        for n in (1, 2, 3)
    ]
    third = three / 3
    loads = {2: (a, 0j, 0j), 3: (third, b + third, third), 1: (near / 3,) * 3, 0: (0j, 0j, unplaced)}
    a_v, b_v, c_v = (volts * phases.polar(1.0, -k * 2 * math.pi / 3) for k in range(3))
    _, _, loss_w = phases.sweep(0, (a_v, b_v, c_v), lines, loads)
    return loss_w / 4


def test_an_area_loses_what_plain_python_says() -> None:
    energies = [[9_000, 2_000, 600, 1_500, 900, 400], [9_000, 100, 1_700, 0, 30, 2_000]]
    rows = rows_of(energies)
    numbers = np.arange(2)
    lost = area_losses(
        rows, numbers, [AREA, AREA], {n: rows.channels[n] for n in ("import_wh", "export_wh")}, [LINES] * 2
    )
    assert lost.wh.tolist() == pytest.approx([by_hand(e) for e in energies], rel=1e-6)
    assert np.all(lost.averaging_wh == 0)
    assert np.all((lost.sigma_wh > 0) & (lost.sigma_wh < lost.wh))


def test_the_gateway_s_voltage_is_taken_where_it_is_told() -> None:
    energies = [[9_000, 2_000, 600, 1_500, 900, 400]]
    rows = rows_of(energies, voltage_a_dv=[2_200, *[-32_768] * 5])
    lost = area_losses(rows, np.arange(1), [AREA], {n: rows.channels[n] for n in ("import_wh", "export_wh")}, [LINES])
    assert lost.wh[0] == pytest.approx(by_hand(energies[0], 220.0), rel=1e-6)


def test_a_power_factor_of_nothing_is_none() -> None:
    energies = [[9_000, 2_000, 600, 1_500, 900, 400]]
    rows = rows_of(energies, power_factor_permille=[0, 0, -32_768, 950, 0, -32_768])
    lost = area_losses(rows, np.arange(1), [AREA], {n: rows.channels[n] for n in ("import_wh", "export_wh")}, [LINES])
    assert lost.wh[0] == pytest.approx(by_hand(energies[0]), rel=1e-6)


def test_energy_fed_in_flows_the_other_way() -> None:
    rows = rows_of([[0, 0, 0, 0, 0, 0]])
    rows.channels["export_wh"][1] = 1_000
    energies = {n: rows.channels[n] for n in ("import_wh", "export_wh")}
    lost = area_losses(rows, np.arange(1), [AREA], energies, [LINES])
    current = 4_000 / (400 / math.sqrt(3)) / POWER_FACTOR
    # The way back through the neutral has a third of the difference of the sequences' resistances.
    resistance = sum((2 * LINES.resistance_ohm[n] + LINES.zero_resistance_ohm[n]) / 3 for n in (1, 2))
    assert lost.wh[0] == pytest.approx(current**2 * resistance / 4, rel=0.05)


LINE = LineNetwork(
    from_node=np.array([0, 1]),
    to_node=np.array([1, 2]),
    resistance_ohm=np.array([1.0, 0.5]),
    reactance_ohm=np.array([0.4, 0.2]),
    nodes=3,
    voltage_v=20_000.0,
    child_node={7: 2, 8: 1},
    rating_va={7: 400_000.0},
    no_load_loss_w={7: 600.0},
    load_loss_w={7: 4_000.0},
    valid_from_us=BEGINNING_US,
    valid_to_us=END_US,
)


def test_a_line_loses_in_its_segments_and_transformers() -> None:
    roster = roster_of(
        UnitKind.FEEDER,
        [member(0, Role.GATEWAY, "head", ratio=40), member(1, Role.UNIT, child=7), member(2, Role.UNIT, child=8)],
    )
    rows = rows_of([[2_000, 50_000, 25_000]])
    energies = {n: rows.channels[n] for n in ("import_wh", "export_wh")}
    lost = line_losses(rows, np.arange(1), [roster], energies, [LINE])
    load_w = 4_000.0 * (200_000 / POWER_FACTOR / 400_000) ** 2
    far = 200_000 + 600 + load_w
    lines_w = (far + 100_000) ** 2 / (20_000 * POWER_FACTOR) ** 2 + 0.5 * far**2 / (20_000 * POWER_FACTOR) ** 2
    # By hand at the nominal voltage, so some tenths of a per cent off.
    assert lost.wh[0] == pytest.approx((600 + load_w + lines_w) / 4, rel=0.005)


def test_what_is_not_a_network_is_refused() -> None:
    with pytest.raises(ValueError, match="busbar"):
        AreaNetwork("A", (-1, 2, 1), (0.0,) * 3, (0.0,) * 3, (0.0,) * 3, (0.0,) * 3, (), ())
    with pytest.raises(ValueError, match="isn't there"):
        AreaNetwork("A", (-1,), (0.0,), (0.0,), (0.0,), (0.0,), ("m",), (1,))
    with pytest.raises(ValueError, match="negative"):
        AreaNetwork("A", (-1, 0), (0.0, -1.0), (0.0,) * 2, (0.0,) * 2, (0.0,) * 2, (), ())
    with pytest.raises(ValueError, match="once"):
        AreaNetwork("A", (-1,), (0.0,), (0.0,), (0.0,), (0.0,), ("m", "m"), (0, 0))
    with pytest.raises(ValueError, match="2 values"):
        AreaNetwork("A", (-1,), (0.0, 0.0), (0.0,), (0.0,), (0.0,), (), ())


def test_what_a_row_comes_to_does_not_depend_on_its_batch() -> None:
    rng = np.random.default_rng(5)
    energies = rng.integers(0, 1_000, (40, 6)).tolist()
    rows = rows_of(energies)
    own = {n: rows.channels[n] for n in ("import_wh", "export_wh")}
    together = area_losses(rows, np.arange(40), [AREA] * 40, own, [LINES] * 40)
    alone = [area_losses(rows, np.array([r]), [AREA], own, [LINES]).wh[0] for r in reversed(range(40))]
    assert together.wh.tolist() == alone[::-1]
