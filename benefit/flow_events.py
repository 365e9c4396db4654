"""What the flow of the work is told from: steps of cases, without the names of those who took them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class By(StrEnum):
    """As what somebody took a step."""

    SYSTEM = "system"  # it happened by itself
    AUTHOR = "author"  # who raised or proposed it
    REVIEWER = "reviewer"  # who judges another's proposal
    OPERATOR = "operator"  # who works on an alert
    CREW = "crew"  # who came back with the result of a work order
    DESK = "desk"  # who works on tickets


@dataclass(frozen=True, slots=True)
class Event:
    """A step of a case.

    Attributes
    ----------
    case
        Number of the case within its process; of a delivery, the change's with the system that is told.
    kind
        Of the case: of alert, conflict or ticket.
    stage
        Where the case stands after it, as it was recorded; None: the process's rules say so.
    before
        Where it stood, as it was recorded; None: not recorded.
    holder
        Department that has the case after it; None: whoever acts next.
    department
        Department that took the step.
    person
        Who took it, as a number within the case; no more is known of a person here.
    approvals_needed, changes_model
        Of the proposal that the step is about.
    """

    case: int | str
    kind: str
    at: datetime
    action: str
    stage: str | None
    before: str | None
    holder: str | None
    department: str | None
    by: By
    person: int = 0
    approvals_needed: int = 1
    changes_model: bool = False

    def __post_init__(self) -> None:
        if self.at.tzinfo is None:
            raise ValueError("times are aware")
