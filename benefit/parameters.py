"""Prices, factors and assumptions that benefits are valued by, as a TOML file says them; pure.

Money is decimal: a price of 0.5283 is that, and not the binary fraction beside it.
"""

from __future__ import annotations

import hashlib
import tomllib
from datetime import date
from decimal import Decimal
from itertools import pairwise
from typing import Annotated, Any, Literal

import msgspec

from benefit.matching import MatchRules

Share = Annotated[Decimal, msgspec.Meta(description="0 to 1")]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$")]
Line = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Year = Annotated[int, msgspec.Meta(ge=1990, le=2200)]
_MOST_MONEY = Decimal(10**12)


class ParameterError(ValueError):
    """The file can't be used; the message says where and why."""


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every section has."""


class Prices(_Part, frozen=True):
    """Prices that took the place of those before."""

    day: date
    """Local; what was done from then on is valued by them."""
    prices: dict[Name, Decimal]
    """As in `Parameters`: all of them, with a default."""


class Carbon(_Part, frozen=True):
    """What the grid emits for a kilowatt-hour, and how much of a loss avoided isn't generated any more."""

    g_per_kwh: Decimal
    saved_share: Share
    """The rest is drawn as before and billed now: that saves nothing."""


class Visits(_Part, frozen=True):
    """Field visits that aren't needed where the system itself resolved something."""

    by_proposal: Decimal
    by_conflict: Decimal
    hours: Decimal
    cost: Decimal
    """Of one visit."""


class Outages(_Part, frozen=True):
    """What an outage is compared with."""

    baseline_minutes: Decimal
    """From its begin until supply is back, as it was before the programme."""
    value_per_customer_hour: Decimal
    sustained_minutes: Decimal = Decimal(5)
    """IEEE 1366: a shorter interruption is momentary."""


class Social(_Part, frozen=True):
    """Assumptions behind figures that nothing measures."""

    bills_per_year: Decimal
    complaints_per_wrong_bill: Share
    complaints_per_customer_hour: Decimal


class Windows(_Part, frozen=True):
    """Days that an effect is looked for in, and how controls are chosen."""

    days_before: Annotated[int, msgspec.Meta(ge=14, le=180)] = 28
    days_after: Annotated[int, msgspec.Meta(ge=14, le=180)] = 28
    least_days_after: Annotated[int, msgspec.Meta(ge=7, le=180)] = 14
    controls_most: Annotated[int, msgspec.Meta(ge=3, le=200)] = 30
    controls_least: Annotated[int, msgspec.Meta(ge=3, le=200)] = 12

    def rules(self) -> MatchRules:
        """How controls are chosen."""
        return MatchRules(self.controls_most, self.controls_least)


class Flow(_Part, frozen=True):
    """Money of a year: what a unit of the utility pays, or is assumed to gain."""

    unit: Name
    year: Year
    kind: Literal["investment", "running", "people", "benefit"]
    amount: Decimal
    note: Line


class Model(_Part, frozen=True):
    """The programme over the years.

    `persistence` is the share of a benefit that is left a year later; `sensitivity` names what is varied, with its low
    and high value: discount_rate and persistence themselves, the others as factors of what they stand for.
    """

    first_year: Year
    years: Annotated[int, msgspec.Meta(ge=1, le=50)]
    discount_rate: Decimal
    persistence: Share
    flows: Annotated[tuple[Flow, ...], msgspec.Meta(max_length=10_000)] = ()
    sensitivity: dict[
        Literal["discount_rate", "persistence", "investment", "running", "people", "benefit", "measured"],
        tuple[Decimal, Decimal],
    ] = {}


class Parameters(_Part, frozen=True):
    """All of them; see docs/how-to/benefit.md."""

    currency: Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$")]
    prices: dict[Name, Decimal]
    """A kWh by tariff class; `default` for all others."""
    carbon: Carbon
    visits: Visits
    outages: Outages
    social: Social
    departments: dict[Name, Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]]
    """Weights by which a shared benefit is divided."""
    windows: Windows = Windows()
    model: Model | None = None
    prices_from: Annotated[tuple[Prices, ...], msgspec.Meta(max_length=1_000)] = ()
    """In the order of days; before the first the prices above."""

    def price_of(self, tariff: str | None, day: date) -> tuple[str, Decimal]:
        """The tariff class whose price holds on a day, and the price of a kWh."""
        prices = self.prices
        for later in self.prices_from:
            if later.day <= day:
                prices = later.prices
        name = tariff if tariff in prices else "default"
        assert name is not None  # noqa: S101  # None is no key
        return name, prices[name]


