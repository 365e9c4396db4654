"""`meterline grid trace`: how a feeder, an area or a switch is supplied."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from meterline.cli_common import ConfigOption, JsonOption, fail, print_json, printable, read_instant, read_settings

if TYPE_CHECKING:
    from store.trace import Traced


def grid_trace(
    code: Annotated[str, typer.Argument(help="Code of a feeder, an area or a switch")],
    config: ConfigOption = None,
    at: Annotated[
        str | None, typer.Option("--at", metavar="TIME", help="As it is at this instant, ISO 8601; default now")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show how a feeder, area or switch is supplied: the way from the head to it, and what hangs on it.

    Example: meterline grid trace LV1.101 --at 2026-06-01T12:00:00+08:00
    """
    from dataclasses import asdict

    from meterline.bootstrap import opener
    from store.trace import TraceError, trace_code

    instant = read_instant(at, "--at") or datetime.now(UTC)
    with opener(read_settings(config, quiet=True), "meterline-cli")() as connection:
        try:
            traced = trace_code(connection, code, instant)
        except TraceError as error:
            fail(printable(str(error)))
    if as_json:
        print_json(asdict(traced))
    else:
        _show(traced)


_SUPPLY = {
    "dead": "without supply",
    "radial": "supplied by {}",
    "loop": "supplied by {}, whose switches form a ring",
    "parallel": "in parallel supply by {}",
}


def _show(traced: Traced) -> None:
    supply = _SUPPLY[traced.status].format(" and ".join(traced.feeders))
    print(f"{traced.kind} {traced.code} at {traced.at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC: {supply}")
    if traced.position is not None:
        known = "in normal state" if traced.since is None else f"since {traced.since:%Y-%m-%d %H:%M:%S} UTC"
        print(f"{traced.position}, {known}")
    for step in traced.path:
        length = f"{step.length_m:,.0f} m" if step.kind == "segment" else ""
        print(f"  {step.kind:13}{step.code:44}{length:>9}".rstrip())
    if traced.path:
        length_km = sum(step.length_m for step in traced.path) / 1_000
        resistance, reactance = (sum(getattr(s, n) for s in traced.path) for n in ("resistance_ohm", "reactance_ohm"))
        print(f"{length_km:,.2f} km, {resistance:.3f} + j{reactance:.3f} ohm")
    if traced.kind != "area":
        what = "areas" if traced.kind == "feeder" else "areas without supply if it opens"
        print(f"{what} ({len(traced.areas)}): {', '.join(traced.areas) or 'none'}")
    for tie in traced.ties:
        print(f"  open to {' and '.join(tie.feeders) or 'what is dead'}: {tie.code}")
