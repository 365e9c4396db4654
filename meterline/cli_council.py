"""`meterline rollout matter|conference|decision|norm|training`: what is decided, by whom, and what came of it."""

from __future__ import annotations

from datetime import date
from typing import Annotated

import typer

from meterline.cli_alert import ByOption
from meterline.cli_common import ConfigOption, JsonOption, fail, print_json, printable, read_instant
from meterline.cli_rollout import AtOption, LimitOption, UnitOption, as_of, print_fields, print_table, room

matter_app = typer.Typer(no_args_is_help=True, help="Matters. Example: meterline rollout matter list --open")
conference_app = typer.Typer(no_args_is_help=True, help="Conferences. Example: meterline rollout conference list")
decision_app = typer.Typer(no_args_is_help=True, help="Decisions. Example: meterline rollout decision chain 4")
norm_app = typer.Typer(no_args_is_help=True, help="Business norms. Example: meterline rollout norm show meter-swap 2")
training_app = typer.Typer(no_args_is_help=True, help="Trainings. Example: meterline rollout training list")

Title = Annotated[str, typer.Option("--title")]
Body = Annotated[str, typer.Option("--body")]
OpenOption = Annotated[bool, typer.Option("--open", help="Only what isn't carried out yet")]
NormOption = Annotated[str | None, typer.Option("--norm", metavar="CODE/VERSION", help="Of which version of a norm")]


@matter_app.command("raise")
def matter_raise(
    unit: Annotated[str, typer.Option("--unit", help="Organisation that raises it")],
    department: Annotated[str, typer.Option("--department")],
    title: Title,
    body: Body,
    cross: Annotated[bool, typer.Option("--cross-department", help="A conference has to decide it")] = False,
    by: ByOption = None,
    config: ConfigOption = None,
) -> None:
    """Raise a matter.

    Example: meterline rollout matter raise --unit county-3 --department metering --title Swaps --body "Who records?"
    """
    from sync.rollout.council import raise_matter

    with room(config, by) as desk:
        number = raise_matter(desk.connection, unit, department, title, body, desk.by, desk.now, cross_department=cross)
    print(f"matter {number}")