def parse_parameters(text: str) -> Parameters:
    """Parameters of a TOML file.

    Raises
    ------
    ParameterError
        It isn't TOML, something is missing, unknown or out of its range.
    """
    try:
        found = msgspec.convert(tomllib.loads(text, parse_float=Decimal), Parameters)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, ArithmeticError, RecursionError) as error:
        raise ParameterError(str(error)) from None
    _check(found)
    return found


def read_parameters(body: Any) -> Parameters:
    """Parameters as they were stored."""
    return msgspec.convert(body, Parameters)


def to_body(parameters: Parameters) -> Any:
    """As they are stored: decimals as text."""
    return msgspec.to_builtins(parameters)


def hash_of(parameters: Parameters) -> bytes:
    """BLAKE2b of the canonical form: comments and the order of lines play no part."""
    return hashlib.blake2b(msgspec.json.encode(parameters, order="sorted"), digest_size=32).digest()


def _check(p: Parameters) -> None:
    if "default" not in p.prices:
        raise ParameterError("prices lacks default")
    for later in p.prices_from:
        if "default" not in later.prices:
            raise ParameterError(f"prices_from {later.day}: prices lacks default")
    if any(a.day >= b.day for a, b in pairwise(p.prices_from)):
        raise ParameterError("prices_from isn't in the order of days")
    if not any(p.departments.values()):
        raise ParameterError("departments: one needs a weight")
    shares = {
        "carbon.saved_share": p.carbon.saved_share,
        "social.complaints_per_wrong_bill": p.social.complaints_per_wrong_bill,
    }
    rates = {
        **{f"prices.{name}": value for name, value in p.prices.items()},
        **{f"prices_from {later.day}.{name}": value for later in p.prices_from for name, value in later.prices.items()},
        "carbon.g_per_kwh": p.carbon.g_per_kwh,
        **{f"visits.{name}": getattr(p.visits, name) for name in Visits.__struct_fields__},
        **{f"outages.{name}": getattr(p.outages, name) for name in Outages.__struct_fields__},
        "social.bills_per_year": p.social.bills_per_year,
        "social.complaints_per_customer_hour": p.social.complaints_per_customer_hour,
    }
    if p.model is not None:
        shares["model.persistence"] = p.model.persistence
        _check_model(p.model)
    for name, value in rates.items():
        _within(name, value, Decimal(0), Decimal(10**6))
    for name, value in shares.items():
        _within(name, value, Decimal(0), Decimal(1))
    if p.windows.controls_least > p.windows.controls_most:
        raise ParameterError("windows.controls_least is above controls_most")
    if p.windows.least_days_after > p.windows.days_after:
        raise ParameterError("windows.least_days_after is above days_after")


def _check_model(model: Model) -> None:
    _within("model.discount_rate", model.discount_rate, Decimal("-0.5"), Decimal(1))
    for flow in model.flows:
        if not model.first_year <= flow.year < model.first_year + model.years:
            raise ParameterError(f"model.flows: {flow.year} isn't a year of the model")
        _within(f"model.flows of {flow.year}", flow.amount, -_MOST_MONEY, _MOST_MONEY)
    for name, (low, high) in model.sensitivity.items():
        least, most = {
            "discount_rate": (Decimal("-0.5"), Decimal(1)), "persistence": (Decimal(0), Decimal(1)),
        }.get(name, (Decimal(0), Decimal(100)))  # fmt: skip
        _within(f"model.sensitivity.{name}", low, least, most)
        _within(f"model.sensitivity.{name}", high, low, most)


def _within(name: str, value: Decimal, least: Decimal, most: Decimal) -> None:
    if not (value.is_finite() and least <= value <= most):
        raise ParameterError(f"{name} is {value}, not from {least} to {most}")
    if value.as_tuple().exponent < -9:  # type: ignore[operator]  # finite: a number
        raise ParameterError(f"{name} has more than nine decimal places")
