"""Serves the console: its parts from the settings, and a server that ends when it is told to."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterable, Iterator
from datetime import timedelta

import structlog
from fastapi import APIRouter
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from psycopg_pool import ConnectionPool

from console.api import desk_routers, rollout_routers
from console.api.desk import Desk
from console.api.tokens import RateLimiter, TokenFileError, Tokens, utc_now
from console.app import AppOptions, create_app
from console.asking import Asker, AskLimits
from console.live import Hub, LiveLimits
from console.rollout_lists import rollout_lists_router
from console.rollout_page import rollout_page_router
from console.server import ConsoleServer
from deploy.boards.model import Source
from deploy.boards.registry import BOARDS
from meterline.config import Settings
from meterline.ops import ops_of
from meterline.rollout import desk_rules, site_key
from meterline.settings.section import ConfigError
from meterline.settings.servers import ConsoleSection
from store.connection import Connection

log = structlog.get_logger("meterline.console")

#: Requests without a known token, from one address: a second, and at once.
_STRANGERS_PER_S = 2.0
_STRANGERS = 20


def ask_limits(section: ConsoleSection) -> AskLimits:
    """What one question may cost, by the settings."""
    return AskLimits(section.timeout_s, section.rows, section.connections)


def make_asker(settings: Settings, application: str = "meterline-console", source: Source = Source.OPERATIONS) -> Asker:
    """Asks as the role of boards of `source`; a context manager.

    Raises
    ------
    ConfigError
        When the settings lack that role's password.
    """
    # Each look at a meter's series is recorded, and refused where it can't be.
    records = source is Source.REVENUE
    conninfo = settings.database.conninfo("revenue" if records else "board")
    zone = settings.settling.time_zone
    return Asker(conninfo, ask_limits(settings.console), application, records=records, zone=zone)


@contextlib.contextmanager
def make_hub(settings: Settings) -> Iterator[Hub]:
    """The live side of the console, asking as the boards' roles."""
    section = settings.console
    limits = LiveLimits(section.viewers, section.watches, section.longest_d, section.refresh_s)
    with contextlib.ExitStack() as stack:
        askers = {Source.OPERATIONS: stack.enter_context(make_asker(settings))}
        if section.revenue:
            revenue = make_asker(settings, "meterline-console-revenue", Source.REVENUE)
            askers[Source.REVENUE] = stack.enter_context(revenue)
        yield Hub({board.uid: board for board in BOARDS}, askers, limits)


@contextlib.contextmanager
def make_desk(settings: Settings) -> Iterator[Desk | None]:
    """What the API of alerts works with; None where no file of tokens is named.

    Raises
    ------
    ConfigError
        When the file of tokens can't be used.
    """
    section = settings.console
    if section.tokens_file is None:
        yield None
        return
    try:
        tokens = Tokens(section.tokens_file)
    except TokenFileError as error:
        raise ConfigError(f"console.tokens_file: {error}") from None
    options = {
        "autocommit": True,
        "application_name": "meterline-api",
        "options": f"-c timezone=UTC -c statement_timeout={int(section.timeout_s * 1_000)}",
    }
    pool = ConnectionPool[Connection](
        settings.database.conninfo("app"),
        kwargs=options,
        min_size=0,
        max_size=section.connections,
        timeout=section.timeout_s,
        open=False,
    )
    with pool:
        limiter = RateLimiter(section.requests_per_s, section.request_burst, time.monotonic)
        yield Desk(pool, tokens, limiter, RateLimiter(_STRANGERS_PER_S, _STRANGERS, time.monotonic), utc_now)


def serve_console(settings: Settings, ops_port: int | None) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises
    ------
    ConfigError
        When the address can't be had.
    """
    section = settings.console
    with make_hub(settings) as hub, make_desk(settings) as desk, _listen(section) as listener:
        rules = settings.sync.review_rules()
        zone = settings.settling.zone()
        routers = () if desk is None else (*desk_routers(desk, rules, zone), *_rollout_routers(desk, settings))
        app = create_app(hub, AppOptions(settings.settling.time_zone, (*section.hosts, section.host)), routers)
        server = ConsoleServer(app, hub)
        with ops_of(ops_port, ConsoleMetrics(hub), lambda: None if hub.is_ready() else "the database doesn't answer"):
            log.info("the console listens", url=section.url)
            server.run([listener])


def _rollout_routers(desk: Desk, settings: Settings) -> tuple[APIRouter, ...]:
    zone = settings.settling.zone()
    limits = settings.rollout.channel.limits()
    routers = rollout_routers(
        desk,
        zone,
        lambda connection: desk_rules(connection, settings),
        limits,
        lambda site: site_key(settings, site),
        timedelta(days=settings.retention.deliveries_d),
    )
    return (*routers, rollout_page_router(desk, zone), rollout_lists_router(desk, zone))


class ConsoleMetrics(Collector):
    """Metrics of the console: who looks, and what that costs the database."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def collect(self) -> Iterable[Metric]:
        """Called by the registry at each scrape."""
        counters = self._hub.counters
        yield GaugeMetricFamily("meterline_console_viewers", "Live pages that are open", value=self._hub.viewers)
        yield GaugeMetricFamily(
            "meterline_console_watches",
            "Boards with different choices or ranges that are asked for",
            value=self._hub.watches,
        )
        for name, text, value in (
            ("questions", "Statements put to the database", counters.questions),
            ("failures", "Statements that failed or took too long", counters.failures),
            ("seconds", "Time spent on statements, waits for a connection included", counters.seconds),
            ("rounds", "Boards asked for from top to bottom", counters.rounds),
            ("events", "Events sent to pages", counters.events),
        ):
            yield CounterMetricFamily(f"meterline_console_{name}", text, value=value)


@contextlib.contextmanager
def _listen(section: ConsoleSection) -> Iterator[socket.socket]:
    try:
        found = socket.getaddrinfo(section.host, section.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        listener = socket.create_server(found[0][4][:2], family=found[0][0], backlog=256)
    except OSError as error:
        reason = error.strerror or error
        raise ConfigError(
            f"console.host and console.port: can't listen at {section.host}:{section.port} ({reason}); "
            "choose another port with --port"
        ) from None
    with listener:
        yield listener
