"""Routes of the console's HTTP API."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from zoneinfo import ZoneInfo

from fastapi import APIRouter, FastAPI

from console.api.alerts import alerts_router
from console.api.assessments import assessments_router
from console.api.benefit import benefit_router
from console.api.council import council_router
from console.api.desk import Desk
from console.api.findings import findings_router
from console.api.flow import flow_router
from console.api.milestones import milestones_router
from console.api.norms import norms_router
from console.api.problems import method_not_allowed
from console.api.proposals import proposals_router
from console.api.releases import releases_router
from console.api.reports import reports_router
from console.api.rollout import plan_router
from console.api.sites import PublicKey, sites_router
from console.api.sync import sync_router
from console.api.tickets import tickets_router
from console.api.work_orders import work_orders_router
from grid.channel import Limits
from store.connection import Connection
from sync.proposals.lifecycle import ReviewRules
from sync.rollout.tickets import DeskRules

_UTC = ZoneInfo("UTC")


def add_routes(app: FastAPI, routers: Iterable[APIRouter]) -> None:
    """Add routes to an application; what none of a path's routes takes is answered for all of them."""
    for router in routers:
        app.include_router(router)
    app.add_exception_handler(405, method_not_allowed)


def desk_routers(desk: Desk, rules: ReviewRules | None = None, zone: ZoneInfo = _UTC) -> tuple[APIRouter, ...]:
    """Routes of the alert desk and of sync, for `console.app.create_app`.

    Parameters
    ----------
    rules
        Those of proposals.
    zone
        The utility's: whose days indicators are of.
    """
    return (
        alerts_router(desk),
        findings_router(desk),
        work_orders_router(desk),
        sync_router(desk, zone),
        proposals_router(desk, rules or ReviewRules()),
    )


def rollout_routers(
    desk: Desk,
    zone: ZoneInfo,
    rules: Callable[[Connection], DeskRules],
    limits: Limits | None = None,
    public_key: PublicKey = lambda _site: None,
    deliveries_kept: timedelta = timedelta(days=90),
) -> tuple[APIRouter, ...]:
    """Routes of the roll-out, its service desk and what it brought.

    Parameters
    ----------
    zone
        The utility's: whose days they are.
    rules
        How the service desk works, as it is configured now.
    limits
        What the channels of sites must keep.
    public_key
        That of a site, which proves the reports of its acceptance.
    deliveries_kept
        How long deliveries of sync stay before retention removes them.
    """
    return (
        plan_router(desk, zone),
        milestones_router(desk, zone),
        reports_router(desk, zone),
        tickets_router(desk, rules),
        releases_router(desk),
        council_router(desk, zone),
        norms_router(desk),
        assessments_router(desk, zone),
        sites_router(desk, limits or Limits(), public_key),
        benefit_router(desk, zone),
        flow_router(desk, deliveries_kept),
    )
