"""What is told beside the ledger when it is brought up to date: reports say it as it was known then. Reads only."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from benefit.flow import read_flow
from benefit.parameters import Parameters
from benefit.social import social_benefit
from store.connection import Connection

#: Recommendations that are kept, the greatest gains first.
MOST_ADVICE = 5
#: Of cases, and of what happened to customers.
FLOW_SPAN, SOCIAL_SPAN = timedelta(days=90), timedelta(days=365)


def tell_around(
    connection: Connection, parameters: Parameters, at: datetime, deliveries_since: datetime
) -> dict[str, list[dict[str, Any]]]:
    """What to do about the flow of the work, and social figures, as they are known now.

    Parameters
    ----------
    deliveries_since
        As of `benefit.flow.read_flow`.
    """
    flows = read_flow(connection, at - FLOW_SPAN, at, deliveries_since=deliveries_since)
    advice = [r for flow in flows for r in flow.recommendations]
    advice.sort(key=lambda r: (-r.gain_s, r.step, r.department or ""))
    return {
        "advice": [asdict(r) for r in advice[:MOST_ADVICE]],
        "social": [asdict(row) for row in social_benefit(connection, parameters, at - SOCIAL_SPAN, at)],
    }
