"""Commands of `meterline sync` by which people look at conflicts and decide: conflicts, proposals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meterline.cli_common import ConfigOption, JsonOption, fail, print_json, printable, read_instant, read_settings
from meterline.cli_person import ByOption, TokenOption, person
from meterline.cli_sync import LimitOption, print_rows

if TYPE_CHECKING:
    from sync.proposals.lifecycle import Action
    from sync.proposals.review import Correction

conflicts_app = typer.Typer(
    no_args_is_help=True, help="Where systems contradict each other. Example: meterline sync conflicts list"
)
proposals_app = typer.Typer(
    no_args_is_help=True, help="What is proposed about conflicts. Example: meterline sync proposals list"
)


@conflicts_app.command("list")
def conflicts_list(
    kind: Annotated[str | None, typer.Option(help="Only of this kind, such as relation_differs")] = None,
    system: Annotated[str | None, typer.Option(help="Only records of this system; model is the grid model")] = None,
    department: Annotated[str | None, typer.Option(help="Only what this department keeps")] = None,
    code: Annotated[str | None, typer.Option(help="Only of what the grid model calls so")] = None,
    closed: Annotated[bool, typer.Option("--all", help="Those that are gone as well")] = False,
    count: Annotated[bool, typer.Option("--count", help="How many there are of each")] = False,
    limit: LimitOption = 50,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List conflicts, newest first. Example: meterline sync conflicts list --kind relation_differs --json"""
    from meterline.bootstrap import opener
    from store.sync_conflicts import count_conflicts, list_conflicts

    with opener(read_settings(config, quiet=True), "meterline-sync")() as connection:
        if count:
            print_rows(count_conflicts(connection), as_json, ("kind", "system", "department", "open"), "no conflict")
            return
        rows = list_conflicts(connection, kind, system, department, code, closed, limit)
    columns = ("conflict_id", "kind", "code", "field", "system", "dataset", "key", "believed", "given")
    print_rows(rows, as_json, columns, "no such conflict")