@matter_app.command("list")
def matter_list(
    unit: UnitOption = None,
    open_: OpenOption = False,
    at: AtOption = None,
    limit: LimitOption = 50,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Matters with what was decided about them, the newest first. Example: meterline rollout matter list --open"""
    from store.rollout import read_rows

    with room(config) as desk:
        rows = read_rows(
            desk.connection, "council", "matters",
            at=as_of(at), matter_id=None, cross_department=None, open=open_, unit=unit, after=0, limit=limit,
        )  # fmt: skip
    columns = ("matter_id", "unit", "department", "cross_department", "title", "decision", "due_on", "done")
    print_table(rows, as_json, columns, "no such matter")


@conference_app.command("record")
def conference_record(
    title: Title,
    attendant: Annotated[list[str], typer.Option("--attendant", help="May be repeated")],
    minutes: Annotated[str, typer.Option("--minutes")],
    held_at: Annotated[str | None, typer.Option("--held-at", metavar="TIME", help="ISO 8601; default now")] = None,
    by: ByOption = None,
    config: ConfigOption = None,
) -> None:
    """Record a conference.

    Example: meterline rollout conference record --title Swaps --attendant li.wei --minutes "Marketing records them."
    """
    from sync.rollout.council import hold_conference

    held = read_instant(held_at, "--held-at")
    with room(config, by) as desk:
        number = hold_conference(desk.connection, title, held or desk.now, attendant, minutes, desk.by, desk.now)
    print(f"conference {number}")


@conference_app.command("list")
def conference_list(
    at: AtOption = None, limit: LimitOption = 50, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Conferences, the newest first. Example: meterline rollout conference list --json"""
    from store.rollout import read_rows

    with room(config) as desk:
        rows = read_rows(desk.connection, "council", "conferences", at=as_of(at), after=0, limit=limit)
    print_table(rows, as_json, ("conference_id", "held_at", "title", "attendants", "decisions"), "no such conference")


@decision_app.command("record")
def decision_record(
    decision: Annotated[str, typer.Argument(help="What was decided")],
    owner: Annotated[str, typer.Option("--owner", help="Who carries it out")],
    due: Annotated[str, typer.Option("--due", metavar="DATE", help="By when")],
    conference: Annotated[int | None, typer.Option("--conference", help="Which conference decided it")] = None,
    matter: Annotated[int | None, typer.Option("--matter", help="About which matter")] = None,
    by: ByOption = None,
    config: ConfigOption = None,
) -> None:
    """Record a decision.

    Example: meterline rollout decision record "Marketing records swaps" --owner li.wei --due 2026-12-01 --conference 2
    """
    from sync.rollout.council import decide

    day = read_day(due, "--due")
    with room(config, by) as desk:
        number = decide(
            desk.connection, decision, owner, day, desk.by, desk.now, conference_id=conference, matter_id=matter
        )
    print(f"decision {number}")


@decision_app.command("follow-up")
def decision_follow_up(
    number: Annotated[int, typer.Argument(metavar="DECISION")],
    note: Annotated[str, typer.Option("--note")],
    done: Annotated[bool, typer.Option("--done", help="It is carried out")] = False,
    by: ByOption = None,
    config: ConfigOption = None,
) -> None:
    """Note how a decision is carried out. Example: meterline rollout decision follow-up 4 --note revised --done"""
    from sync.rollout.council import follow_up

    with room(config, by) as desk:
        follow_up(desk.connection, number, note, desk.by, desk.now, done=done)
    print(f"decision {number}: {'done' if done else 'noted'}")


@decision_app.command("list")
def decision_list(
    unit: UnitOption = None,
    open_: OpenOption = False,
    at: AtOption = None,
    limit: LimitOption = 50,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Decisions, the newest first. Example: meterline rollout decision list --open"""
    from store.rollout import read_rows

    with room(config) as desk:
        rows = read_rows(
            desk.connection, "council", "decisions",
            at=as_of(at), zone=desk.zone.key, decision_id=None, open=open_, unit=unit, after=0, limit=limit,
        )  # fmt: skip
    columns = ("decision_id", "matter_id", "conference_id", "owner", "due_on", "done", "is_overdue", "decision")
    print_table(rows, as_json, columns, "no such decision")


@decision_app.command("chain")
def decision_chain(
    number: Annotated[int, typer.Argument(metavar="DECISION")],
    at: AtOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """What a decision led to: norms, tickets, releases, confirmations. Example: meterline rollout decision chain 4"""
    from sync.rollout.council import read_chain

    with room(config) as desk:
        rows = read_chain(desk.connection, number, as_of(at))
    print_table(rows, as_json, ("at", "actor", "step", "about", "unit"), "nothing")


@norm_app.command("revise")
def norm_revise(
    code: Annotated[str, typer.Argument()],
    title: Title,
    body: Body,
    decision: Annotated[int | None, typer.Option("--decision", help="Which decision asks for it")] = None,
    by: ByOption = None,
    config: ConfigOption = None,
) -> None:
    """Give a norm its next version.

    Example: meterline rollout norm revise meter-swap --title Swaps --body "Marketing records them." --decision 4
    """
    from sync.rollout.council import revise_norm

    with room(config, by) as desk:
        version = revise_norm(desk.connection, code, title, body, desk.by, desk.now, decision)
    print(f"norm {printable(code)}/{version}")


@norm_app.command("confirm")
def norm_confirm(
    code: Annotated[str, typer.Argument()],
    version: Annotated[int, typer.Argument(min=1)],
    unit: Annotated[str, typer.Option("--unit", help="Organisation that confirms")],
    by: ByOption = None,
    config: ConfigOption = None,
) -> None:
    """A unit confirms that it works by a norm. Example: meterline rollout norm confirm meter-swap 2 --unit county-3"""
    from sync.rollout.council import confirm_norm, read_norm

    with room(config, by) as desk:
        confirm_norm(desk.connection, code, version, unit, desk.by, desk.now)
        left = read_norm(desk.connection, code, version, desk.now)["unconfirmed"]
    print(f"norm {printable(code)}/{version}: {len(left)} units have not confirmed it")


@norm_app.command("list")
def norm_list(at: AtOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """All versions of all norms. Example: meterline rollout norm list"""
    from store.rollout import read_rows

    with room(config) as desk:
        rows = read_rows(desk.connection, "council", "norms", at=as_of(at), code=None, name=None)
    print_table(rows, as_json, ("code", "version", "title", "at", "actor", "decision_id", "confirmed"), "no norm")


@norm_app.command("show")
def norm_show(
    code: Annotated[str, typer.Argument()],
    version: Annotated[int, typer.Argument(min=1)],
    at: AtOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """A version of a norm, and who has confirmed it or not. Example: meterline rollout norm show meter-swap 2"""
    from store.rollout import read_rows
    from sync.rollout.council import read_norm

    instant = as_of(at)
    with room(config) as desk:
        norm = read_norm(desk.connection, code, version, instant)
        said = read_rows(desk.connection, "council", "confirmations", code=code, version=version, at=instant)
    if as_json:
        print_json({**norm, "confirmations": said})
        return
    print_fields(norm, as_json=False)
    for each in said:
        print(f"{each['at']:%Y-%m-%d %H:%M} UTC  {each['unit']}, by {printable(each['actor'])}")
    print(f"not yet: {', '.join(norm['unconfirmed']) or 'nobody'}")


@training_app.command("record")
def training_record(
    unit: Annotated[str, typer.Option("--unit", help="Organisation that was trained")],
    topic: Annotated[str, typer.Option("--topic")],
    held_on: Annotated[str, typer.Option("--held-on", metavar="DATE")],
    people: Annotated[int, typer.Option("--people", min=0, max=100_000, help="How many; nobody is named")],
    norm: NormOption = None,
    by: ByOption = None,
    config: ConfigOption = None,
) -> None:
    """Record a training.

    Example: meterline rollout training record --unit county-3 --topic Swaps --held-on 2026-11-20 --people 12
    """
    from sync.rollout.council import hold_training

    day = read_day(held_on, "--held-on")
    with room(config, by) as desk:
        number = hold_training(desk.connection, unit, topic, day, people, desk.by, desk.now, norm)
    print(f"training {number}")


@training_app.command("list")
def training_list(
    unit: UnitOption = None,
    at: AtOption = None,
    limit: LimitOption = 50,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Trainings, the newest first. Example: meterline rollout training list --unit county-3"""
    from store.rollout import read_rows

    with room(config) as desk:
        rows = read_rows(desk.connection, "council", "trainings", at=as_of(at), unit=unit, after=0, limit=limit)
    print_table(rows, as_json, ("training_id", "unit", "topic", "held_on", "people", "norm"), "no such training")


def read_day(text: str, option: str) -> date:
    """The day that an option gives."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        fail(f"{option}: not a day after ISO 8601: {printable(text)}", code=2)
