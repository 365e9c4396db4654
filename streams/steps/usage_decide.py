"""What a meter's abnormal use is, with the account joined: vacancy, changed tariff, fault, wrong record, theft. Pure.

The rules go from what explains a change without fault to what nothing else explains. The confidence is a statement of
how far the evidence goes, between 0 and 1; it wasn't fitted to field checks, of which there are none yet.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum


class UsageKind(StrEnum):
    """What a finding says."""

    NO_CONTRACT = "no_contract"
    VACANCY = "vacancy"
    TARIFF_CHANGE = "tariff_change"
    APPLIANCE = "appliance"
    METER_FAULT = "meter_fault"
    WRONG_RECORD = "wrong_record"
    THEFT = "theft"
    UNEXPLAINED = "unexplained"


#: Logarithm of the odds of a theft: it is 0 at so much of both witnesses, and rises by so much with each more, up to a
#: limit. As was seen in cities of the twin that aren't reported: of 12 to 15 three thieves and five honest meters, of
#: 15 to 20 five and two, above that 31 and two. By theory it would rise by 1: the model doesn't know all.
_EVEN, _RISE, _MOST_LOG_ODDS = 14.5, 0.4, 2.7
#: What a fall can add to what the loss says, and what the loss must say by itself.
_MOST_FALL, _LEAST_UNDERCOUNT = 5.0, 2.0

#: What nobody has to visit.
INNOCENT = frozenset({UsageKind.VACANCY, UsageKind.TARIFF_CHANGE, UsageKind.APPLIANCE})


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """What marketing knows of the account at that time.

    Attributes
    ----------
    active
        There is a contract.
    vacant, moved, tariff_changed, meter_changed
        Said to have happened within the days that are judged.
    """

    active: bool = True
    vacant: bool = False
    moved: bool = False
    tariff_changed: bool = False
    meter_changed: bool = False


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the kernels say of a meter.

    Attributes
    ----------
    fall, rise, share, growth, usual_w, recent_w, since_days, zero_run, flat_run, negative_run
        As in `kernels.usage.UsageScores`; NaN = not known.
    blame, blamed_wh, area_loss_wh
        As in `kernels.correlation.Blame`, with the loss of the area that isn't technical, over the same days; None: the
        area's loss isn't abnormal.
    undercount, undercount_wh
        As in `kernels.undercount.Undercount`, over four weeks; None: the area's loss isn't abnormal.
    misplaced
        Voltage, or the repair of two areas, says that it is recorded in the wrong place.
    current_present
        Current flows while the meter counts nothing.
    slots
        Readings in a day.
    """

    fall: float
    rise: float
    share: float
    growth: float
    usual_w: float
    recent_w: float
    since_days: int
    zero_run: int
    flat_run: int
    negative_run: int
    slots: int
    blame: float | None = None
    blamed_wh: float = 0.0
    area_loss_wh: float = 0.0
    undercount: float | None = None
    undercount_wh: float = 0.0
    misplaced: bool = False
    current_present: bool = False


@dataclass(frozen=True, slots=True)
class UsageLimits:
    """When evidence counts.

    Attributes
    ----------
    fall
        Logarithm of the likelihood ratio from which on everything has fallen.
    blame, blame_share
        Score and share of the area's loss from which on a meter explains it.
    undercount
        Logarithm of the likelihood ratio from which on a meter's part in the loss says by itself that it counts too
        little. In cities of the twin that aren't reported one honest meter in 5,000 has more in a month.
    flag
        What a flag of the account that explains a fall takes from `fall`: flags are missing and wrong too, so they are
        evidence and no proof. Chosen on the households that benchmarks/usage.py doesn't report.
    days
        Days over which energy is reckoned.
    still_days
        Days without a count, or with always the same one, from which on a meter has stopped.
    least_w
        Use below this is none.
    """

    fall: float = 6.0
    blame: float = 60.0
    blame_share: float = 0.03
    undercount: float = 15.0
    flag: float = 3.0
    days: int = 28
    still_days: float = 3.0
    least_w: float = 5.0

    def __post_init__(self) -> None:
        if self.days < 1 or self.blame <= 0 or self.undercount <= 0 or self.still_days <= 0:
            raise ValueError("limits must be above 0")


@dataclass(frozen=True, slots=True)
class Conclusion:
    """A finding of a meter.

    Attributes
    ----------
    confidence
        0…1.
    since_days
        Days ago when it began.
    expected_wh
        What would be recovered over as many days as the limits say; 0 where nothing is lost.
    reasons
        What speaks for it and against it, as codes of docs/explanation/usage.md.
    """

    kind: UsageKind
    confidence: float
    since_days: int
    expected_wh: float
    reasons: tuple[str, ...]


