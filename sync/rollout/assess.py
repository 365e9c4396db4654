"""Assesses units and departments by approved weights; a score changes by a granted appeal and by nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from store.connection import Connection
from store.rollout import Row, TakenNumberError, UnknownCodeError, add_row, read_figure, read_rows
from sync.rollout.assessment import Weights, rank, score_of
from sync.rollout.errors import NotFoundError, RolloutError

KINDS = ("unit", "department")


@dataclass(frozen=True, slots=True)
class Result:
    """What an assessment says of an organisation, with appeals that were granted.

    Attributes
    ----------
    values
        Of each indicator, as it counts.
    points
        That it earned; None where it was left out.
    found
        The score without any appeal.
    """

    unit: str
    score: float | None
    rank: int | None
    found: float | None
    values: dict[str, float | None]
    points: dict[str, float | None]
    appeals: tuple[int, ...]


def propose_weights(connection: Connection, weights: Weights, reason: str, by: str, at: datetime) -> int:
    """Record weights; returns their version. They count once somebody else has approved them."""
    if not reason.strip():
        raise RolloutError("weights are proposed with a reason")
    given = msgspec.to_builtins(weights)
    return add_row(connection, "assessment", "add_weighting", weights=given, reason=reason, at=at, actor=by)


def approve_weights(connection: Connection, version: int, by: str, at: datetime) -> None:
    """Approve weights; somebody else than who proposed them."""
    found = read_rows(connection, "assessment", "weightings", weighting_id=version, at=at)
    if not found:
        raise NotFoundError(f"no weights of version {version}")
    if found[0]["actor"] == by:
        raise RolloutError(f"{by} has proposed them: somebody else must approve")
    try:
        add_row(connection, "assessment", "approve", weighting_id=version, at=at, actor=by)
    except TakenNumberError:
        raise RolloutError(f"version {version} is approved already") from None


def assess(
    connection: Connection,
    version: int,
    kind: str,
    since: datetime,
    until: datetime,
    by: str,
    at: datetime,
    zone: ZoneInfo,
) -> int:
    """Assess all units or departments over a time, as it was known at its end; returns the assessment's number.

    Raises
    ------
    RolloutError
        When the weights aren't approved, or the time isn't over.
    """
    if kind not in KINDS:
        raise RolloutError(f"what is assessed is one of {', '.join(KINDS)}: {kind}")
    if not since < until <= at:
        raise RolloutError("an assessment covers a time that is over")
    with connection.transaction():
        found = read_rows(connection, "assessment", "weightings", weighting_id=version, at=at)
        if not found or found[0]["approved_at"] is None:
            raise RolloutError(f"no weights of version {version} are approved")
        weights = msgspec.convert(found[0]["weights"], Weights)
        codes = [row["code"] for row in read_rows(connection, "assessment", "organisations", kind=kind, at=until)]
        names = [weight.indicator for weight in weights.indicators]
        values = {
            code: {name: read_figure(connection, name, code, until, zone.key, since).value for name in names}
            for code in codes
        }
        number = add_row(
            connection, "assessment", "add_assessment",
            weighting_id=version, kind=kind, since=since, until_at=until, at=at, actor=by,
        )  # fmt: skip
        pairs = [(code, name, value) for code, own in values.items() for name, value in own.items()]
        units, indicators, numbers = (list(column) for column in zip(*pairs, strict=True)) if pairs else ([], [], [])
        add_row(
            connection, "assessment", "add_assessed",
            assessment_id=number, units=units, indicators=indicators, values=numbers,
        )  # fmt: skip
        for code, own in values.items():
            score = score_of(weights, own).score
            if score is not None and score < weights.warn_below:
                add_row(
                    connection, "assessment", "add_warning",
                    assessment_id=number, unit=code, score=score, at=at, actor=by,
                )  # fmt: skip
    return number


def read_assessment(connection: Connection, number: int, at: datetime) -> Row:
    """An assessment as of an instant: its results by rank, its warning orders and its appeals.

    Raises
    ------
    NotFoundError
        When there is none of this number.
    """
    found = read_rows(connection, "assessment", "assessments", assessment_id=number, at=at)
    if not found:
        raise NotFoundError(f"no assessment {number}")
    weights = msgspec.convert(found[0]["weights"], Weights)
    by_unit: dict[str, list[Row]] = {}
    for row in read_rows(connection, "assessment", "assessed", assessment_id=number, at=at):
        by_unit.setdefault(row["unit"], []).append(row)
    values = {unit: {row["indicator"]: row["value"] for row in rows} for unit, rows in by_unit.items()}
    scores = {unit: score_of(weights, own) for unit, own in values.items()}
    ranks = rank({unit: score.score for unit, score in scores.items()})
    results = [
        Result(
            unit, scores[unit].score, ranks[unit],
            score_of(weights, {row["indicator"]: row["found"] for row in rows}).score,
            values[unit], dict(scores[unit].points),
            tuple(row["appeal_id"] for row in rows if row["appeal_id"] is not None),
        )
        for unit, rows in by_unit.items()
    ]  # fmt: skip
    results.sort(key=lambda result: (result.rank is None, result.rank, result.unit))
    warnings = read_rows(connection, "assessment", "warnings", assessment_id=number, at=at)
    appeals = read_rows(connection, "assessment", "appeals", appeal_id=None, assessment_id=number, at=at)
    return {**found[0], "results": results, "warnings": warnings, "appeals": appeals}


def list_standing(connection: Connection, at: datetime, unit: str | None = None, limit: int = 10_000) -> list[Row]:
    """Warning orders that stand: they went out with the last assessment, and the score is still too low."""
    return read_rows(connection, "assessment", "standing", at=at, unit=unit, limit=limit)


def appeal(
    connection: Connection, number: int, unit: str, indicator: str, claimed: float, reason: str, by: str, at: datetime
) -> int:
    """An organisation appeals against the value of an indicator; returns the appeal's number."""
    if not reason.strip() or not isfinite(claimed):
        raise RolloutError("an appeal claims a value, with a reason")
    values: dict[str, Any] = {"assessment_id": number, "unit": unit, "indicator": indicator, "claimed": claimed}
    try:
        return add_row(connection, "assessment", "add_appeal", **values, reason=reason, at=at, actor=by)
    except UnknownCodeError:
        raise NotFoundError(f"assessment {number} has no {indicator} of {unit}") from None


def answer_appeal(connection: Connection, number: int, answer: str, by: str, at: datetime, value: float | None) -> None:
    """Answer an appeal, once: with the value that counts from now on, or None to refuse it.

    Raises
    ------
    RolloutError
        When it is answered already, or by who appealed.
    """
    if not answer.strip() or (value is not None and not isfinite(value)):
        raise RolloutError("an answer says why, and grants a number or nothing")
    found = read_rows(connection, "assessment", "appeals", appeal_id=number, assessment_id=None, at=at)
    if not found:
        raise NotFoundError(f"no appeal {number}")
    if found[0]["actor"] == by:
        raise RolloutError(f"{by} has appealed: somebody else answers")
    try:
        add_row(connection, "assessment", "add_answer", appeal_id=number, value=value, answer=answer, at=at, actor=by)
    except TakenNumberError:
        raise RolloutError(f"appeal {number} is answered already") from None
