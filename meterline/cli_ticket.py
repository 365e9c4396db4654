"""`meterline ticket`: the service desk (服务台)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from meterline.cli_alert import ByOption
from meterline.cli_common import ConfigOption, JsonOption, fail, print_json, printable
from meterline.cli_rollout import AtOption, LimitOption, UnitOption, as_of, print_fields, print_table, room

ticket_app = typer.Typer(no_args_is_help=True, help="Tickets of the service desk. Example: meterline ticket list")
knowledge_app = typer.Typer(no_args_is_help=True, help="What was learnt. Example: meterline ticket knowledge list")
ticket_app.add_typer(knowledge_app, name="knowledge")

Ticket = Annotated[int, typer.Argument(metavar="ID")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; it stays in the ticket's history")]


@ticket_app.command("open")
def open_(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="change, demand, guidance or version")],
    unit: Annotated[str, typer.Option("--unit", help="Organisation that asks")],
    title: Annotated[str, typer.Option("--title", help="What is asked for, in a line")],
    body: Annotated[str, typer.Option("--body", help="All that is needed to act")],
    priority: Annotated[str, typer.Option("--priority", help="urgent, high, normal or low")] = "normal",
    norm: Annotated[str | None, typer.Option("--norm", metavar="CODE/VERSION", help="Norm that asks for it")] = None,
    by: ByOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Open a ticket at the first tier.

    Example: meterline ticket open guidance --unit county-3 --title "Meter swaps" --body "How are they recorded?"
    """
    from meterline.rollout import desk_rules
    from sync.rollout.desk import open_ticket, read_ticket
    from sync.rollout.tickets import Kind, Priority

    try:
        wanted, urgency = Kind(kind), Priority(priority)
    except ValueError as error:
        fail(f"{error}; kinds: {', '.join(Kind)}; priorities: {', '.join(Priority)}", code=2)
    with room(config, by) as desk:
        rules = desk_rules(desk.connection, desk.settings)
        number = open_ticket(desk.connection, rules, wanted, unit, urgency, title, body, desk.by, desk.now, norm)
        row = read_ticket(desk.connection, number, desk.now)
    print_fields(row, as_json)


