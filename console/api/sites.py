"""`/api/v1/rollout`: what is known of sites: their channels to the centre, its clock for theirs, their acceptances."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field, StringConstraints

from console.api.desk import After, Desk, Instant, Limit, Number, Whole, Word, asker, forbid, next_of
from console.api.problems import ProblemError, ProblemRoute, responses
from console.api.rollout_scope import ALL_SEEING, CONFIRMING, Rows, bounded, need, opened, scope
from console.api.tokens import Principal, Right
from grid.channel import Limits, Measured, Traffic
from sync.rollout.acceptance import MAX_BYTES, file_acceptance, list_acceptances, read_acceptance, read_report
from sync.rollout.channels import file_probe, list_channels
from sync.rollout.signing import Signed

#: The public key of a site, PEM; None where none is configured.
PublicKey = Callable[[str], bytes | None]

#: Who measures at sites: a unit for itself, and the team that helps it.
MEASURING = CONFIRMING | {Right.SUPPORT}
Count = Annotated[int, Field(ge=0, le=1_000_000), Whole]
#: An account at the broker; its findings are named after it.
Gateway = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]
Seconds = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]


class SaidTraffic(BaseModel):
    """What a site sends an interval, where the grid model doesn't know its gateway."""

    meters: Count
    blocks: Count
    interval_s: Annotated[int, Field(ge=1, le=86_400), Whole]


class NewProbe(BaseModel):
    """What `meterline probe` has measured; delays are null where nothing came back."""

    unit: Word
    gateway: Gateway
    measured_at: Instant
    sent: Annotated[int, Field(ge=1, le=1_000_000), Whole]
    returned: Count
    delay_s: Seconds | None = None
    delay_high_s: Seconds | None = None
    jitter_s: Seconds | None = None
    bytes_per_s: Annotated[float, Field(ge=0, le=1e15, allow_inf_nan=False)] | None = None
    clock_offset_s: Annotated[float, Field(ge=-1e12, le=1e12, allow_inf_nan=False)] | None = None
    clock_error_s: Seconds | None = None
    traffic: SaidTraffic | None = None


class Clock(BaseModel):
    """The centre's clock when it answers."""

    now: datetime


class NewAcceptance(BaseModel):
    """What `meterline doctor --acceptance` has written."""

    text: Annotated[str, Field(min_length=2, max_length=MAX_BYTES)]
    signature: Annotated[str, Field(min_length=1, max_length=200)]
    key_id: Annotated[str, Field(max_length=64)]


def sites_router(desk: Desk, limits: Limits, public_key: PublicKey) -> APIRouter:
    """Routes of what was measured at sites, and of their acceptances."""
    router = APIRouter(prefix="/api/v1/rollout", tags=["roll-out"], route_class=ProblemRoute)
    who: Any = asker(desk)

    @router.get("/clock", responses=responses())
    def clock(asking: Principal = who) -> Clock:
        """The centre's clock: a site takes its own before and after, and knows its offset to half of that."""
        if not asking.roles & (ALL_SEEING | {Right.UNIT}):
            raise forbid("this is for sites, their units and groups")
        return Clock(now=desk.now())

    @router.get("/channels", responses=responses())
    def channels(
        unit: Word | None = None,
        slow: bool = False,
        after: After = 0,
        limit: Limit = 50,
        asking: Principal = who,
    ) -> Rows:
        """Channels as last measured within a week; `slow`: only those that fall short."""
        with opened(desk) as connection:
            seen = scope(connection, asking, unit, desk.now())
            found = list_channels(connection, desk.now(), seen, slow=slow, after=after, limit=limit)
        return Rows(items=found, next=next_of(found, limit, lambda row: int(row["probe_id"])))

    @router.post("/channels", status_code=201, responses=responses(404, 409))
    def new_probe(said: NewProbe, asking: Principal = who) -> dict[str, Any]:
        """File what was measured; it is judged here, by the traffic that the grid model knows of."""
        need(asking, MEASURING)
        numbers = said.model_dump(exclude={"unit", "gateway", "measured_at", "traffic"})
        try:
            measured = Measured(**numbers)
        except ValueError as error:
            raise ProblemError(409, str(error)) from None
        traffic = None if said.traffic is None else Traffic(**said.traffic.model_dump())
        with opened(desk) as connection:
            scope(connection, asking, said.unit, desk.now())
            return file_probe(
                connection, said.unit, said.gateway, bounded(said.measured_at), measured, limits, asking.name,
                desk.now(), traffic,
            )  # fmt: skip

    @router.get("/acceptances", responses=responses())
    def acceptances(unit: Word | None = None, after: After = 0, limit: Limit = 50, asking: Principal = who) -> Rows:
        """Acceptances of sites, the newest first."""
        with opened(desk) as connection:
            seen = scope(connection, asking, unit, desk.now())
            found = list_acceptances(connection, desk.now(), seen, after=after, limit=limit)
        return Rows(items=found, next=next_of(found, limit, lambda row: int(row["acceptance_id"])))

    @router.get("/acceptances/{acceptance_id}", responses=responses(404))
    def acceptance(acceptance_id: Number, asking: Principal = who) -> dict[str, Any]:
        """One acceptance with its report as it was signed."""
        with opened(desk) as connection:
            found = read_acceptance(connection, acceptance_id, desk.now())
            scope(connection, asking, found["site"], desk.now())
        return found

    @router.post("/acceptances", status_code=201, responses=responses(404, 409))
    def new_acceptance(said: NewAcceptance, asking: Principal = who) -> dict[str, Any]:
        """File a site's signed report, proved by its configured key: a unit for itself, the support team for all."""
        need(asking, MEASURING)
        with opened(desk) as connection:
            site = read_report(said.text).site
            scope(connection, asking, site, desk.now())
            key = public_key(site)
            if key is None:
                raise ProblemError(409, f"no key of {site} is configured")
            signed = Signed(said.text, said.signature, said.key_id)
            return file_acceptance(connection, signed, key, asking.name, desk.now())

    return router
