"""`meterline doctor --acceptance` and `meterline rollout acceptance`: signed reports of what is installed at a site."""

from __future__ import annotations

import getpass
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meterline.cli_alert import ByOption
from meterline.cli_common import ConfigOption, JsonOption, fail, print_json, printable, read_settings
from meterline.cli_rollout import AtOption, LimitOption, UnitOption, as_of, print_table, room

if TYPE_CHECKING:
    from meterline.config import Settings
    from sync.rollout.acceptance import AcceptanceReport
    from sync.rollout.signing import Signed

acceptance_app = typer.Typer(
    no_args_is_help=True, help="Acceptances of sites. Example: meterline rollout acceptance list --unit county-3"
)


@dataclass(frozen=True, slots=True)
class Filing:
    """Where a report is filed, and with which token."""

    api: str
    token_file: Path
    ca_file: Path | None


def accept(site: str, key: Path, out: Path | None, filing: Filing | None, config: Path | None, as_json: bool) -> None:
    """Examine the machine and its servers, sign what was found, and file it; ends with 1 where something fails."""
    from meterline.acceptance import examine
    from meterline.acceptance.machine import release
    from sync.rollout.acceptance import read_report, write_report
    from sync.rollout.signing import sign

    pem = _read_bytes(key)
    began = datetime.now(UTC)
    checks = examine(read_settings(config, quiet=True))
    signed = sign(write_report(site, began, getpass.getuser(), release(), checks), pem)
    if out is not None:
        out.write_text(_text_of(signed), "utf-8")
    report = read_report(signed.text)
    if as_json:
        print(_text_of(signed))
    else:
        _show(report)
        print(f"signed with key {signed.key_id[:16]}")
    if filing is not None:
        number = _file(filing, signed)
        if not as_json:
            print(f"filed as acceptance {number}")
    if not report.passed:
        failed = ", ".join(check.name for check in checks if not check.ok)
        fail(f"{site} isn't accepted: {failed}")


def _file(filing: Filing, signed: Signed) -> int:
    from meterline.centre import Centre, CentreError

    token = _read_bytes(filing.token_file).decode(errors="replace").strip()
    with Centre(filing.api, token, filing.ca_file) as centre:
        try:
            return int(centre.post("acceptances", asdict(signed))["acceptance_id"])
        except CentreError as error:
            fail(f"examined, and not filed: {error}")


def verify(file: Path, public_key: Path, as_json: bool) -> None:
    """Prove the signature of a report, and show it."""
    from sync.rollout.acceptance import read_report
    from sync.rollout.signing import prove

    signed = _read_signed(file)
    key_id = prove(signed, _read_bytes(public_key))
    report = read_report(signed.text)
    if as_json:
        print_json({"key_id": key_id, "site": report.site, "examined_at": report.examined_at, "passed": report.passed})
    else:
        _show(report)
        print(f"proved by key {key_id[:16]}")


@acceptance_app.command("file")
def file_report(
    file: Annotated[Path, typer.Argument(help="What meterline doctor --acceptance has written")],
    by: ByOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """File a site's report, proved by its configured key. Example: meterline rollout acceptance file county-3.json"""
    from sync.rollout.acceptance import file_acceptance, read_report

    signed = _read_signed(file)
    site = read_report(signed.text).site
    with room(config, by) as desk:
        filed = file_acceptance(desk.connection, signed, _site_key(desk.settings, site), desk.by, desk.now)
    if as_json:
        print_json(filed)
    else:
        print(f"acceptance {filed['acceptance_id']} of {site}: {'passed' if filed['passed'] else 'failed'}")


@acceptance_app.command("list")
def list_filed(
    unit: UnitOption = None,
    at: AtOption = None,
    limit: LimitOption = 200,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Acceptances that were filed, the newest first. Example: meterline rollout acceptance list --json"""
    from sync.rollout.acceptance import list_acceptances

    with room(config) as desk:
        rows = list_acceptances(desk.connection, as_of(at), unit, limit=limit)
    print_table(rows, as_json, ("acceptance_id", "site", "examined_at", "passed", "actor"), "no acceptance")


@acceptance_app.command("show")
def show(
    number: Annotated[int, typer.Argument(metavar="ACCEPTANCE", min=1)],
    at: AtOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """One of them, its signature proved again. Example: meterline rollout acceptance show 1 --json > c3.json"""
    from sync.rollout.acceptance import read_acceptance, read_report
    from sync.rollout.signing import Signed, prove

    with room(config) as desk:
        row = read_acceptance(desk.connection, number, as_of(at))
        signed = Signed(row["report"], row["signature"], row["key_id"])
        prove(signed, _site_key(desk.settings, row["site"]))
    if as_json:
        print(_text_of(signed))
    else:
        _show(read_report(signed.text))
        print(f"filed {row['at']:%Y-%m-%d %H:%M} UTC by {printable(row['actor'])}, proved by key {signed.key_id[:16]}")


def _site_key(settings: Settings, site: str) -> bytes:
    from meterline.rollout import site_key

    key = site_key(settings, site)
    if key is None:
        fail(f"no key of {printable(site)} is configured: name its public key under [rollout.acceptance.keys]")
    return key


def _show(report: AcceptanceReport) -> None:
    print(f"{printable(report.site)}, {report.examined_at:%Y-%m-%d %H:%M} UTC, Meterline {printable(report.release)}")
    for check in report.checks:
        wanted = "" if check.ok else f"; wanted: {printable(check.wanted)}"
        mark = "ok " if check.ok else "not"
        print(f"{mark}  {check.area:10}  {printable(check.name):36}  {printable(check.found)}{wanted}")
    print("passed" if report.passed else "not passed")


def _text_of(signed: Signed) -> str:
    import json

    return json.dumps(asdict(signed), ensure_ascii=False)


def _read_signed(file: Path) -> Signed:
    import msgspec

    from sync.rollout.signing import Signed

    try:
        return msgspec.json.decode(_read_bytes(file), type=Signed)
    except (msgspec.DecodeError, RecursionError) as error:
        fail(f"{file} isn't a signed report: {error}")


def _read_bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()[: 4 << 20]
    except OSError as error:
        fail(f"{file}: {error.strerror}")
