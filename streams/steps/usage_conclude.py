"""From what the kernels say of an area after a day, and its accounts, to conclusions about single meters. Pure.

Only meters that something speaks against are looked at one by one. What is not worth a visit isn't concluded: vacancy
and other innocent changes, and a fall that the area's loss knows nothing of.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid.roster import UnitView
from grid.usage import DayConclusion, MeterAccount
from kernels import correlation, undercount, usage
from kernels.correlation import Blame, CorrelationState
from kernels.undercount import Undercount
from kernels.usage import UsageScores, UsageState
from kernels.usage_fold import KEPT, NO_FIGURE, OFFSET_W, TO_LOG
from streams.steps.usage_decide import (
    INNOCENT,
    AccountFacts,
    Conclusion,
    Evidence,
    UsageKind,
    UsageLimits,
    decide,
    theft_log_ratio,
)

Floats = NDArray[np.float64]

VERSION = 2
#: So many days in a row must a meter without an account have counted something.
_UNCONTRACTED_DAYS = 3
_PLACES = 4
_HOUR_US = 3_600_000_000
#: Standard deviations that a meter's days together must have fallen short of what was usual.
_LEAST_CUSUM = 4.0


@dataclass(frozen=True, slots=True, eq=False)
class AreaLoss:
    """Who explains the loss of an abnormal area.

    Attributes
    ----------
    columns
        int64: roster positions of the meters that the correlation knows, in its order.
    undercount
        Of the same meters; None while too few days are known.
    """

    columns: NDArray[np.int64]
    state: CorrelationState
    blame: Blame
    slots: int
    undercount: Undercount | None = None


@dataclass(frozen=True, slots=True, eq=False)
class AreaEvidence:
    """What is known of an area after a day.

    Attributes
    ----------
    scores
        Of `state`, which is folded through the day.
    uncontracted_days
        int64 (positions,): days in a row, to this one, without an active account.
    loss
        None: the area's loss isn't abnormal. `loss_known` says whether it could be told.
    chain
        Names the series that all of it rests on.
    """

    day: date
    state: UsageState
    scores: UsageScores
    slots: int
    uncontracted_days: NDArray[np.int64]
    loss: AreaLoss | None
    loss_known: bool
    chain: bytes


def conclude(
    area: AreaEvidence, accounts: Sequence[MeterAccount], generating: frozenset[str], limits: UsageLimits
) -> list[DayConclusion]:
    """Conclusions about an area's meters after a day, by position.

    Parameters
    ----------
    accounts
        Of the customers' meters on that day.
    generating
        Tariff classes of those who may give energy back.
    """
    blamed = _blamed(area)
    found = []
    for account in _candidates(area, accounts, blamed, limits):
        evidence = _evidence(area, account, account.tariff_class in generating, blamed)
        concluded = decide(evidence, _facts(area, account), limits)
        if concluded is not None and _is_worth_saying(concluded, area):
            found.append(_row(area, account, evidence, concluded, limits))
    return found


def power_of_days(state: UsageState, days: int) -> Floats:
    """Mean power of each of the last days in W, (days, meters), the last first; NaN = not known."""
    at = (int(state.through[0]) - np.arange(days)) % KEPT
    code = state.ring[:, at, 0].T.astype(np.float64)
    return np.asarray(np.where(code == NO_FIGURE, np.nan, OFFSET_W * (np.exp(code * TO_LOG) - 1.0)))


def days_without_account(view: UnitView, end_us: int, most: int) -> NDArray[np.int64]:
    """Whole days to the end of a day for which each position's customer had no active account, up to `most`."""
    days = np.zeros(view.size, np.int64)
    for lapse in view.lapses:
        if lapse.from_us < end_us <= lapse.to_us:
            # One of the days may have an hour less.
            days[lapse.position] = min((end_us - lapse.from_us + _HOUR_US) // (24 * _HOUR_US), most)
    return days


@dataclass(frozen=True, slots=True)
class _Blamed:
    score: float
    energy_wh: float
    area_wh: float
    undercount: float
    undercount_wh: float


def _blamed(area: AreaEvidence) -> Mapping[int, _Blamed]:
    """What each meter explains of the area's loss, over as many days as `UsageLimits.days` by default."""
    loss = area.loss
    if loss is None or loss.state.loss[2] <= 0.0:
        return {}
    # Sums are forgotten: they stand for so many days.
    per_month = UsageLimits().days * loss.slots / float(loss.state.loss[2])
    area_wh = float(loss.state.loss[0]) * per_month
    energy_wh = loss.blame.energy_wh * per_month
    score = np.where(_is_anothers(area, loss), 0.0, loss.blame.score)
    less = loss.undercount
    ratio, less_wh = (np.zeros(len(score)),) * 2 if less is None else (less.score, less.energy_wh)
    return {
        position: _Blamed(float(score[n]), float(energy_wh[n]), area_wh, float(ratio[n]), float(less_wh[n]))
        for n, position in enumerate(loss.columns.tolist())
    }


def _is_anothers(area: AreaEvidence, loss: AreaLoss) -> NDArray[np.bool_]:
    """Meters whose use resembles the loss, but which count what they always did.

    Where the area's loss was usual before, who counts a part of everything since then has fallen. Customers of one kind
    resemble each other so much that the loss of one is explained by the use of another.
    """
    began_here = float(loss.state.seen.sum()) > 0.0
    by_use = loss.blame.use_wh > loss.blame.deficit_wh
    return np.asarray(began_here & by_use & (area.scores.cusum_low[loss.columns] < _LEAST_CUSUM))


def _candidates(
    area: AreaEvidence, accounts: Sequence[MeterAccount], blamed: Mapping[int, _Blamed], limits: UsageLimits
) -> list[MeterAccount]:
    s = area.scores
    still = area.slots * limits.still_days
    against = (
        (np.nan_to_num(s.fall, nan=-np.inf) >= limits.fall)
        | ((s.flat_run >= still) & (s.zero_run == 0))
        | (s.negative_run >= area.slots)
        | (area.uncontracted_days >= _UNCONTRACTED_DAYS)
    )
    return [
        account
        for account in accounts
        if against[account.position] or ((b := blamed.get(account.position)) is not None and _is_named(b, limits))
    ]


def _is_named(blamed: _Blamed, limits: UsageLimits) -> bool:
    """Something in the loss may speak against it; `decide` says whether enough does."""
    return blamed.score >= limits.blame or theft_log_ratio(blamed.undercount, math.inf) >= limits.undercount


def _facts(area: AreaEvidence, account: MeterAccount) -> AccountFacts:
    """The model knows of no vacancies; who says so to marketing is not recorded anywhere."""
    days = int(area.uncontracted_days[account.position])
    return AccountFacts(
        active=days < _UNCONTRACTED_DAYS,
        moved=account.moved,
        tariff_changed=account.tariff_changed,
        meter_changed=account.meter_changed,
    )


def _evidence(
    area: AreaEvidence,
    account: MeterAccount,
    generates: bool,
    blamed: Mapping[int, _Blamed],
) -> Evidence:
    s, at = area.scores, account.position
    recent_w, since_days = float(s.recent_w[at]), int(s.since_days[at])
    without = int(area.uncontracted_days[at])
    if without >= _UNCONTRACTED_DAYS:
        # What was used before the account ended was paid for.
        days = power_of_days(area.state, _UNCONTRACTED_DAYS)[:, at]
        recent_w, since_days = float(np.nan_to_num(days).min()), without
    explained = blamed.get(at)
    said = area.loss is not None
    return Evidence(
        fall=float(s.fall[at]),
        rise=float(s.rise[at]),
        share=float(s.share[at]),
        growth=float(s.growth[at]),
        usual_w=float(s.usual_w[at]),
        recent_w=recent_w,
        since_days=since_days,
        zero_run=int(s.zero_run[at]),
        flat_run=int(s.flat_run[at]),
        negative_run=0 if generates else int(s.negative_run[at]),
        slots=area.slots,
        blame=None if not said else 0.0 if explained is None else explained.score,
        blamed_wh=0.0 if explained is None else explained.energy_wh,
        area_loss_wh=0.0 if explained is None else explained.area_wh,
        undercount=None if explained is None else explained.undercount,
        undercount_wh=0.0 if explained is None else explained.undercount_wh,
    )


def _is_worth_saying(concluded: Conclusion, area: AreaEvidence) -> bool:
    if concluded.kind in INNOCENT:
        return False
    # Energy that is stolen is missing in the area: where the loss is known, it decides.
    return concluded.kind is not UsageKind.UNEXPLAINED or not area.loss_known


def _row(
    area: AreaEvidence, account: MeterAccount, evidence: Evidence, concluded: Conclusion, limits: UsageLimits
) -> DayConclusion:
    return DayConclusion(
        day=area.day,
        meter=account.meter,
        kind=concluded.kind.value,
        confidence=concluded.confidence,
        # The day itself is the last of them.
        begin_day=area.day - timedelta(days=max(concluded.since_days - 1, 0)),
        expected_wh=max(round(concluded.expected_wh), 0),
        tariff_class=account.tariff_class,
        reasons=concluded.reasons,
        evidence={
            "series": area.chain.hex(),
            "through": area.day.isoformat(),
            "models": {
                "usage": usage.VERSION,
                "correlation": correlation.VERSION,
                "undercount": undercount.VERSION,
                "deciding": VERSION,
            },
            "parameters": asdict(limits),
            "figures": {name: _plain(value) for name, value in asdict(evidence).items()},
            "account": {
                "active": int(area.uncontracted_days[account.position]) == 0,
                "moved": account.moved,
                "tariff_changed": account.tariff_changed,
                "meter_changed": account.meter_changed,
            },
        },
    )


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, _PLACES) if math.isfinite(value) else None
    return value
