"""The programme's economy: costs and benefits by year and unit, net present value, payback, sensitivity; pure.

All in whole cents. The value of a flow today is rounded to a cent flow by flow, half to even, so that units, kinds and
years add up to the whole exactly, whichever way they are added.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Final

from benefit.parameters import Model

COSTS: Final = ("investment", "running", "people")
#: `measured` comes from the ledger, `benefit` from assumptions of the parameters.
GAINS: Final = ("measured", "benefit")


@dataclass(frozen=True, slots=True, order=True)
class CashFlow:
    """Money of a unit in a year; costs are positive too, their kind says what they are."""

    unit: str
    year: int
    kind: str
    cents: int


@dataclass(frozen=True, slots=True)
class Gain:
    """What the ledger's entries of a year bring a unit.

    Attributes
    ----------
    once_cents
        In that year and no other: what was billed after all, visits, outages.
    yearly_cents
        A year from then on: losses avoided, their days taken for a year's.
    """

    unit: str
    year: int
    once_cents: int
    yearly_cents: int


@dataclass(frozen=True, slots=True)
class Worth:
    """What a unit's flows, or all of them, come to.

    Attributes
    ----------
    costs_cents, benefits_cents
        Of all years, not discounted.
    npv_cents
        Net present value at the begin of the first year; flows of a year count at its end, those of investment at its
        begin.
    payback_years, discounted_payback_years
        After how many years what came back covers what was spent, with the flows of a year spread evenly over it; None
        where it never does within the years.
    """

    unit: str
    costs_cents: int
    benefits_cents: int
    npv_cents: int
    payback_years: float | None
    discounted_payback_years: float | None


@dataclass(frozen=True, slots=True)
class Swing:
    """A bar of the tornado: the whole's net present value with one parameter low and high."""

    name: str
    low: Decimal
    high: Decimal
    npv_low_cents: int
    npv_high_cents: int

    @property
    def swing_cents(self) -> int:
        """How much it matters."""
        return abs(self.npv_high_cents - self.npv_low_cents)


def to_cents(amount: Decimal) -> int:
    """Whole cents, half to even."""
    return round(Fraction(amount) * 100)


def project(model: Model, gains: Sequence[Gain]) -> list[CashFlow]:
    """All flows of the years: those of the parameters, and what was measured.

    What came once counts in its year; what goes on counts in full in its first year, and of it each year after the
    persistence's share is left. Nothing is taken to come again.
    """
    flows = [CashFlow(f.unit, f.year, f.kind, to_cents(f.amount)) for f in model.flows]
    persistence = Fraction(model.persistence)
    years = range(model.first_year, model.first_year + model.years)
    for gain in gains:
        if gain.once_cents and gain.year in years:
            flows.append(CashFlow(gain.unit, gain.year, "measured", gain.once_cents))
        if gain.yearly_cents:
            flows += [
                CashFlow(gain.unit, year, "measured", round(gain.yearly_cents * persistence ** (year - gain.year)))
                for year in years
                if year >= gain.year
            ]
    return sorted(flows)


def present_cents(flow: CashFlow, model: Model) -> int:
    """What a flow is worth at the begin of the first year, with its sign."""
    years = flow.year - model.first_year + (flow.kind != "investment")
    value = round(Fraction(flow.cents) / (1 + Fraction(model.discount_rate)) ** years)
    return -value if flow.kind in COSTS else value


def net_present_cents(flows: Iterable[CashFlow], model: Model) -> int:
    """Net present value of some flows."""
    return sum(present_cents(flow, model) for flow in flows)


def appraise(flows: Sequence[CashFlow], model: Model, unit: str | None = None) -> Worth:
    """What a unit's flows come to; None: those of all."""
    own = [flow for flow in flows if unit is None or flow.unit == unit]
    plain = [0] * model.years
    today = [0] * model.years
    at_begin, at_begin_today = [0] * model.years, [0] * model.years
    for flow in own:
        n = flow.year - model.first_year
        sign = -1 if flow.kind in COSTS else 1
        if flow.kind == "investment":
            at_begin[n] -= flow.cents
            at_begin_today[n] += present_cents(flow, model)
        else:
            plain[n] += sign * flow.cents
            today[n] += present_cents(flow, model)
    return Worth(
        unit or "",
        sum(flow.cents for flow in own if flow.kind in COSTS),
        sum(flow.cents for flow in own if flow.kind in GAINS),
        net_present_cents(own, model),
        payback(at_begin, plain),
        payback(at_begin_today, today),
    )


def payback(at_begin: Sequence[int], over_year: Sequence[int]) -> float | None:
    """Years until the sum isn't negative any more, for good.

    Parameters
    ----------
    at_begin, over_year
        What comes at the begin of each year, and spread evenly over it.
    """
    sums = [0]
    for first, during in zip(at_begin, over_year, strict=True):
        sums += [sums[-1] + first, sums[-1] + first + during]
    if sums[-1] < 0:
        return None
    negative = [i for i, value in enumerate(sums) if value < 0]
    if not negative:
        return 0.0
    last = negative[-1]
    year, begun = divmod(last - 1, 2)
    # sums[1 + 2n] stands at the begin of year n after what comes then, sums[2 + 2n] at its end.
    if begun:
        return float(year + 1)
    return year + -sums[last] / (sums[last + 1] - sums[last])


def vary(model: Model, gains: Sequence[Gain], name: str, value: Decimal) -> int:
    """Net present value of all with one parameter changed: a rate itself, of the others a factor."""
    if name in {"discount_rate", "persistence"}:
        changed = (
            replace_model(model, discount_rate=value)
            if name == "discount_rate"
            else replace_model(model, persistence=value)
        )
        return net_present_cents(project(changed, gains), changed)
    factor = Fraction(value)
    flows = [replace(f, cents=round(f.cents * factor)) if f.kind == name else f for f in project(model, gains)]
    return net_present_cents(flows, model)


def replace_model(model: Model, *, discount_rate: Decimal | None = None, persistence: Decimal | None = None) -> Model:
    """The model with another rate."""
    return Model(
        first_year=model.first_year,
        years=model.years,
        discount_rate=model.discount_rate if discount_rate is None else discount_rate,
        persistence=model.persistence if persistence is None else persistence,
        flows=model.flows,
        sensitivity=model.sensitivity,
    )


def tornado(model: Model, gains: Sequence[Gain]) -> list[Swing]:
    """Each parameter's bar, the longest first."""
    swings = [
        Swing(name, low, high, vary(model, gains, name, low), vary(model, gains, name, high))
        for name, (low, high) in model.sensitivity.items()
    ]
    return sorted(swings, key=lambda s: (-s.swing_cents, s.name))