def decide(evidence: Evidence, facts: AccountFacts, limits: UsageLimits | None = None) -> Conclusion | None:
    """Conclude what a meter's use means; None: nothing worth saying."""
    limits = limits or UsageLimits()
    lost_wh = max(_known(evidence.usual_w) - _known(evidence.recent_w), 0.0) * 24.0 * limits.days
    fell = evidence.fall >= limits.fall
    less = theft_log_ratio(evidence.undercount or 0.0, suspicion(evidence.fall, facts, limits))
    undercounts = less >= limits.undercount
    explains = (
        evidence.blame is not None
        and evidence.blame >= limits.blame
        and evidence.blamed_wh >= limits.blame_share * evidence.area_loss_wh
    )

    def conclude(kind: UsageKind, strength: float, wh: float, *reasons: str) -> Conclusion:
        return Conclusion(kind, 1.0 / (1.0 + math.exp(-strength)), evidence.since_days, wh, reasons)

    if not facts.active and _known(evidence.recent_w) > limits.least_w:
        return conclude(UsageKind.NO_CONTRACT, 4.0, evidence.recent_w * 24.0 * limits.days, "no_active_account")
    if evidence.misplaced:
        return conclude(UsageKind.WRONG_RECORD, 2.0, 0.0, "voltage_follows_another")
    stopped = _stopped(evidence, limits)
    if stopped is not None:
        return conclude(UsageKind.METER_FAULT, *stopped, *(("vacant",) if facts.vacant else ()))
    if explains or undercounts:
        # What was shared out within days is the sharper figure.
        wh = evidence.undercount_wh if undercounts else evidence.blamed_wh
        if facts.meter_changed:
            return conclude(UsageKind.METER_FAULT, 1.5, wh, *_loss_reasons(explains, undercounts), "meter_changed")
        reasons = (*_loss_reasons(explains, undercounts), *(("everything_fell",) if fell else ()), *_excuses(facts))
        strength = 2.0 + min(_known(evidence.fall), 10.0) / 5.0 - 1.0 * (facts.vacant or facts.moved)
        odds = min(_RISE * (less - _EVEN), _MOST_LOG_ODDS)
        return conclude(
            UsageKind.THEFT, max(strength if explains else odds, odds if undercounts else strength), wh, *reasons
        )
    if fell:
        # What the fall says beyond what the account explains makes the excuse less likely, and never certain.
        beyond = max(suspicion(evidence.fall, facts, limits) - limits.fall, 0.0) / 5.0
        if facts.vacant or facts.moved:
            return conclude(UsageKind.VACANCY, 2.0 - beyond, 0.0, "everything_fell", *_excuses(facts))
        if facts.tariff_changed:
            return conclude(UsageKind.TARIFF_CHANGE, 1.0 - beyond, 0.0, "everything_fell", "tariff_changed")
        if facts.meter_changed:
            return conclude(UsageKind.METER_FAULT, 1.0, lost_wh, "everything_fell", "meter_changed")
        strength = min(_known(evidence.fall) - limits.fall, 10.0) / 5.0
        # The area was asked and its loss goes with others, or it was not asked as its loss is usual.
        against = ("loss_is_not_its",) if evidence.blame is not None else ("loss_is_usual",)
        return conclude(UsageKind.UNEXPLAINED, strength - 1.0, lost_wh, "everything_fell", *against)
    if evidence.rise >= limits.fall:
        return conclude(UsageKind.APPLIANCE, 0.5, 0.0, "everything_rose")
    return None


def suspicion(fall: float, facts: AccountFacts, limits: UsageLimits | None = None) -> float:
    """What a fall says together with the account, as a logarithm of a likelihood ratio, by which meters are ranked.

    A flag lowers it and doesn't end it: a thief may have one by mistake, or be away at times.
    """
    limits = limits or UsageLimits()
    return fall - limits.flag * bool(_excuses(facts))


def theft_log_ratio(undercount: float, own: float) -> float:
    """Two witnesses of a theft together: the area's loss, and a fall of the meter's own less what the account excuses.

    Both are logarithms of likelihood ratios of different figures, and so add up. A fall alone says nothing, since an
    empty home falls too and leaves no loss, and its part is limited: how far honest homes fall is less well known.
    """
    return undercount + (min(max(_known(own), 0.0), _MOST_FALL) if undercount >= _LEAST_UNDERCOUNT else 0.0)


def _loss_reasons(explains: bool, undercounts: bool) -> tuple[str, ...]:
    return (*(("explains_loss",) if explains else ()), *(("loss_follows_it",) if undercounts else ()))


def _stopped(evidence: Evidence, limits: UsageLimits) -> tuple[float, float, str] | None:
    """Strength, energy and reason where a meter counts nothing that it should count."""
    still = evidence.slots * limits.still_days
    wh = _known(evidence.usual_w) * 24.0 * limits.days
    if evidence.zero_run >= 1 and evidence.current_present:
        return 3.0, wh, "zero_with_current"
    if evidence.flat_run >= still and evidence.zero_run == 0:
        return 1.5, 0.0, "always_the_same"
    if evidence.negative_run >= evidence.slots:
        return 2.5, wh, "counts_backwards"
    return None


def _excuses(facts: AccountFacts) -> tuple[str, ...]:
    return tuple(name for name in ("vacant", "moved", "tariff_changed") if getattr(facts, name))


def _known(value: float) -> float:
    return 0.0 if math.isnan(value) else value
