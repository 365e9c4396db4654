"""How units are assessed (考核): weights of indicators, points, score and rank; pure.

Between its floor and its target an indicator earns its weight in proportion; below it nothing, above it no more. Where
less is better the floor is greater than the target. The score is the share that was earned of what could be, times 100.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

from sync.rollout.errors import RolloutError

#: Of an indicator: neither infinite nor no number.
Bound = Annotated[float, msgspec.Meta(ge=-1e15, le=1e15)]


class Weight(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an indicator counts for.

    `unknown` says what a value that nobody can tell means: ``zero`` points, or ``left_out`` of what could be earned.
    """

    indicator: str
    weight: Annotated[float, msgspec.Meta(gt=0, le=100)]
    floor: Bound
    target: Bound
    unknown: Literal["zero", "left_out"] = "zero"


class Weights(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Indicators with their weights, and the score below which a warning order (预警单) goes out."""

    indicators: Annotated[list[Weight], msgspec.Meta(min_length=1, max_length=50)]
    warn_below: Annotated[float, msgspec.Meta(ge=0, le=100)] = 60.0


@dataclass(frozen=True, slots=True)
class Score:
    """Of a unit: from 0 to 100, None where nothing could be earned; points by indicator, None where left out."""

    score: float | None
    points: Mapping[str, float | None]


def parse_weights(text: str, indicators: Sequence[str]) -> Weights:
    """Read weights from TOML.

    Raises
    ------
    RolloutError
        With what is wrong.
    """
    try:
        weights = msgspec.convert(tomllib.loads(text), Weights)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise RolloutError(str(error)) from None
    names = [weight.indicator for weight in weights.indicators]
    if len(set(names)) < len(names):
        raise RolloutError("an indicator is weighted twice")
    for weight in weights.indicators:
        if weight.indicator not in indicators:
            raise RolloutError(f"no indicator is named {weight.indicator!r}; there are: {', '.join(indicators)}")
        if weight.floor == weight.target:
            raise RolloutError(f"{weight.indicator}: floor and target are the same")
    if abs(sum(weight.weight for weight in weights.indicators) - 100) > 1e-9:
        raise RolloutError("the weights are 100 together")
    return weights


def points_of(weight: Weight, value: float | None) -> float | None:
    """Points that a value earns; None: it is left out."""
    if value is None:
        return 0.0 if weight.unknown == "zero" else None
    return weight.weight * min(max((value - weight.floor) / (weight.target - weight.floor), 0.0), 1.0)


def score_of(weights: Weights, values: Mapping[str, float | None]) -> Score:
    """Score of a unit by the values of its indicators."""
    points = {weight.indicator: points_of(weight, values.get(weight.indicator)) for weight in weights.indicators}
    possible = sum(weight.weight for weight in weights.indicators if points[weight.indicator] is not None)
    earned = sum(value for value in points.values() if value is not None)
    return Score(100 * earned / possible if possible else None, points)


def rank(scores: Mapping[str, float | None]) -> dict[str, int | None]:
    """Rank by score, 1 for the best; equal scores share one, and who has none has none."""
    known = [score for score in scores.values() if score is not None]
    return {
        unit: None if score is None else 1 + sum(other > score for other in known) for unit, score in scores.items()
    }
