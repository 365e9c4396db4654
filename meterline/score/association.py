"""What records and the system say of meters, against the truth; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from twin.truth_files import Associations

NO_TRUTH = "the truth has no associations.parquet"
NOT_STORED = "no record was compared, see meterline usage associate"


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What the system concluded of a meter; None = nothing of that."""

    unit: str | None = None
    phase: str | None = None
    multiplier: int | None = None


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How often records and conclusions are true; None where `reason` says why.

    Attributes
    ----------
    meters
        Whose truth is known.
    recorded_right, recorded_accuracy
        Records that are true.
    concluded, concluded_right, concluded_accuracy
        Meters of which the system concluded something, and where that is true.
    corrected, spoilt
        Wrong records whose conclusion is true; true records whose conclusion is wrong.
    """

    meters: int
    recorded_right: int
    recorded_accuracy: float | None
    concluded: int | None
    concluded_right: int | None
    concluded_accuracy: float | None
    corrected: int | None
    spoilt: int | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class AssociationScore:
    """Of which unit, on which phase, under which multiplier; None and a reason where the truth doesn't say."""

    unit: Accuracy
    phase: Accuracy
    multiplier: Accuracy


def score_associations(truth: Associations | None, concluded: Mapping[str, Conclusion] | None) -> AssociationScore:
    """Compare by meter.

    Parameters
    ----------
    truth
        None where the folder doesn't say.
    concluded
        What the system concluded, by meter; None where it stores nothing of that kind.
    """
    if truth is None:
        nothing = Accuracy(0, 0, None, None, None, None, None, None, NO_TRUTH)
        return AssociationScore(nothing, nothing, nothing)
    says = None if concluded is None else [concluded.get(meter, Conclusion()) for meter in truth.meter]

    def part(name: str, true: Sequence[object], recorded: Sequence[object]) -> Accuracy:
        values = None if says is None else [getattr(each, name) for each in says]
        return compare(true, recorded, values)

    return AssociationScore(
        unit=part("unit", truth.true_unit, truth.recorded_unit),
        phase=part("phase", truth.true_phase, truth.recorded_phase),
        multiplier=part("multiplier", truth.true_multiplier, truth.recorded_multiplier),
    )


def compare(true: Sequence[object], recorded: Sequence[object], concluded: Sequence[object] | None) -> Accuracy:
    """Compare position by position; where the truth is None, nothing is asked."""
    known = [i for i, value in enumerate(true) if value is not None]
    right = {i for i in known if recorded[i] == true[i]}
    accuracy = len(right) / len(known) if known else None
    if concluded is None or not known:
        reason = NOT_STORED if concluded is None else "the truth doesn't say"
        return Accuracy(len(known), len(right), accuracy, None, None, None, None, None, reason)
    said = [i for i in known if concluded[i] is not None]
    hits = {i for i in said if concluded[i] == true[i]}
    return Accuracy(
        meters=len(known),
        recorded_right=len(right),
        recorded_accuracy=accuracy,
        concluded=len(said),
        concluded_right=len(hits),
        concluded_accuracy=len(hits) / len(said) if said else None,
        corrected=len(hits - right),
        spoilt=len(right.intersection(said) - hits),
        reason=None if said else "nothing was concluded",
    )
