"""What rows lack when a limit passes, and the contributions that stand in for it; pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grid.block import INTERVALS_S
from grid.channels import EXPORT, GAP_SIGMA, IMPORT, SIGMA
from grid.model import Role, UnitKind
from grid.quality import MISSING_WH, Quality, precedence
from grid.roster import Roster, UnitView
from streams.steps.contribution import Cause, Contribution, Key

#: Kinds of unit whose members' missing readings are estimated.
ESTIMATED_KINDS = (UnitKind.AREA, UnitKind.DEDICATED)
#: Sequences of estimates: the one that knows both sides takes the place of the other.
ONLINE, OFFLINE = 0, 1
ESTIMATE_PRECEDENCE = [int(precedence(np.array([Quality.ESTIMATED], np.uint8), s)[0]) for s in (ONLINE, OFFLINE)]


@dataclass(frozen=True, slots=True, eq=False)
class Gap:
    """Members of a row without a reading when a limit passed.

    Attributes
    ----------
    at_us
        The limit.
    final
        Whether it is the final one.
    positions
        int64, roster positions.
    is_silent
        Nobody of an area was heard. Without supply nobody sends, and what never flowed would count as taken from the
        line: nothing but registers tells then.
    heard_wh
        What members that were heard took and gave, each by its sign (`signs_of`).
    heard_export_wh
        int64, what each position gave, `MISSING_WH` where it wasn't heard; None where nobody gave anything.
    is_off
        An area's master meters were heard, and neither they nor any other member that was took or gave anything: who
        is missing took nothing either.
    """

    view: UnitView
    roster: Roster
    observed_at_us: int
    interval_s: int
    at_us: int
    final: bool
    positions: NDArray[np.int64]
    is_silent: bool = False
    is_off: bool = False
    heard_wh: int = 0
    heard_export_wh: NDArray[np.int64] | None = None

    @property
    def key(self) -> Key:
        """Key of the row."""
        return self.view.unit_id, self.observed_at_us, self.interval_s


def gap_of(
    view: UnitView,
    roster: Roster,
    key: Key,
    at_us: int,
    import_wh: NDArray[np.int64],
    export_wh: NDArray[np.int64],
    held: NDArray[np.int64],
    *,
    final: bool,
) -> Gap | None:
    """What a row lacks when a limit passes; None when nothing that is estimated.

    Parameters
    ----------
    import_wh, export_wh, held
        Of the row's positions: the energies, and the precedences by which the imports stand.
    final
        An estimate of the provisional limit counts as lacking then.
    """
    if view.kind not in ESTIMATED_KINDS or key[2] not in INTERVALS_S:
        return None
    size = len(roster)
    lacks = import_wh[:size] == MISSING_WH
    if final:
        lacks |= held[:size] == ESTIMATE_PRECEDENCE[ONLINE]
    expected = roster.role != 0
    positions = np.flatnonzero(lacks & expected)
    if not len(positions):
        return None
    is_silent = is_off = False
    if view.kind is UnitKind.AREA:
        heard = expected & ~lacks
        gateways = roster.role & int(Role.GATEWAY) != 0
        is_silent = not heard.any() and len(positions) > 1
        is_off = bool(gateways.any() and heard[gateways].all())
        # A missing export is none.
        is_off &= not np.any(heard & ((import_wh[:size] != 0) | (export_wh[:size] > 0)))
    net_wh = np.where(lacks, 0, import_wh[:size] - np.maximum(export_wh[:size], 0))
    heard_wh = int(signs_of(roster) @ net_wh)
    given_wh = np.where(lacks | ~expected, MISSING_WH, export_wh[:size])
    exports = given_wh if np.any(given_wh > 0) else None
    return Gap(view, roster, key[1], key[2], at_us, final, positions, is_silent, is_off, heard_wh, exports)


def signs_of(roster: Roster) -> NDArray[np.int64]:
    """By what a member's import less its export counts in what has to come in: customers', less master meters'."""
    is_gateway = roster.role & int(Role.GATEWAY) != 0
    signs = np.where(is_gateway, -roster.multiplier, roster.multiplier)
    return np.where(roster.role != 0, signs, 0)


@dataclass(frozen=True, slots=True, eq=False)
class Filled:
    """Estimates of a gap's positions, `MISSING_WH` where there is none; `gap_sigma_wh` as the channel."""

    import_wh: NDArray[np.int64]
    export_wh: NDArray[np.int64]
    sigma_wh: NDArray[np.int64]
    gap_sigma_wh: NDArray[np.int64]


def contribution_of(gap: Gap, filled: Filled, there: NDArray[np.bool_]) -> Contribution:
    """Those of a gap's estimates that there are, as a contribution of its limit."""
    size = int(there.sum())
    return Contribution(
        view=gap.view,
        roster=gap.roster,
        observed_at_us=gap.observed_at_us,
        interval_s=gap.interval_s,
        received_at_us=gap.at_us,
        positions=gap.positions[there].astype(np.int32),
        precedence=np.full(size, ESTIMATE_PRECEDENCE[OFFLINE if gap.final else ONLINE]),
        received_us=np.full(size, gap.at_us),
        channels={
            IMPORT: filled.import_wh[there],
            EXPORT: filled.export_wh[there],
            SIGMA: filled.sigma_wh[there],
            GAP_SIGMA: filled.gap_sigma_wh[there],
        },
        quality=np.full(size, Quality.ESTIMATED, np.uint8),
        cause=Cause.ESTIMATE,
    )