@ticket_app.command("list")
def list_(
    state: Annotated[list[str] | None, typer.Option(help="May be repeated; default all that aren't closed")] = None,
    unit: UnitOption = None,
    kind: Annotated[str | None, typer.Option()] = None,
    assignee: Annotated[str | None, typer.Option()] = None,
    tier: Annotated[int | None, typer.Option(min=1, max=3)] = None,
    broken: Annotated[bool, typer.Option("--broken", help="Only those with a broken promise")] = False,
    at: AtOption = None,
    limit: LimitOption = 50,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List tickets, the newest first. Example: meterline ticket list --unit county-3 --broken"""
    from sync.rollout.desk import list_tickets

    states = state or ["open", "in_progress", "waiting", "resolved"]
    with room(config) as desk:
        rows = list_tickets(
            desk.connection, as_of(at),
            unit=unit, states=states, kind=kind, assignee=assignee, tier=tier, broken=broken, limit=limit,
        )  # fmt: skip
    columns = ("ticket_id", "kind", "unit", "priority", "state", "tier", "assignee", "resolve_due_at", "title")
    print_table(rows, as_json, columns, "no such ticket")


@ticket_app.command("show")
def show(number: Ticket, at: AtOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """One ticket with every step. Example: meterline ticket show 17"""
    from store.rollout import read_rows
    from sync.rollout.desk import read_ticket

    instant = as_of(at)
    with room(config) as desk:
        row = read_ticket(desk.connection, number, instant)
        (text,) = read_rows(desk.connection, "desk", "body", ticket_id=number)
        history = read_rows(desk.connection, "desk", "history", ticket_id=number, at=instant)
    if as_json:
        print_json({**row, **text, "history": history})
        return
    print_fields({**row, **text}, as_json=False)
    for each in history:
        print(
            f"{each['at']:%Y-%m-%d %H:%M} UTC  {each['action']} by {printable(each['actor'])}, tier {each['tier']}: "
            f"{printable(each['reason'])}"
        )


@ticket_app.command("take")
def take(
    number: Ticket,
    assignee: Annotated[str | None, typer.Option("--for", help="Who works on it; default oneself")] = None,
    reason: ReasonOption = "taken",
    by: ByOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a ticket of one's tier: the first promise is kept by it. Example: meterline ticket take 17"""
    _step(number, "take", reason, by, config, as_json, assignee=assignee, own=True)


@ticket_app.command("hand")
def hand(
    number: Ticket,
    direction: Annotated[str, typer.Argument(metavar="up|down", help="To the next tier, or back")],
    reason: ReasonOption,
    by: ByOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hand a ticket to another tier. Example: meterline ticket hand 17 up --reason 'needs a change of the program'"""
    if direction not in {"up", "down"}:
        fail(f"up or down: {direction}", code=2)
    _step(number, direction, reason, by, config, as_json)


@ticket_app.command("wait")
def wait(
    number: Ticket, reason: ReasonOption, by: ByOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Wait for who asked: the clock stands still. Example: meterline ticket wait 17 --reason 'asked for the list'"""
    _step(number, "wait", reason, by, config, as_json)


@ticket_app.command("resume")
def resume(
    number: Ticket, reason: ReasonOption, by: ByOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Go on with a ticket that waited. Example: meterline ticket resume 17 --reason 'list received'"""
    _step(number, "resume", reason, by, config, as_json)


@ticket_app.command("note")
def note(
    number: Ticket, reason: ReasonOption, by: ByOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Note something. Example: meterline ticket note 17 --reason 'the same at county 4'"""
    _step(number, "note", reason, by, config, as_json)


@ticket_app.command("link")
def link(
    number: Ticket,
    release: Annotated[str, typer.Argument(help="Code of the release that carries the change")],
    reason: ReasonOption = "carried by this release",
    by: ByOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Link a ticket to the release that carries its change. Example: meterline ticket link 17 2.4"""
    _step(number, "link", reason, by, config, as_json, release=release)


@ticket_app.command("resolve")
def resolve(
    number: Ticket, reason: ReasonOption, by: ByOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Say what was done about it. Example: meterline ticket resolve 17 --reason 'in release 2.4'"""
    _step(number, "resolve", reason, by, config, as_json)


@ticket_app.command("close")
def close(
    number: Ticket, reason: ReasonOption, by: ByOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Close a ticket: who asked agrees, or needs it no more. Example: meterline ticket close 17 --reason works"""
    _step(number, "close", reason, by, config, as_json)


@ticket_app.command("reopen")
def reopen(
    number: Ticket, reason: ReasonOption, by: ByOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Open a ticket again: its clock goes on. Example: meterline ticket reopen 17 --reason 'not at county 5'"""
    _step(number, "reopen", reason, by, config, as_json)


def _step(
    number: int,
    action: str,
    reason: str,
    by: str | None,
    config: Path | None,
    as_json: bool,
    *,
    assignee: str | None = None,
    own: bool = False,
    release: str | None = None,
) -> None:
    from meterline.rollout import desk_rules
    from sync.rollout.desk import take_step
    from sync.rollout.tickets import Action

    with room(config, by) as desk:
        rules = desk_rules(desk.connection, desk.settings)
        who = assignee or (desk.by if own else None)
        row = take_step(
            desk.connection, rules, number, Action(action), desk.by, reason, desk.now, assignee=who, release=release
        )
    if as_json:
        print_json(row)
    else:
        print(f"ticket {number}: {row['state']}, tier {row['tier']}, {row['worked_s'] / 3_600:.1f} working hours")


@knowledge_app.command("add")
def knowledge_add(
    title: Annotated[str, typer.Option("--title")],
    body: Annotated[str, typer.Option("--body")],
    ticket: Annotated[int | None, typer.Option("--ticket", help="From which it was learnt")] = None,
    by: ByOption = None,
    config: ConfigOption = None,
) -> None:
    """Keep what was learnt. Example: meterline ticket knowledge add --ticket 17 --title "Meter swaps" --body '…'"""
    from sync.rollout.desk import add_knowledge

    with room(config, by) as desk:
        number = add_knowledge(desk.connection, title, body, desk.by, desk.now, ticket)
    print(f"entry {number}")


@knowledge_app.command("list")
def knowledge_list(
    text: Annotated[str | None, typer.Option("--text", help="Only entries with this in them")] = None,
    limit: LimitOption = 50,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Entries, the newest first. Example: meterline ticket knowledge list --text swap"""
    from store.rollout import read_rows

    with room(config) as desk:
        rows = read_rows(desk.connection, "desk", "knowledge", text=text, after=0, limit=limit)
    print_table(rows, as_json, ("knowledge_id", "ticket_id", "title", "body"), "no such entry")