@conflicts_app.command("show")
def conflicts_show(
    conflict: Annotated[int, typer.Argument(help="Its number")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a conflict with what each system says. Example: meterline sync conflicts show 17"""
    from meterline.bootstrap import opener
    from store.sync_conflicts import read_conflict

    with opener(read_settings(config, quiet=True), "meterline-sync")() as connection:
        row = read_conflict(connection, conflict)
    if row is None:
        fail(f"no conflict {conflict}")

    def line(record: dict[str, Any]) -> str:
        place = f"{record['system']}.{record['dataset']}/{record['key']}"
        return f"{printable(place)} ({record['method']}, {record['confidence']:.2f})"

    _print_one(row, as_json, "records", line)


def propose(
    conflicts: Annotated[list[int] | None, typer.Argument(metavar="[CONFLICT]...", help="Their numbers")] = None,
    kind: Annotated[str | None, typer.Option(help="All open ones of this kind")] = None,
    system: Annotated[str | None, typer.Option(help="All open ones of this system's records")] = None,
    confidence: Annotated[float, typer.Option(min=0, max=1, help="Only those at least so sure")] = 0.9,
    valid_from: Annotated[
        str | None, typer.Option("--valid-from", metavar="TIME", help="From when the grid model is to say so")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why")] = "by the rules of authority",
    by: ByOption = None,
    token_file: TokenOption = None,
    limit: LimitOption = 1_000,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Propose what the rules of authority lead to, about named conflicts or all of a kind.

    Example: meterline sync propose 17 --valid-from 2026-06-01T00:00:00+08:00
    """
    from meterline.bootstrap import opener
    from store.sync_proposals import find_to_propose
    from sync.proposals.review import propose as run_propose

    settings = read_settings(config, quiet=True)
    since = read_instant(valid_from, "--valid-from")
    if not conflicts and kind is None and system is None:
        fail("name conflicts, or say --kind or --system", code=2)
    who = person(settings, by, token_file).name
    with opener(settings, "meterline-sync")() as connection:
        ids = conflicts or find_to_propose(connection, kind, system, confidence, limit)
        found = run_propose(connection, ids, who, reason, settings.sync.review_rules(), datetime.now(UTC), since)
    rows = [asdict(each) for each in found]
    print_rows(rows, as_json, ("conflict_id", "proposal_id", "target", "reason"), "nothing to propose")


@proposals_app.command("list")
def proposals_list(
    state: Annotated[str | None, typer.Option(help="Only in this state, such as open")] = None,
    target: Annotated[str | None, typer.Option(help="Only to this system; model is the grid model")] = None,
    limit: LimitOption = 50,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List proposals, newest first. Example: meterline sync proposals list --state open --json"""
    from meterline.bootstrap import opener
    from store.sync_proposals import list_proposals

    with opener(read_settings(config, quiet=True), "meterline-sync")() as connection:
        rows = list_proposals(connection, state, target, limit)
    columns = ("proposal_id", "state", "code", "field", "target", "before", "after", "approved_by", "due_at")
    print_rows(rows, as_json, columns, "no such proposal")


@proposals_app.command("show")
def proposals_show(
    proposal: Annotated[int, typer.Argument(help="Its number")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a proposal and who did what with it. Example: meterline sync proposals show 3"""
    from meterline.bootstrap import opener
    from store.sync_proposals import read_proposal

    with opener(read_settings(config, quiet=True), "meterline-sync")() as connection:
        row = read_proposal(connection, proposal)
    if row is None:
        fail(f"no proposal {proposal}")

    def line(event: dict[str, Any]) -> str:
        who = f"{event['by_whom']} ({event['department']})"
        return f"{event['at']} {event['action']} by {printable(who)}: {printable(event['reason'] or '-')}"

    _print_one(row, as_json, "events", line)


def _print_one(row: dict[str, Any], as_json: bool, parts: str, line: Callable[[dict[str, Any]], str]) -> None:
    """Print a row: what is listed under `parts` a line each, and all else that there is by its name."""
    if as_json:
        print_json(row)
        return
    for name, value in row.items():
        if name == parts:
            for part in value or []:
                print(f"  {line(part)}")
        elif value is not None:
            print(f"{name}: {printable(str(value), 500)}")


ProposalArgument = Annotated[int, typer.Argument(help="Its number")]
DepartmentOption = Annotated[str, typer.Option(help="For which department: marketing, operation, metering, dispatch")]
ReasonOption = Annotated[str | None, typer.Option(help="Why")]


@proposals_app.command("approve")
def proposals_approve(
    proposal: ProposalArgument,
    department: DepartmentOption,
    by: ByOption = None,
    token_file: TokenOption = None,
    reason: ReasonOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Approve; the last approval that is needed changes the grid model, or asks the system to correct its record.

    Example: meterline sync proposals approve 3 --department operation --by li
    """
    from sync.proposals.lifecycle import Action

    _review(proposal, Action.APPROVE, department, (by, token_file), reason, config, as_json)


@proposals_app.command("reject")
def proposals_reject(
    proposal: ProposalArgument,
    department: DepartmentOption,
    reason: Annotated[str, typer.Option(help="Why")],
    by: ByOption = None,
    token_file: TokenOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Refuse, with the reason.

    Example: meterline sync proposals reject 3 --department operation --reason "as built"
    """
    from sync.proposals.lifecycle import Action

    _review(proposal, Action.REJECT, department, (by, token_file), reason, config, as_json)


@proposals_app.command("correct")
def proposals_correct(
    proposal: ProposalArgument,
    department: DepartmentOption,
    reason: Annotated[str, typer.Option(help="Why")],
    value: Annotated[str | None, typer.Option(help="What the grid model should say instead")] = None,
    valid_from: Annotated[
        str | None, typer.Option("--valid-from", metavar="TIME", help="From when on it should say so")
    ] = None,
    by: ByOption = None,
    token_file: TokenOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put another value or instant into a proposed change of the grid model; its approvals begin anew.

    Example: meterline sync proposals correct 3 --value 60 --department metering --reason "plate read on site"
    """
    from sync.proposals.lifecycle import Action
    from sync.proposals.review import Correction

    correction = Correction(value, read_instant(valid_from, "--valid-from"))
    _review(proposal, Action.CORRECT, department, (by, token_file), reason, config, as_json, correction)


@proposals_app.command("withdraw")
def proposals_withdraw(
    proposal: ProposalArgument,
    department: DepartmentOption,
    by: ByOption = None,
    token_file: TokenOption = None,
    reason: ReasonOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Withdraw a proposal of one's own. Example: meterline sync proposals withdraw 3 --department marketing --by li"""
    from sync.proposals.lifecycle import Action

    _review(proposal, Action.WITHDRAW, department, (by, token_file), reason, config, as_json)


@proposals_app.command("undo")
def proposals_undo(
    proposal: ProposalArgument,
    department: DepartmentOption,
    reason: Annotated[str, typer.Option(help="Why")],
    by: ByOption = None,
    token_file: TokenOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take an applied change of the grid model back. Example: meterline sync proposals undo 3 --department operation
    --reason "wrong meter"
    """
    from sync.proposals.lifecycle import Action

    _review(proposal, Action.UNDO, department, (by, token_file), reason, config, as_json)


def _review(
    proposal: int,
    action: Action,
    department: str,
    who: tuple[str | None, Path | None],
    reason: str | None,
    config: Path | None,
    as_json: bool,
    correction: Correction | None = None,
) -> None:
    from meterline.bootstrap import opener
    from sync.change import ChangeError
    from sync.proposals.lifecycle import RefusedActionError
    from sync.proposals.review import review

    if department not in {"marketing", "operation", "metering", "dispatch"}:
        fail(f"--department: no department {printable(department)}", code=2)
    settings = read_settings(config, quiet=True)
    acting = person(settings, *who)
    acting.check_department(department)
    try:
        with opener(settings, "meterline-sync")() as connection:
            done = review(
                connection, proposal, action, acting.name, department, reason, datetime.now(UTC), correction=correction
            )
    except RefusedActionError as error:
        fail(f"proposal {proposal}: {error}")
    except ChangeError as error:
        fail(f"proposal {proposal}: the grid model can't be changed so: {error}")
    if as_json:
        print_json(asdict(done))
    else:
        told = "" if done.outbox_id is None else f"; change {done.outbox_id} is made"
        print(f"proposal {proposal} is {done.state}: {done.approvals} of {done.approvals_needed} approvals{told}")
